use super::super::mutate::mutations;
use super::*;

type Pairs = Vec<(String, Vec<u8>)>;

fn collect(body: &[u8]) -> (Pairs, Result<Outcome, BodyError>) {
    let mut pairs = Pairs::new();
    let result = parse(body, 100, 1000, &mut |n, v| {
        pairs.push((String::from_utf8_lossy(n).into_owned(), v.to_vec()));
    });
    (pairs, result)
}

#[test]
fn flattens_to_names_and_values() {
    type Case = (&'static str, &'static [(&'static str, &'static str)]);
    let cases: &[Case] = &[
        ("", &[]),
        ("{}", &[]),
        (" [ ] ", &[]),
        ("\"x\"", &[("json", "x")]),
        ("-0.5e+10", &[("json", "-0.5e+10")]),
        (r#"{"profile":"x"}"#, &[("json.profile", "x")]),
        (r#"{"a":1,"a":2}"#, &[("json.a", "1"), ("json.a", "2")]),
        (
            r#"{"items":[{"id":1},{"id":2}]}"#,
            &[
                ("json.items.0.id", "1"),
                ("json.items.1.id", "2"),
                ("json.items", "2"),
            ],
        ),
        (
            r#"[1,[2,3],{"b":[4]},5]"#,
            &[
                ("json.0", "1"),
                ("json.1.0", "2"),
                ("json.1.1", "3"),
                ("json.2.b.0", "4"),
                ("json.2.b", "1"),
                ("json.3", "5"),
            ],
        ),
        (
            r#"{"t":true,"f":false,"n":null}"#,
            &[("json.t", "true"), ("json.f", "false"), ("json.n", "")],
        ),
        (r#"{"":{"":1}}"#, &[("json..", "1"), ("json.", "")]),
        (r#"{"a.b":1}"#, &[("json.a.b", "1")]),
        (
            r#"{"() { :; }":{},"e":[]}"#,
            &[("json.() { :; }", ""), ("json.e", "")],
        ),
        (
            r#"{"a":{"b":1},"c":2}"#,
            &[("json.a.b", "1"), ("json.a", ""), ("json.c", "2")],
        ),
        (
            r#"{"roles__contained_by":["admin"],"x":[[],{"y":{}}]}"#,
            &[
                ("json.roles__contained_by.0", "admin"),
                ("json.roles__contained_by", "1"),
                ("json.x.0", ""),
                ("json.x.1.y", ""),
                ("json.x", "2"),
            ],
        ),
        (
            r#"{"k\u0041\n":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#,
            &[("json.kA\n", "\"\\/\u{8}\u{c}\n\r\té😀")],
        ),
        ("\t\r\n {\"a\" : \"é\" } \n", &[("json.a", "é")]),
        (r#"["\u0000"]"#, &[("json.0", "\0")]),
    ];
    for (body, expected) in cases {
        let (pairs, result) = collect(body.as_bytes());
        let expected: Pairs = expected
            .iter()
            .map(|(n, v)| ((*n).into(), v.as_bytes().to_vec()))
            .collect();
        assert_eq!(pairs, expected, "{body}");
        assert_eq!(result.map(|o| o.arguments), Ok(expected.len()), "{body}");
    }
}

#[test]
fn lone_surrogates_keep_their_bits() {
    for (body, expected) in [
        (r#""\ud800""#, &b"\xed\xa0\x80"[..]),
        (r#""\udfff""#, b"\xed\xbf\xbf"),
        (r#""\ud83dx""#, b"\xed\xa0\xbdx"),
        (r#""\ud83d\u0041""#, b"\xed\xa0\xbdA"),
    ] {
        assert_eq!(collect(body.as_bytes()).0[0].1, expected, "{body}");
    }
}

#[test]
fn refuses_what_is_not_json() {
    for (body, offset, text) in [
        (&b"{"[..], 1, "premature EOF"),
        (b" ", 1, "premature EOF"),
        (b"{\"a\"", 4, "premature EOF"),
        (b"{\"a\":", 5, "premature EOF"),
        (b"[1", 2, "premature EOF"),
        (b"\"abc", 4, "premature EOF"),
        (b"\"\\", 2, "premature EOF"),
        (b"\"\\u12", 5, "premature EOF"),
        (b"tru", 3, "premature EOF"),
        (b"1.", 2, "premature EOF"),
        (b"{\"a\":1}x", 7, "trailing garbage"),
        (b"1 2", 2, "trailing garbage"),
        (b"01", 1, "trailing garbage"),
        (b"[1,]", 3, "unallowed token"),
        (b"{\"a\":1,}", 7, "invalid object key"),
        (b"{a:1}", 1, "invalid object key"),
        (b"{\"a\" 1}", 5, "separated by a colon"),
        (b"{\"a\":1 \"b\"}", 7, "inside map"),
        (b"[1}", 2, "after array element"),
        (b"{\"a\":1]", 6, "inside map"),
        (b"NaN", 0, "invalid char"),
        (b"nul!", 0, "invalid string"),
        (b"'a'", 0, "invalid char"),
        (b"/*x*/1", 0, "invalid char"),
        (b"+1", 0, "invalid char"),
        (b"-x", 1, "after the minus sign"),
        (b"1.x", 2, "after the decimal point"),
        (b"1ex", 2, "after the exponent"),
        (b"\"\n\"", 1, "invalid character inside string"),
        (b"\"\\x\"", 1, "occurs before a character"),
        (b"\"\\u12g4\"", 1, "non-hex"),
        (b"\xef\xbb\xbf1", 0, "invalid char"),
        (b"\"\xff\"", 1, "invalid bytes in UTF8"),
        (b"[1,\"\xc0\x80\"]", 4, "invalid bytes in UTF8"),
        (b"1\xff", 1, "invalid bytes in UTF8"),
        (b"x\xff", 0, "invalid char"),
    ] {
        let error = collect(body).1.expect_err(&String::from_utf8_lossy(body));
        assert!(error.message.starts_with("JSON parsing error: "), "{error}");
        assert!(error.message.contains(text), "{body:?}: {error}");
        assert_eq!(error.offset, offset, "{body:?}: {error}");
    }
}

#[test]
fn what_stands_before_and_behind_an_error_is_given() {
    let (pairs, result) = collect(b"{\"a\":\"attack\",\"b\":}");
    let rest = ("json".to_owned(), b"}".to_vec());
    assert_eq!(pairs, [("json.a".to_owned(), b"attack".to_vec()), rest]);
    assert!(result.is_err());
    let (pairs, _) = collect(b"[1,\"\xff\",\"attack\"]");
    assert_eq!(
        pairs[1],
        ("json".to_owned(), b"\xff\",\"attack\"]".to_vec())
    );
}

#[test]
fn bounds_depth_and_count() {
    let nested = |n: usize| [b"[".repeat(n), b"1".to_vec(), b"]".repeat(n)].concat();
    assert!(parse(&nested(5), 5, 9, &mut |_, _| {}).is_ok());
    let error = parse(&nested(6), 5, 9, &mut |_, _| {}).unwrap_err();
    assert_eq!(
        (error.offset, error.message.as_str()),
        (5, "JSON parsing error: JSON depth limit exceeded")
    );
    let mut count = 0;
    let error = parse(b"[1,2,3]", 5, 2, &mut |_, _| count += 1).unwrap_err();
    assert_eq!(
        (count, error.message.as_str()),
        (3, "JSON parsing error: More than 2 JSON keys")
    );
}

#[test]
fn names_of_containers_are_bounded_and_not_lost() {
    let mut names = Vec::new();
    let mut collect = |body: &[u8], most: usize| {
        names.clear();
        let result = parse(body, 9, most, &mut |n, _| {
            names.push(String::from_utf8_lossy(n).into_owned());
        });
        (names.join(" "), result.err().map(|e| e.message))
    };
    // As many keys of containers as leaves, and no more.
    let two = br#"{"a":[1],"b":{"c":2}}"#;
    assert_eq!(collect(two, 2).1, None);
    let three = br#"{"a":[[{"b":{"c":{"d":1}}}]]}"#;
    assert_eq!(
        collect(three, 2).1.as_deref(),
        Some("JSON parsing error: More than 2 JSON keys")
    );
    // What breaks off in a container has its name nevertheless.
    let (names, error) = collect(br#"{"a__gte":[1,{"b__in":["x""#, 9);
    assert!(error.is_some());
    assert_eq!(
        names,
        "json.a__gte.0 json.a__gte.1.b__in.0 json.a__gte.1.b__in json.a__gte"
    );
}

#[test]
fn names_are_bounded_each_and_in_total() {
    let long = format!("{{\"{}\":1}}", "k".repeat(LONGEST_NAME));
    assert!(
        collect(long.as_bytes())
            .1
            .unwrap_err()
            .message
            .contains("too long")
    );
    // One long key above many leaves.
    let body = format!("{{\"{}\":[{}1]}}", "k".repeat(16_000), "1,".repeat(100_000));
    let mut bytes = 0;
    let result = parse(body.as_bytes(), 10, usize::MAX, &mut |n, _| {
        bytes += n.len();
    });
    assert!(result.unwrap_err().message.contains("in total"));
    assert!(bytes <= body.len() * NAMES_PER_BODY + NAMES_FLOOR);
}

#[test]
fn work_is_linear() {
    for unit in [
        "[",
        "{\"a\":",
        "[[],",
        "\\n",
        "1,",
        "{\"\":{},",
        " ",
        "1",
        "\"\\u0000\",",
    ] {
        for start in ["", "[", "\"", "[\""] {
            work::assert_linear(start, unit, 6, |body| {
                let _ = parse(body, usize::MAX, usize::MAX, &mut |_, _| {});
            });
        }
    }
}

#[test]
fn hostile_input_gives_a_bounded_answer() {
    for unit in [
        "[",
        "{\"a\":",
        "[[],",
        "\"",
        "\\",
        "1,",
        "{\"\":{},",
        " ",
        "\"\\u0000",
    ] {
        let body = unit.repeat((4 << 20) / unit.len());
        let (mut calls, mut bytes) = (0, 0);
        let result = parse(body.as_bytes(), usize::MAX, usize::MAX, &mut |n, v| {
            calls += 1;
            bytes += n.len() + v.len();
        });
        assert!(result.is_err(), "{unit}");
        assert!(calls <= body.len());
        assert!(
            bytes <= body.len() * (NAMES_PER_BODY + 1) + NAMES_FLOOR,
            "{unit}: {bytes}"
        );
    }
}

#[test]
fn agrees_with_another_reader_on_what_is_json() {
    mutations(
        &[
            br#"{"a":[1,-2.5e3,true,null,{"b":"x\u00e9\n"}],"c":{}}"#,
            br#"[[],{},"",0,false]"#,
        ],
        &[
            b"{", b"}", b"[", b"]", b",", b":", b"\"", b"\\u", b"\\", b"0", b"-", b"e1", b"null",
        ],
        40_000,
        |body| {
            let mut bytes = 0;
            let ours = parse(body, 1000, 1000, &mut |n, v| {
                bytes += v.len();
                assert!(n.starts_with(b"json"));
            });
            assert!(bytes <= body.len());
            if let Err(error) = &ours {
                assert!(error.offset <= body.len());
            }
            let theirs = serde_json::from_slice::<serde_json::Value>(body);
            // That one refuses lone surrogates and numbers out of range.
            match theirs {
                Ok(_) => assert!(
                    ours.is_ok(),
                    "{:?}: {ours:?}",
                    String::from_utf8_lossy(body)
                ),
                Err(e)
                    if e.to_string().contains("surrogate") || e.to_string().contains("range") => {}
                Err(e) => assert!(
                    ours.is_err() || body.is_empty(),
                    "{:?}: {e}",
                    String::from_utf8_lossy(body)
                ),
            }
        },
    );
}
