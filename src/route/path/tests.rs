use super::*;

#[test]
fn every_spelling_of_a_dot_segment_or_slash_is_refused() {
    const DOT: &str = "dot_segment";
    const SLASH: &str = "encoded_slash";
    const BACK: &str = "backslash";
    for (path, code) in [
        // plain
        ("/a/../b", DOT),
        ("/a/..", DOT),
        ("/a/./b", DOT),
        ("/a/.", DOT),
        ("/..", DOT),
        ("/../", DOT),
        ("/a//../b", DOT),
        ("..", DOT),
        // escaped once, whole or in part, in either case
        ("/a/%2e%2e/b", DOT),
        ("/a/%2E%2E/b", DOT),
        ("/a/.%2e/b", DOT),
        ("/a/%2e./b", DOT),
        ("/a/%2e/b", DOT),
        ("/a/%2e%2e", DOT),
        // escaped more than once
        ("/a/%252e%252e/b", DOT),
        ("/a/.%252e/b", DOT),
        ("/a/%25252e%25252e/b", DOT),
        ("/a/%25%32%65%25%32%65/b", DOT),
        ("/a/%%32%65%%32%65/b", DOT),
        ("/a/%%32e%%32e/b", DOT),
        ("/a/%2%65%2%65/b", DOT),
        // with parameters
        ("/a/..;/b", DOT),
        ("/a/..;x=1/b", DOT),
        ("/a/.;/b", DOT),
        ("/a/%2e%2e;/b", DOT),
        ("/a/%2e%2e;x/b", DOT),
        ("/a/..%3b/b", DOT),
        ("/a/..%3Bx/b", DOT),
        ("/a/..%253bx/b", DOT),
        ("/a/..;%2f/b", DOT),
        // beside other separators
        ("/a/..%2fb", DOT),
        ("/a/..%2Fb", DOT),
        ("/a/%2e%2e%2fb", DOT),
        ("/a%2f..%2fb", DOT),
        ("/a%2f%2e%2e/b", DOT),
        ("/a/..%252fb", DOT),
        ("/a/..%255cb", DOT),
        ("/a/..%5cb", DOT),
        ("/a/x%5c..%5cb", DOT),
        // blanks that some file systems drop
        ("/a/..%20/b", DOT),
        ("/a/%20../b", DOT),
        ("/a/..%09/b", DOT),
        ("/a/..%0d%0a/b", DOT),
        // IIS and best fit
        ("/a/%u002e%u002e/b", DOT),
        ("/a/%U002E./b", DOT),
        ("/a/..%u2215b", DOT),
        ("/a/..%u2216b", DOT),
        ("/a/%uff0e%uff0e/b", DOT),
        ("/a/%ef%bc%8e%ef%bc%8e/b", DOT),
        ("/a/\u{ff0e}\u{ff0e}/b", DOT),
        ("/a/..%ef%bc%8fb", DOT),
        ("/a/..%e2%88%95b", DOT),
        ("/a/%ef%bc%852e%ef%bc%852e/b", DOT),
        ("/a/%ef%bc%85%ef%bc%92%ef%bd%85./b", DOT),
        ("/a/.%e2%80%8b./b", DOT),
        ("/a/..%3f", DOT),
        ("/a/..%23b/c", DOT),
        ("/a/..%253f", DOT),
        ("/a/%e2%80%a5/b", DOT),
        ("/a/%e2%80%a4%e2%80%a4/b", DOT),
        // overlong
        ("/a/%c0%ae%c0%ae/b", "overlong_utf8"),
        ("/a/..%c0%afb", "overlong_utf8"),
        ("/a/..%c1%9cb", "overlong_utf8"),
        ("/a/%c0%2e%c0%2e/b", "overlong_utf8"),
        ("/a/..%c0%2fb", "overlong_utf8"),
        ("/a/..%c0%5cb", "overlong_utf8"),
        ("/a/%e0%80%ae%e0%80%ae/b", "overlong_utf8"),
        ("/a/%f0%80%80%ae/b", "overlong_utf8"),
        ("/a/%25c0%25ae/b", "overlong_utf8"),
        // separators
        ("/a%2fb", SLASH),
        ("/a%2Fb", SLASH),
        ("/%2fa", SLASH),
        ("/a%u002fb", SLASH),
        ("/a%uff0fb", SLASH),
        ("/a\\b", BACK),
        ("/a\\..\\b", BACK),
        ("/..\\b", BACK),
        ("/a%5cb", BACK),
        ("/a%5Cb", BACK),
        ("/a%u005cb", BACK),
        // ends of strings and of paths
        ("/a%00b", "nul"),
        ("/a%00", "nul"),
        ("/a%2500", "nul"),
        ("/a%u0000", "nul"),
        ("/a\0", "nul"),
        ("/a#b", "forbidden_character"),
        ("/a b", "forbidden_character"),
        ("/a\tb", "forbidden_character"),
        ("/a\r\nb", "forbidden_character"),
        ("/a\x7f", "forbidden_character"),
    ] {
        let refused = check(path.as_bytes(), false).map_err(|refusal| refusal.code);
        assert_eq!(refused, Err(code), "{path:?}");
        if code != SLASH {
            let refused = check(path.as_bytes(), true).map_err(|refusal| refusal.code);
            assert_eq!(refused, Err(code), "{path:?} with encoded slashes passed");
        }
    }
}

#[test]
fn ordinary_paths_pass() {
    for path in [
        "/",
        "",
        "/a",
        "/a/b/",
        "/a//b",
        "/a/.well-known/x",
        "/a/..b/c",
        "/a/b../c",
        "/a/...",
        "/a/b.c",
        "/a/.b;x=1",
        "/a;v=1/b",
        "/a/%7Ejoe",
        "/a/100%25",
        "/a/100%",
        "/a/%zz",
        "/a/%2",
        "/a/b%20c",
        "/a/%3f%23",
        "/a/caf%c3%a9",
        "/a/caf%e9",
        "/a/%c0%20la",
        "/a/%e0%a4%85",
        "/a/%f0%9f%98%80",
        "/a/x%ef%bc%8ey",
        "/go/https%253A%252F%252Fexample.com%252F",
        "/a/x%252fy",
    ] {
        assert_eq!(check(path.as_bytes(), false), Ok(()), "{path}");
    }
    assert_eq!(check(b"/a/\xe9\xff", false), Ok(()));
    assert_eq!(check(b"/a%2Fb%2fc", true), Ok(()));
}

#[test]
fn unreserved_characters_are_decoded_once_and_no_more() {
    for (path, expected) in [
        ("/a/b", "/a/b"),
        ("", "/"),
        ("/%61%7e%2D%5f", "/a~-_"),
        ("/%6F%72", "/or"),
        ("/%2561", "/%2561"),
        ("/%25%36%31", "/%2561"),
        ("/%3b%40%2f", "/%3B%40%2F"),
        ("/%c3%A9", "/%C3%A9"),
        ("/%", "/%"),
        ("/%6", "/%6"),
        ("/%g1%61", "/%g1a"),
        ("/%%61", "/%a"),
    ] {
        assert_eq!(canonical(path.as_bytes()), expected.as_bytes(), "{path}");
    }
}

#[test]
fn lenient_readings_drop_all_that_servers_drop() {
    for (path, expected) in [
        ("/a/b", &[][..]),
        ("/a/b/", &["/a/b/"]),
        ("/a//b", &["/a/b"]),
        ("//a", &["/a"]),
        ("//", &["/"]),
        ("/a;x/b;y", &["/a/b"]),
        ("/a/;x/b", &["/a/b"]),
        ("/a/b/;x", &["/a/b"]),
        ("/%2561%40/", &["/a@/"]),
        ("/a%2fb", &["/a/b"]),
        ("/a%20/b", &["/a/b"]),
        ("/%20a%09/%c2%a0b", &["/a/b"]),
        ("/a%0b%1f/b", &["/a/b"]),
        ("/a./b", &["/a/b"]),
        ("/a/b. .", &["/a/b"]),
        ("/a/.b/c.d", &[]),
        ("/A/%42/%2543", &["/a/b/c"]),
        ("/a/b%3fc/d", &["/a/b", "/a/b?c/d"]),
        ("/a/b%2523c", &["/a/b", "/a/b#c"]),
        ("/a/;%3f/b", &["/a", "/a/b"]),
        ("/a%3f", &["/a", "/a?"]),
        // Full-width letters, question mark and percent.
        ("/%ef%bd%81/%ef%bc%a2", &["/a/b"]),
        ("/a/%uff42%uff1fc", &["/a/b", "/a/b?c"]),
        ("/a/%ef%bc%8562", &["/a/b"]),
    ] {
        let readings = lenient_readings(path.as_bytes());
        let readings: Vec<_> = readings
            .iter()
            .map(|r| r.escape_ascii().to_string())
            .collect();
        assert_eq!(readings, expected, "{path}");
    }
}

#[test]
fn decoding_takes_linear_time() {
    // What a reader that starts over after each escape would do quadratically.
    let nested = [b"/%".to_vec(), b"25".repeat(100_000), b"2e".to_vec()].concat();
    assert_eq!(fully_decoded(&nested), b"/.");
    assert_eq!(check(&nested, false), Err(PathRefusal::DOT_SEGMENT));
    let slashes = b"/".repeat(200_000);
    assert_eq!(lenient_readings(&slashes), [b"/"]);
    let wide = "%ef%bc%85".repeat(10_000);
    let nested = wide.replace('%', "%ef%bc%85");
    assert!(lenient_readings(nested.as_bytes())[0].len() < nested.len());
}
