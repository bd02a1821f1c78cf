use super::*;
use crate::recorded::Framing;

fn request(head: &str, body: &str) -> Request {
    let raw = format!(
        "{}\r\nHost: API.test:8443\r\nContent-Length: {}\r\n\r\n{body}",
        head.replace('\n', "\r\n"),
        body.len()
    );
    Request::from_file(raw.into_bytes())
}

#[test]
fn each_place_takes_another_value() {
    let json = "POST /a/1?q=1&q2=x HTTP/1.1\nContent-Type: application/json";
    let form = "POST /a HTTP/1.1\nContent-Type: application/x-www-form-urlencoded";
    let parts = "POST /a HTTP/1.1\nContent-Type: multipart/form-data; boundary=\"x\"";
    let xml = "POST /a HTTP/1.1\nContent-Type: text/xml";
    let cookies = "GET /a HTTP/1.1\nCookie: a=1; B=2";
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nold\r\n--x--\r\n";
    let upload =
        "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"old\"\r\n\r\n1\r\n--x--\r\n";
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
        (
            xml,
            "<a>t<b c='d'>u</b></a>",
            "XML",
            "/*",
            "<a><b c='d'></b>' x</a>",
        ),
        (cookies, "", "REQUEST_COOKIES", "b", "a=1; B=%27%20x\r\n"),
        (cookies, "", "REQUEST_HEADERS", "cookie", "Cookie: ' x\r\n"),
        (parts, upload, "FILES", "f", "; filename=\"' x\"\r\n"),
        (cookies, "", "QUERY_STRING", "", "/a?beside0=%27%20x "),
    ] {
        let request = request(head, body);
        let place = Place::of(&request, collection, Some(key.as_bytes())).unwrap();
        let changed = place.with(&request, b"' x").unwrap();
        let raw = String::from_utf8(changed.to_bytes()).unwrap();
        assert!(raw.contains(expected), "{raw}");
        // The length fits, so it can be read again.
        let read = Request::from_file(raw.into_bytes());
        assert_eq!((read.refusal(), read.framing()), (None, Framing::Whole));
        assert_eq!(read.body(), changed.body());
    }
    assert_eq!(Place::of(&request(json, "{}"), "ARGS", Some(b"none")), None);
}

#[test]
fn an_attack_beside_is_in_an_argument_of_its_own() {
    let request = request("GET /a?beside0=1 HTTP/1.1\nX: y", "");
    let line = |request: Request| String::from_utf8_lossy(request.line()).into_owned();
    assert_eq!(
        line(with_added_argument(&request, b"<")),
        "GET /a?beside0=1&beside1=%3C HTTP/1.1"
    );
    assert_eq!(
        line(with_another_path(&request)),
        "GET /a/beside?beside0=1 HTTP/1.1"
    );
}
