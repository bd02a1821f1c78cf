//! What an issuer says of a token when it is asked (RFC 7662, 2.2).

use serde_json::Value;

use crate::claims::Claims;
use crate::json;

/// What an issuer says of a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Introspection {
    /// It does not hold: it ended, was revoked, or never was.
    Inactive,
    /// It holds, and this is what it says. `iss`, `aud` and the times are not checked yet.
    Active(Claims),
}

impl Introspection {
    /// Reads an answer.
    ///
    /// # Errors
    /// Why it is none. Never a part of it, which may name a caller.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let object = json::parse_object(body);
        let mut object = object.map_err(|_| "it is no JSON object with each member once")?;
        match object.remove("active") {
            Some(Value::Bool(false)) => Ok(Self::Inactive),
            Some(Value::Bool(true)) => match Claims::new(object) {
                Ok(claims) => Ok(Self::Active(claims)),
                Err(_) => Err("a claim in it has a wrong type"),
            },
            _ => Err("it does not say whether the token is \"active\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expectations, Reason};

    #[test]
    fn an_answer_is_an_object_that_says_whether_the_token_holds() {
        for (body, fits) in [
            (r#"{"active":false}"#, true),
            (r#"{"active":false,"exp":"never"}"#, true),
            (r#"{"active":true,"sub":"anna"}"#, true),
            (r#"{"active":true,"exp":"never"}"#, false),
            (r#"{"active":true,"active":false}"#, false),
            (r#"{"active":"true"}"#, false),
            (r#"{"active":1}"#, false),
            (r#"{"sub":"anna"}"#, false),
            (r#"[{"active":true}]"#, false),
            (r#"{"active":true} {"active":true}"#, false),
            ("", false),
        ] {
            assert_eq!(
                Introspection::parse(body.as_bytes()).is_ok(),
                fits,
                "{body}"
            );
        }
    }

    #[test]
    fn the_claims_of_an_answer_are_checked_like_those_of_a_token() {
        let expected = Expectations::new("https://idp.test", ["orders"]);
        let whole = r#""iss":"https://idp.test","aud":["a","orders"],"exp":2000"#;
        for (members, alone, beside) in [
            (whole.to_owned(), Ok(()), Ok(())),
            (format!("{whole},\"token_type\":\"bearer\""), Ok(()), Ok(())),
            (
                format!("{whole},\"token_type\":\"refresh_token\""),
                Err(Reason::Type),
                Err(Reason::Type),
            ),
            (String::new(), Err(Reason::Issuer), Ok(())),
            (
                r#""iss":"https://idp.test/""#.to_owned(),
                Err(Reason::Issuer),
                Err(Reason::Issuer),
            ),
            (
                r#""iss":"https://idp.test""#.to_owned(),
                Err(Reason::Audience),
                Ok(()),
            ),
            (
                r#""iss":"https://idp.test","aud":"bills""#.to_owned(),
                Err(Reason::Audience),
                Err(Reason::Audience),
            ),
            (
                r#""iss":"https://idp.test","aud":"orders""#.to_owned(),
                Err(Reason::ExpiryMissing),
                Ok(()),
            ),
            (
                r#""iss":"https://idp.test","aud":"orders","exp":900"#.to_owned(),
                Err(Reason::Expired),
                Err(Reason::Expired),
            ),
            (
                format!("{whole},\"nbf\":1500"),
                Err(Reason::NotYetValid),
                Err(Reason::NotYetValid),
            ),
        ] {
            let comma = if members.is_empty() { "" } else { "," };
            let body = format!("{{\"active\":true{comma}{members}}}");
            let Ok(Introspection::Active(claims)) = Introspection::parse(body.as_bytes()) else {
                panic!("{body}");
            };
            assert_eq!(expected.check_answer(&claims, true, 1000), alone, "{body}");
            assert_eq!(
                expected.check_answer(&claims, false, 1000),
                beside,
                "{body}"
            );
        }
    }
}
