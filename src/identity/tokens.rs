//! Finds the tokens of a request. A request with two is refused: the front door and a gateway could read different ones.

use http_strict::{bearer, cookie, cookies};
use identity::Reason;

use super::provider::TokenPlace;

/// The token of a request, and where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'r> {
    pub(super) token: &'r [u8],
    pub(super) place: &'r TokenPlace,
}

/// The one token in these places; None if there is none.
pub(super) fn find<'r>(
    places: impl Iterator<Item = &'r TokenPlace>,
    fields: &[(&'r [u8], &'r [u8])],
    query: Option<&[u8]>,
) -> Result<Option<Found<'r>>, Reason> {
    let mut seen: Vec<&TokenPlace> = Vec::new();
    let mut found = Vec::new();
    for place in places {
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let tokens = tokens_at(place, fields)?;
        found.extend(tokens.into_iter().map(|token| Found { token, place }));
    }
    // RFC 6750, 2: a client uses one way. A gateway that reads the query must not see another token than we do.
    let in_query = query.map_or(0, |query| {
        form_urlencoded::parse(query)
            .filter(|(name, _)| name == "access_token")
            .count()
    });
    match (found.as_slice(), in_query) {
        ([], 0 | 1) => Ok(None),
        ([only], 0) => Ok(Some(*only)),
        _ => Err(Reason::Repeated),
    }
}

fn tokens_at<'r>(
    place: &TokenPlace,
    fields: &[(&'r [u8], &'r [u8])],
) -> Result<Vec<&'r [u8]>, Reason> {
    let named = |name: &'static [u8]| {
        let same = move |(n, _): &&(&[u8], &[u8])| n.eq_ignore_ascii_case(name);
        fields.iter().filter(same).map(|(_, value)| *value)
    };
    match place {
        TokenPlace::Authorization => {
            let values: Vec<&[u8]> = named(b"authorization").collect();
            match values.as_slice() {
                [] => Ok(Vec::new()),
                [value] => Ok(bearer(value).into_iter().collect()),
                // One may be for us and the other for a gateway.
                _ => Err(Reason::Repeated),
            }
        }
        TokenPlace::Field(name) => {
            let same = |(n, _): &&(&[u8], &[u8])| n.eq_ignore_ascii_case(name.as_bytes());
            Ok(fields
                .iter()
                .filter(same)
                .map(|(_, value)| *value)
                .collect())
        }
        TokenPlace::ClientCertificate(_) => Ok(Vec::new()),
        TokenPlace::Cookie(name) => {
            let pairs = named(b"cookie").flat_map(cookies);
            let of_it = pairs.filter(|(known, _)| *known == name.as_bytes());
            Ok(of_it.map(|(_, value)| value).collect())
        }
    }
}

/// A `Cookie` field without the cookies of this name; None if there is nothing else in it.
pub(crate) fn without_cookie(field: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let pairs = field.split(|b| *b == b';');
    let kept = pairs.filter(|pair| cookie(pair).is_none_or(|(known, _)| known != name));
    let kept: Vec<&[u8]> = kept
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .collect();
    (!kept.is_empty()).then(|| kept.join(&b"; "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(
        places: &[TokenPlace],
        fields: &[(&str, &str)],
        query: &str,
    ) -> Result<Option<String>, Reason> {
        let fields: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        let found = find(places.iter(), &fields, Some(query.as_bytes()))?;
        Ok(found.map(|found| String::from_utf8(found.token.to_vec()).unwrap()))
    }

    #[test]
    fn a_request_has_one_token_in_one_place() {
        let authorization = [TokenPlace::Authorization];
        let all = [
            TokenPlace::Authorization,
            TokenPlace::Field("x-token".to_owned()),
            TokenPlace::Cookie("session".to_owned()),
        ];
        let repeated = Err(Reason::Repeated);
        let is = |token: &str| Ok(Some(token.to_owned()));
        for (places, fields, query, expected) in [
            (&authorization[..], &[][..], "", Ok(None)),
            (
                &authorization,
                &[("Authorization", "Bearer a")],
                "",
                is("a"),
            ),
            (
                &authorization,
                &[("AUTHORIZATION", "bEARER  a ")],
                "",
                is("a"),
            ),
            (&authorization, &[("authorization", "Bearer")], "", is("")),
            (
                &authorization,
                &[("authorization", "Bearer a b")],
                "",
                is("a b"),
            ),
            (
                &authorization,
                &[("authorization", "Basic a")],
                "",
                Ok(None),
            ),
            (
                &authorization,
                &[("authorization", "BearerX a")],
                "",
                Ok(None),
            ),
            (
                &authorization,
                &[("authorization", "Bearer a"), ("Authorization", "Bearer a")],
                "",
                repeated.clone(),
            ),
            (
                &authorization,
                &[("authorization", "Basic a"), ("authorization", "Bearer a")],
                "",
                repeated.clone(),
            ),
            (
                &authorization,
                &[("authorization", "Bearer a")],
                "access_token=b",
                repeated.clone(),
            ),
            (
                &authorization,
                &[("authorization", "Bearer a")],
                "x=1&access%5Ftoken=b",
                repeated.clone(),
            ),
            (
                &authorization,
                &[("authorization", "Bearer a")],
                "my_access_token=b",
                is("a"),
            ),
            (
                &authorization,
                &[],
                "access_token=a&access_token=b",
                repeated.clone(),
            ),
            (
                &authorization,
                &[("x-token", "b"), ("authorization", "Bearer a")],
                "",
                is("a"),
            ),
            (
                &all,
                &[("x-token", "b"), ("authorization", "Bearer a")],
                "",
                repeated.clone(),
            ),
            (&all, &[("X-Token", "b")], "", is("b")),
            (
                &all,
                &[("x-token", "b"), ("X-TOKEN", "c")],
                "",
                repeated.clone(),
            ),
            (&all, &[("cookie", "a=1; session=c; b=2")], "", is("c")),
            (
                &all,
                &[("cookie", "session=c; session=d")],
                "",
                repeated.clone(),
            ),
            (
                &all,
                &[("cookie", "session=c"), ("cookie", "session = d")],
                "",
                repeated.clone(),
            ),
            (&all, &[("cookie", "Session=c; sessions=d")], "", Ok(None)),
        ] {
            assert_eq!(
                outcome(places, fields, query),
                expected,
                "{fields:?} {query}"
            );
        }
    }

    #[test]
    fn a_cookie_is_taken_out_alone() {
        for (field, rest) in [
            ("a=1; session=x; b=2", Some("a=1; b=2")),
            ("session=x", None),
            ("session=x; session = y", None),
            ("sessions=x", Some("sessions=x")),
        ] {
            let without = without_cookie(field.as_bytes(), b"session");
            assert_eq!(without.as_deref(), rest.map(str::as_bytes), "{field}");
        }
    }
}
