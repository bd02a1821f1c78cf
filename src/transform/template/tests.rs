use serde_json::json;

use super::*;

/// A request for `/a%20b/x?q=1` with a claim.
struct Request {
    claims: Value,
}

impl Facts for Request {
    fn text(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
        let text: &[u8] = match variable {
            Variable::Path => b"/a%20b/\xe4\r\n&x",
            Variable::Query => b"q=1&r=%zz",
            Variable::Below => b"b",
            Variable::Host => b"api.example.com",
            Variable::Group(name) if name == "id" => b"12",
            Variable::Client => b"192.0.2.1",
            Variable::Tls(TlsFact::ClientSubject) => {
                "CN=M\u{fc}ller 100%,O=Corp\r\nX: y".as_bytes()
            }
            _ => return None,
        };
        Some(text.into())
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

fn request() -> Request {
    Request {
        claims: json!({ "sub": "j\r\nX-Admin: 1", "roles": ["a b", "c"], "deep": {} }),
    }
}

#[test]
fn urls_hold_only_what_a_url_may() {
    for (text, expected) in [
        ("/new{path}", "/new/a%20b/%E4%0D%0A&x"),
        ("/new/{below}?{query}", "/new/b?q=1&r=%zz"),
        (
            "/login?return={path}&id={path.id}",
            "/login?return=/a%2520b/%E4%0D%0A%26x&id=12",
        ),
        (
            "https://{host}/{{{path.other}}}",
            "https://api.example.com/{}",
        ),
    ] {
        let made = Template::parse(text, Use::Url).map(|t| t.url(&request()));
        let made = made.map(|url| String::from_utf8(url).unwrap());
        assert_eq!(made.as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn fields_hold_no_line_break_and_no_half_value() {
    for (text, expected) in [
        ("{path}", Some("/a%20b/%E4%0D%0A&x")),
        (
            "from {client} to {host}",
            Some("from 192.0.2.1 to api.example.com"),
        ),
        ("{claim.sub}", Some("j%0D%0AX-Admin: 1")),
        ("{claim.roles}", Some("a%20b c")),
        (
            "{tls.client_subject}",
            Some("CN=M%C3%BCller 100%25,O=Corp%0D%0AX: y"),
        ),
        ("user {claim.name}", None),
        ("{claim.deep}", None),
        ("{tls.sni}", None),
        ("{{literal}}", Some("{literal}")),
    ] {
        let made = Template::parse(text, Use::Field).unwrap().field(&request());
        let made = made.map(|value| String::from_utf8(value).unwrap());
        assert_eq!(made.as_deref(), expected, "{text}");
    }
}

#[test]
fn what_is_no_template_is_refused_in_words() {
    for (text, place, words) in [
        ("{path", Use::Field, "no partner"),
        ("path}", Use::Field, "no partner"),
        ("{nope}", Use::Field, "no variable {nope}"),
        ("{path.}", Use::Field, "no variable {path.}"),
        ("{claim.sub}", Use::Url, "{claim.sub} cannot be in a URL"),
        ("{client}", Use::Url, "{client} cannot be in a URL"),
        ("a b", Use::Url, "' ' cannot stand there"),
        ("/a#b", Use::Url, "'#' cannot stand there"),
        ("a\nb", Use::Field, "'\\n' cannot stand there"),
        ("\u{fc}", Use::Field, "'\u{fc}' cannot stand there"),
    ] {
        let error = Template::parse(text, place).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}
