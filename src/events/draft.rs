//! An event as a request leaves it: with its head and body as received. The writer masks what the settings say.
//!
//! Where a mask cannot be sure to find a secret (a compressed body, an argument that a rule calls secret), the part is
//! left out as a whole.

use std::borrow::Cow;

use openssl::error::ErrorStack;

use super::claims::SeenClaims;
use super::event::{Details, Event, Summary};
use super::settings::PayloadForm;
use crate::telemetry;
use waf::{mask_field, mask_known, mask_secrets};

/// What stands in place of a secret.
const MASK: &[u8] = b"***";
/// Bytes of a path, or of a host, that a list shows.
const MOST_SHOWN: usize = 1024;

/// What was noted of a request that is kept.
#[derive(Debug)]
pub struct Draft {
    /// Method and path are read from the head.
    pub summary: Summary,
    /// The writer completes [`Details::payload`].
    pub details: Details,
    /// As received, or an HTTP/2 head written in the same form.
    pub head: Vec<u8>,
    /// Its beginning, without a transfer coding.
    pub body: Vec<u8>,
    /// The variables and names that the rules called secret.
    pub sanitised: Vec<(&'static str, Vec<u8>)>,
    /// Values that are secret wherever they stand.
    pub secrets: Vec<Vec<u8>>,
}

impl Draft {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        // A client decides how long these texts are; the constants stand for everything else.
        let of = |text: &String| text.len();
        let matches = self.details.matches.iter();
        let matches: usize = matches
            .map(|found| {
                let values = of(&found.value) + found.transformed.as_ref().map_or(0, of);
                values + of(&found.data) + of(&found.message) + 256
            })
            .sum();
        let secrets: usize = self.secrets.iter().map(Vec::len).sum();
        let claims = self.details.claims.as_ref().map_or(0, SeenClaims::bytes);
        self.head.len() + self.body.len() + matches + secrets + claims + 1024
    }

    /// The event that is written.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub(super) fn into_event(mut self, form: &PayloadForm) -> Result<Event, ErrorStack> {
        let line_end = memchr::memmem::find(&self.head, b"\r\n").unwrap_or(self.head.len());
        let line = self.head.get(..line_end).unwrap_or_default();
        let (method, target) = method_and_target(line);
        // Also where the payload is plain or sealed: lists are shown to people who may not see it.
        let shown = mask_target(target, hides_arguments(&self.sanitised));
        let shown = mask_known(&shown, &self.secrets);
        // A method can be as long as a client makes it.
        self.summary.method = text(method, 64);
        self.summary.path = text(&shown, MOST_SHOWN);
        if *form == PayloadForm::Masked {
            self.mask();
        }
        let mut event = Event {
            summary: self.summary,
            details: self.details,
            head: self.head,
            body: self.body,
        };
        if let PayloadForm::Sealed(recipient) = form {
            // After the summary was made of the head, which is gone from here on.
            event.body = recipient.seal(&event.raw_request().0)?;
            event.head.clear();
            if let Some(claims) = &mut event.details.claims {
                claims.retain(|_| false);
            }
            event.details.payload.is_sealed = true;
        }
        Ok(event)
    }

    fn mask(&mut self) {
        let head = mask_known(&mask_head(&self.head, &self.sanitised), &self.secrets);
        let payload = &mut self.details.payload;
        let body = match why_left_out(&self.head, &self.body, &self.sanitised) {
            Some(why) => {
                payload.body_left_out = Some(why);
                Vec::new()
            }
            None => {
                let masked = mask_secrets(&self.body, self.body.len());
                // A secret of a header field may stand in the body again, under a harmless name.
                let masked = mask_known(&masked, &self.secrets);
                payload.masked = masked != self.body;
                masked
            }
        };
        payload.masked |= head != self.head;
        if let Some(claims) = &mut self.details.claims {
            let secrets = &self.secrets;
            claims.retain(|value| {
                let masked = mask_known(&mask_secrets(value.as_bytes(), value.len()), secrets);
                masked == value.as_bytes()
            });
        }
        self.head = head;
        self.body = body;
    }
}

/// Why a body cannot be masked, in words.
fn why_left_out(head: &[u8], body: &[u8], sanitised: &[(&str, Vec<u8>)]) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let is_coded = fields(head).any(|(name, value)| {
        name.eq_ignore_ascii_case(b"content-encoding") && !value.eq_ignore_ascii_case(b"identity")
    });
    let why = match (is_coded, hides_arguments(sanitised)) {
        (true, _) => "it is compressed, so that secrets in it cannot be masked",
        (_, true) => "a rule calls an argument secret (sanitise...)",
        _ => return None,
    };
    Some(why.to_owned())
}

/// Whether a rule called something secret that can stand anywhere in the target or the body.
fn hides_arguments(sanitised: &[(&str, Vec<u8>)]) -> bool {
    let mut variables = sanitised.iter().map(|(variable, _)| *variable);
    variables.any(|variable| {
        // Fields of the request are masked by their names, and neither the response nor the token is recorded.
        let elsewhere = ["REQUEST_HEADERS", "RESPONSE_", "IDENTITY"];
        !elsewhere.iter().any(|other| variable.starts_with(other))
    })
}

/// The head with its secrets masked.
fn mask_head(head: &[u8], sanitised: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len());
    let (line, rest) = next_line(head);
    let (method, target) = method_and_target(line);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(&mask_target(target, hides_arguments(sanitised)));
    out.extend_from_slice(
        line.get(method.len() + 1 + target.len()..)
            .unwrap_or_default(),
    );
    out.extend_from_slice(b"\r\n");
    let is_secret = |name: &[u8]| {
        let named = |(variable, own): &(&str, Vec<u8>)| {
            variable.starts_with("REQUEST_HEADERS") && own.eq_ignore_ascii_case(name)
        };
        sanitised.iter().any(named)
    };
    let mut rest = rest;
    while !rest.is_empty() {
        let (line, after) = next_line(rest);
        rest = after;
        let (name, value) = field(line);
        let before = line.len() - value.len();
        out.extend_from_slice(line.get(..before).unwrap_or_default());
        // What a rule named is secret as a whole; of other fields the engine knows which part is.
        match is_secret(name) {
            true => out.extend_from_slice(MASK),
            false => out.extend_from_slice(&mask_field(name, value)),
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn mask_target(target: &[u8], hides_arguments: bool) -> Cow<'_, [u8]> {
    match memchr::memchr(b'?', target) {
        Some(mark) if hides_arguments => {
            let path = target.get(..=mark).unwrap_or_default();
            [path, MASK].concat().into()
        }
        _ => mask_secrets(target, target.len()).into(),
    }
}

/// Names and values of a head's fields.
pub(super) fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (_, mut rest) = next_line(head);
    std::iter::from_fn(move || {
        let (line, after) = next_line(rest);
        rest = after;
        (!line.is_empty()).then(|| field(line))
    })
}

/// A line without its end, and what follows. The front door takes only heads whose lines end with CRLF.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memmem::find(text, b"\r\n") {
        Some(end) => {
            let (line, rest) = text.split_at(end);
            (line, rest.get(2..).unwrap_or_default())
        }
        None => (text, &[]),
    }
}

fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    (name, value.get(1..).unwrap_or_default().trim_ascii_start())
}

/// The first and the second word of a request line.
fn method_and_target(line: &[u8]) -> (&[u8], &[u8]) {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    (word(), word())
}

/// At most so many bytes, as text.
#[must_use]
pub fn text(bytes: &[u8], most: usize) -> String {
    let cut = bytes.get(..most).unwrap_or(bytes);
    // A character that is cut in two must not make the rest look like no UTF-8.
    let whole = match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => cut.get(..error.valid_up_to()),
        _ => None,
    };
    telemetry::text(whole.unwrap_or(cut)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::age::tests as age;
    use super::super::event::tests::event;
    use super::*;

    fn draft(head: &str, body: &[u8]) -> Draft {
        let event = event(1);
        Draft {
            summary: event.summary,
            details: event.details,
            head: head.replace('\n', "\r\n").into_bytes(),
            body: body.to_vec(),
            sanitised: Vec::new(),
            secrets: Vec::new(),
        }
    }

    const HEAD: &str = "POST /a?q=1&token=abc HTTP/1.1\nHost: a\nCookie: s=1; t=2\nX-Own: mine\n\n";

    #[test]
    fn secrets_are_masked_and_everything_else_stays() {
        let event = draft(HEAD, b"user=me&password=hunter2")
            .into_event(&PayloadForm::Masked)
            .unwrap();
        let head = String::from_utf8(event.head).unwrap();
        assert_eq!(
            head.replace("\r\n", "\n"),
            "POST /a?q=1&token=*** HTTP/1.1\nHost: a\nCookie: s=***; t=***\nX-Own: mine\n\n"
        );
        assert_eq!(event.body, b"user=me&password=***");
        assert!(event.details.payload.masked);
        assert_eq!(event.summary.method, "POST");
        assert_eq!(event.summary.path, "/a?q=1&token=***");
    }

    #[test]
    fn what_has_no_secret_is_as_received() {
        for form in [PayloadForm::Masked, PayloadForm::Plain] {
            let head = "GET /a HTTP/1.1\nHost:a\nX:  b \n\n";
            let event = draft(head, b"a=1").into_event(&form).unwrap();
            assert_eq!(event.head, head.replace('\n', "\r\n").as_bytes());
            assert_eq!(event.details.payload.why_not_judged(), None);
        }
        let event = draft(HEAD, b"password=hunter2")
            .into_event(&PayloadForm::Plain)
            .unwrap();
        assert_eq!(event.body, b"password=hunter2");
        assert_eq!(event.head, HEAD.replace('\n', "\r\n").as_bytes());
        assert_eq!(
            event.summary.path, "/a?q=1&token=***",
            "lists show no secret"
        );
    }

    #[test]
    fn a_sealed_request_is_seen_by_whoever_has_the_key() {
        let form = PayloadForm::Sealed(age::recipient());
        let head = HEAD.replace("Host: a", "Content-Length: 16");
        let event = draft(&head, b"password=hunter2").into_event(&form).unwrap();
        assert!(event.head.is_empty() && event.body.starts_with(b"age-encryption.org/v1\n"));
        let all = [
            serde_json::to_vec(&event.summary).unwrap(),
            event.body.clone(),
        ]
        .concat();
        for secret in [&b"hunter2"[..], b"token=abc"] {
            assert_eq!(memchr::memmem::find(&all, secret), None);
        }
        let request = [head.replace('\n', "\r\n").as_bytes(), b"password=hunter2"].concat();
        assert_eq!(age::opened(&event.body), request);
        let why = event.details.payload.why_not_judged().unwrap();
        assert!(why.contains("sealed"), "{why}");
    }

    #[test]
    fn what_cannot_be_masked_is_left_out() {
        let coded = HEAD.replace("X-Own: mine", "Content-Encoding: gzip");
        let event = draft(&coded, b"\x1f\x8b")
            .into_event(&PayloadForm::Masked)
            .unwrap();
        assert_eq!(event.body, b"");
        let why = event.details.payload.why_not_judged().unwrap();
        assert!(why.contains("compressed"), "{why}");
        let mut draft = draft(HEAD, b"note=mine");
        draft.sanitised = vec![
            ("ARGS", b"note".to_vec()),
            ("REQUEST_HEADERS", b"x-own".to_vec()),
        ];
        let event = draft.into_event(&PayloadForm::Masked).unwrap();
        let head = String::from_utf8(event.head).unwrap();
        assert!(head.starts_with("POST /a?*** HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("X-Own: ***\r\n"), "{head}");
        assert_eq!(event.body, b"");
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let head = "GET /a/hunter2/b HTTP/1.1\nHost: a\n\n";
        let mut draft = draft(head, b"note=HUNTER2+is+it");
        draft.secrets = vec![b"hunter2".to_vec(), b"a".to_vec()];
        let event = draft.into_event(&PayloadForm::Masked).unwrap();
        assert_eq!(event.body, b"note=***+is+it");
        assert_eq!(event.summary.path, "/a/***/b");
        assert!(event.head.starts_with(b"GET /a/***/b HTTP/1.1\r\n"));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(text("aéé".as_bytes(), 4), "aé");
        assert_eq!(text(b"a\xffb", 9), "a\\xffb");
    }
}
