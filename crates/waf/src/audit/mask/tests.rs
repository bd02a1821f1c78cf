use super::*;

#[test]
fn secrets_in_fields_are_masked() {
    for (name, value, shown) in [
        ("Cookie", "a=1; b=; theme=dark", "a=***; b=; theme=***"),
        ("Authorization", "Bearer abc.def", "Bearer ***"),
        ("Authorization", "abc", "***"),
        ("X-Api-Key", "k", "***"),
        ("X-Api-Key", "", ""),
        (
            "Referer",
            "https://a.test/?token=h&b=1",
            "https://a.test/?token=***&b=1",
        ),
        ("Accept", "text/html", "text/html"),
    ] {
        let masked = masked_field(name.as_bytes(), value.as_bytes());
        assert_eq!(String::from_utf8(masked).unwrap(), shown, "{name}: {value}");
    }
}

#[test]
fn secrets_in_text_are_masked() {
    for (text, shown) in [
        ("a=1&password=hunter2&b=2", "a=1&password=***&b=2"),
        (
            "/x?user%5Bpass%77ord%5D=h&b=1",
            "/x?user%5Bpass%77ord%5D=***&b=1",
        ),
        (
            "next=%2Fl%3Fpwd%3Dh%26b%3D1",
            "next=%2Fl%3Fpwd%3D***%26b%3D1",
        ),
        (
            r#"{"a":1,"api_key":"h\"x","b":2}"#,
            r#"{"a":1,"api_key":***,"b":2}"#,
        ),
        (r#"{"pin": 1234, "b": 2}"#, r#"{"pin": ***, "b": 2}"#),
        (
            r#"{"secrets":{"a":["h"],"b":{}},"c":1}"#,
            r#"{"secrets":***,"c":1}"#,
        ),
        (
            r#"{"s":"{\"token\":\"h\",\"b\":1}"}"#,
            r#"{"s":"{\"token\":***,\"b\":1}"}"#,
        ),
        (
            "<u><password>h</password><b>1</b></u>",
            "<u><password>***</password><b>1</b></u>",
        ),
        (r#"<u password="h" b="1"/>"#, r#"<u password=*** b="1"/>"#),
        (
            "<wsse:Password Type=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText\">h</wsse:Password><b>1</b>",
            "<wsse:Password Type=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText\">***</wsse:Password><b>1</b>",
        ),
        (
            "<pwd a='>'><![CDATA[h]]></pwd><b/>",
            "<pwd a='>'>***</pwd><b/>",
        ),
        (
            "<s>&lt;password&gt;h&lt;/password&gt;&lt;b&gt;1</s>",
            "<s>&lt;password&gt;***&lt;/password&gt;&lt;b&gt;1</s>",
        ),
        (
            r#"<entry a="1" key = "password">h</entry><b>1</b>"#,
            r#"<entry a="1" key = "password">***</entry><b>1</b>"#,
        ),
        (
            r#"<add key="ApiKey" value="h"/><add key="b" value="1"/>"#,
            r#"<add key="ApiKey" value="***"/><add key="b" value="1"/>"#,
        ),
        (
            r#"<add value="h" key="ApiKey"/>"#,
            r#"<add value="***" key="ApiKey"/>"#,
        ),
        (
            "<member><name>password</name>\n<value><string>h</string></value></member>",
            "<member><name>password</name>\n<value>***</value></member>",
        ),
        (
            "<key>pin</key><integer>1234</integer><key>b</key><integer>5</integer>",
            "<key>pin</key><integer>***</integer><key>b</key><integer>5</integer>",
        ),
        (
            "<samlp:Response><saml:Assertion ID=\"x\">h</saml:Assertion></samlp:Response>",
            "<samlp:Response><saml:Assertion ID=\"x\">***</saml:Assertion></samlp:Response>",
        ),
        (
            r#"[{"name": "password", "value": "h"},{"name":"b","value":"1"}]"#,
            r#"[{"name": "password", "value": ***},{"name":"b","value":"1"}]"#,
        ),
        (
            "/cb?code=h&state=1&session_state=2",
            "/cb?code=***&state=1&session_state=2",
        ),
        (
            "/b?sv=1&sig=h%2Bh%3D&hmac=h&session=h&b=1",
            "/b?sv=1&sig=***&hmac=***&session=***&b=1",
        ),
        (
            "SAMLResponse=PHNhbWw%2B&RelayState=1",
            "SAMLResponse=***&RelayState=1",
        ),
        (
            "grant_type=a&assertion=h&client_assertion=h&id_token=h&refresh_token=h",
            "grant_type=a&assertion=***&client_assertion=***&id_token=***&refresh_token=***",
        ),
        (
            "country_code=de&postal-code=1&error_code=2&decode=3&design=4&signal=5",
            "country_code=de&postal-code=1&error_code=2&decode=3&design=4&signal=5",
        ),
        (
            "Host: a\r\nAuthorization: Basic aGg6\r\nB: 1",
            "Host: a\r\nAuthorization: ***\r\nB: 1",
        ),
        ("x\r\nCookie: a=b; c=d\r\n", "x\r\nCookie: ***\r\n"),
        (
            "form-data; name=\"pwd\"\r\n\r\nh\r\n--x",
            "form-data; name=\"pwd\"\r\n\r\n***\n--x",
        ),
        ("https://u:h@host/", "https://u:***@host/"),
        ("say Bearer abc.def-ghi now", "say Bearer *** now"),
        ("card 4111 1111 1111 1111.", "card ***."),
        ("4111-1111-1111-1111", "***"),
        ("n=378282246310005;", "n=***;"),
        ("4111%201111%201111%201111", "***"),
        ("7 4111111111111111", "7 ***"),
        ("id 4111111111111112", "id 4111111111111112"),
        ("14111111111111111111111", "14111111111111111111111"),
        ("0000000000000000", "0000000000000000"),
        ("comparison=1&passenger=2", "comparison=1&passenger=2"),
        (
            "Matched Data: x found within ARGS:id: 1 or 1",
            "Matched Data: x found within ARGS:id: 1 or 1",
        ),
        ("basic maths: 1", "basic maths: 1"),
    ] {
        let masked = masked(text.as_bytes(), 4096);
        assert_eq!(String::from_utf8_lossy(&masked), shown, "{text}");
    }
}

#[test]
fn names_that_stand_for_secrets() {
    for name in [
        "password",
        "Passwd",
        "user[password]",
        "json.user.passWord",
        "new-pass",
        "pwd",
        "client_secret",
        "X-Auth-Token",
        "x-api-key",
        "API_KEY",
        "access_token",
        "otp",
        "credit_card",
        "card-number",
        "cvv",
        "PHPSESSID",
        "p%61ssword",
        "json.pass.0",
        "code",
        "json.code",
        "json.code.0",
        "oauth[code]",
        "auth_code",
        "deviceCode",
        "sig",
        "X-Sig",
        "hmac",
        "session",
        "SAMLResponse",
        "SAMLart",
        "assertion",
        "client_assertion",
        "X-Hub-Signature-256",
        "id_token",
        "refresh_token",
        "ticket",
        "code_verifier",
        "Ocp-Apim-Subscription-Key",
        "DPoP",
    ] {
        assert!(is_secret_name(name.as_bytes()), "{name}");
    }
    for name in [
        "",
        "q",
        "compass",
        "passenger",
        "author",
        "pinned",
        "company",
        "host",
        "id",
        "session.referer_check",
        "country_code",
        "zip-code",
        "barcode",
        "encode",
        "signal",
        "sessions",
        "assertions",
        "key",
        "state",
    ] {
        assert!(!is_secret_name(name.as_bytes()), "{name}");
    }
}

#[test]
fn cookies_keep_their_names() {
    type Find = fn(&[u8], &mut dyn FnMut(Range<usize>));
    let shown = |header: &[u8], find: Find| {
        let mut ranges = Vec::new();
        find(header, &mut |r| {
            ranges.push(String::from_utf8_lossy(&header[r]).into_owned());
        });
        ranges
    };
    assert_eq!(shown(b"a=1; b=2=3;c; d=", cookie_values), ["1", "2=3", "c"]);
    assert_eq!(shown(b"a=1; Path=/", set_cookie_value), ["1"]);
    assert_eq!(credentials(b"Basic abc"), 6..9);
    assert_eq!(credentials(b"abc"), 0..3);
}

/// Each byte is looked at a bounded number of times: hostile repetitions end soon and find nothing odd.
#[test]
fn hostile_text_is_walked_through_once() {
    for piece in [
        "%3D",
        "=",
        "\"a\":",
        "<a",
        "name=\"",
        "1 ",
        "token:{",
        "://a:",
        "password=\"",
        "<pwd>",
        "<pwd ",
        "<a b='",
        "&lt;a",
        "&lt;pwd&gt;",
        "<name>pwd</name>",
        "<a key=\"pwd\">",
        "\"name\":\"pwd\",\"value\":",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        let mut last = 0;
        secrets(text.as_bytes(), &mut |range| {
            assert!(range.start >= last && range.end <= text.len(), "{piece}");
            last = range.end;
        });
    }
}
