use std::borrow::Cow;

use serde_json::Value;

use super::*;

struct Request {
    path: &'static [u8],
    below: &'static [u8],
    query: Option<&'static [u8]>,
    host: Option<&'static [u8]>,
}

impl Facts for Request {
    fn text(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
        let text = match variable {
            Variable::Path => Some(self.path),
            Variable::Below => Some(self.below),
            Variable::Query => self.query,
            Variable::Host => self.host,
            _ => None,
        };
        text.map(Cow::Borrowed)
    }

    fn claim(&self, _name: &str) -> Option<&Value> {
        None
    }
}

const REQUEST: Request = Request {
    path: b"/old/x",
    below: b"x",
    query: Some(b"q=1"),
    host: Some(b"api.example.com"),
};

fn location(to: &str, request: &Request) -> Result<String, RedirectFault> {
    let redirect = Redirect::parse(to, RedirectStatus::Permanent).unwrap();
    let location = redirect.location(request)?;
    Ok(String::from_utf8(location).unwrap())
}

#[test]
fn redirects_lead_where_they_say() {
    for (to, expected) in [
        ("/new/{below}?{query}", "/new/x?q=1"),
        (
            "https://www.example.com{path}",
            "https://www.example.com/old/x",
        ),
        ("https://www.example.com", "https://www.example.com"),
        (
            "https://WWW.example.com:8443/a?from={path}",
            "https://WWW.example.com:8443/a?from=/old/x",
        ),
        (
            "https://{host}{path}?{query}",
            "https://api.example.com/old/x?q=1",
        ),
        (
            "https://{host}:8443/{below}",
            "https://api.example.com:8443/x",
        ),
    ] {
        assert_eq!(location(to, &REQUEST).as_deref(), Ok(expected), "{to}");
    }
    let without_query = Request {
        query: None,
        ..REQUEST
    };
    let made = location("/new{path}?{query}", &without_query);
    assert_eq!(made.as_deref(), Ok("/new/old/x"));
}

#[test]
fn no_request_leaves_the_host_that_is_written() {
    let below = Request {
        below: b"/evil.example",
        ..REQUEST
    };
    assert_eq!(location("/{below}", &below), Err(RedirectFault::OtherHost));
    let star = Request {
        path: b"*",
        ..REQUEST
    };
    for to in [
        "https://www.example.com{path}",
        "https://{host}{path}",
        "https://{host}:1{path}",
    ] {
        assert_eq!(location(to, &star), Err(RedirectFault::OtherHost), "{to}");
    }
    let odd = Request {
        path: b".evil.example/",
        ..REQUEST
    };
    let made = location("https://www.example.com{path}", &odd);
    assert_eq!(made, Err(RedirectFault::OtherHost));
    let nobody = Request {
        host: None,
        ..REQUEST
    };
    assert_eq!(
        location("https://{host}{path}", &nobody),
        Err(RedirectFault::NoHost)
    );
    let backslash = Request {
        below: b"\\evil.example",
        ..REQUEST
    };
    assert_eq!(
        location("/{below}", &backslash).as_deref(),
        Ok("/%5Cevil.example")
    );
}

#[test]
fn what_could_lead_elsewhere_is_refused() {
    for (to, words) in [
        ("{path}", "leads to a path or to https"),
        ("//www.example.com/", "leads to a path or to https"),
        ("http://www.example.com/", "leads to a path or to https"),
        ("https://", "leads to a path or to https"),
        ("https://{below}", "leads to a path or to https"),
        ("https://www.example.com{below}", "after the host"),
        ("https://{host}{below}", "after the host"),
        ("https://{host}.evil.example/", "after the host"),
        ("https://{host}:99999/", "after the host"),
        ("https://a@b/", "\"a@b\" is no host"),
        ("https://a{{b/", "is no host"),
        ("/new/{client}", "cannot be in a URL"),
    ] {
        let error = Redirect::parse(to, RedirectStatus::Found)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
}

#[test]
fn the_host_is_known() {
    for (to, host) in [
        ("/new", RedirectHost::Same),
        ("https://{host}/new", RedirectHost::Asked),
        (
            "https://WWW.Example.com:8443/",
            RedirectHost::Named("www.example.com".to_owned()),
        ),
    ] {
        let redirect = Redirect::parse(to, RedirectStatus::Found).unwrap();
        assert_eq!(redirect.host(), &host);
    }
}
