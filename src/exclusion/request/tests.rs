use super::*;

fn request(head: &str, body: &str) -> Request {
    let raw = format!(
        "{}\r\nHost: API.test:8443\r\nContent-Length: {}\r\n\r\n{body}",
        head.replace('\n', "\r\n"),
        body.len()
    );
    Request::parse(raw.as_bytes()).unwrap()
}

#[test]
fn each_place_takes_another_value() {
    let json = "POST /a/1?q=1&q2=x HTTP/1.1\nContent-Type: application/json";
    let form = "POST /a HTTP/1.1\nContent-Type: application/x-www-form-urlencoded";
    let parts = "POST /a HTTP/1.1\nContent-Type: multipart/form-data; boundary=\"x\"";
    let xml = "POST /a HTTP/1.1\nContent-Type: text/xml";
    let cookies = "GET /a HTTP/1.1\nCookie: a=1; B=2";
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nold\r\n--x--\r\n";
    for (head, body, collection, key, expected) in [
        (json, "{}", "ARGS", "q", "?q=%27%20x&q2=x "),
        (
            json,
            r#"{"items":[{"n":1},{"n":"b"}]}"#,
            "ARGS",
            "json.items.1.n",
            r#"{"items":[{"n":1},{"n":"' x"}]}"#,
        ),
        (form, "a=1&b%5B%5D=2", "ARGS", "b[]", "a=1&b%5B%5D=%27%20x"),
        (parts, multipart, "ARGS", "n", "\r\n\r\n' x\r\n--x--"),
        (xml, "<a>t</a>", "XML", "/*", "<a>t' x</a>"),
        (cookies, "", "REQUEST_COOKIES", "b", "a=1; B=%27%20x\r\n"),
        (cookies, "", "REQUEST_HEADERS", "cookie", "Cookie: ' x\r\n"),
    ] {
        let request = request(head, body);
        let place = request.place_of(collection, Some(key.as_bytes())).unwrap();
        let changed = request.with(&place, b"' x").unwrap();
        let raw = String::from_utf8(changed.to_bytes()).unwrap();
        assert!(raw.contains(expected), "{raw}");
        // The length fits, so it can be read again.
        assert_eq!(Request::parse(raw.as_bytes()).unwrap(), changed);
    }
    assert_eq!(request(json, "{}").host().as_deref(), Some("api.test"));
    assert!(
        request(json, "{}")
            .place_of("ARGS", Some(b"none"))
            .is_none()
    );
}

#[test]
fn what_is_written_holds_no_credentials() {
    let head = "POST /a?password=hunter2&q=1 HTTP/1.1\nContent-Type: application/json\nAuthorization: Bearer abc\n\
                Cookie: session=abc; theme=dark\nX-Api-Key: abc";
    let request = request(head, r#"{"token":"abc","note":"x"}"#);
    let raw = |kept: &[Place]| {
        let bytes = request.without_credentials(kept).to_bytes();
        String::from_utf8(bytes).unwrap()
    };
    let bare = raw(&[]);
    for secret in ["abc", "hunter2", "theme"] {
        assert!(!bare.contains(secret), "{bare}");
    }
    assert!(bare.contains(r#""note":"x""#) && bare.contains("q=1"));
    let kept = raw(&[Place::Cookie(b"theme".to_vec())]);
    assert!(kept.contains("Cookie: theme=dark\r\n"), "{kept}");
}

#[test]
fn an_attack_beside_is_in_an_argument_of_its_own() {
    let request = request("GET /a?beside0=1 HTTP/1.1\nX: y", "");
    assert_eq!(request.with_added_argument(b"<").path(), b"/a");
    assert_eq!(
        request.with_added_argument(b"<").line(),
        "GET /a?beside0=1&beside1=%3C"
    );
    assert_eq!(
        request.with_another_path().line(),
        "GET /a/beside?beside0=1"
    );
}
