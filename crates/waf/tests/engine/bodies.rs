//! Bodies: what the processors fill, limits, flags, codings.

use std::io::Write;

use waf::EngineMode;

use super::harness::{Exchange, build, builder, check, check_all, judge, load, play, values};

const MULTIPART: &str = "POST /\nContent-Type: multipart/form-data; boundary=XX\n\n";

fn multipart(body: &str) -> Exchange {
    Exchange::parse(MULTIPART).with_body(body.replace('\n', "\r\n"))
}

#[test]
fn variables_of_bodies() {
    let all = |list: &str| {
        build(&format!(
            "SecRule {list} \"@unconditionalMatch\" \"id:1,phase:2,pass\""
        ))
    };
    let form = Exchange::parse(
        "POST /?q=0\nContent-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\n\na=1+2&b&=3&c=%41%zz&a=5",
    );
    for (list, expected) in [
        (
            "ARGS_POST",
            "ARGS_POST:a=1 2|ARGS_POST:b=|ARGS_POST:=3|ARGS_POST:c=A%zz|ARGS_POST:a=5",
        ),
        ("URLENCODED_ERROR", "URLENCODED_ERROR=1"),
        ("REQBODY_PROCESSOR", "REQBODY_PROCESSOR=URLENCODED"),
        ("REQUEST_BODY_LENGTH", "REQUEST_BODY_LENGTH=23"),
        ("ARGS_COMBINED_SIZE", "ARGS_COMBINED_SIZE=15"),
        (
            "REQBODY_ERROR|REQBODY_ERROR_MSG",
            "REQBODY_ERROR=0|REQBODY_ERROR_MSG=",
        ),
    ] {
        assert_eq!(
            values(&play(&all(list), &form), 1).join("|"),
            expected,
            "{list}"
        );
    }
    let file = multipart(
        "--XX\nContent-Disposition: form-data; name=\"a\"\n\none\n--XX\nContent-Disposition: form-data; name=\"f\"; filename=\"x.php\"\nContent-Type: text/plain\n\nfour\n--XX--\n",
    );
    for (list, expected) in [
        ("ARGS", "ARGS:a=one"),
        ("FILES", "FILES:f=x.php"),
        ("FILES_NAMES", "FILES_NAMES:f=f"),
        ("FILES_SIZES", "FILES_SIZES:f=4"),
        ("FILES_COMBINED_SIZE", "FILES_COMBINED_SIZE=4"),
        ("MULTIPART_STRICT_ERROR", "MULTIPART_STRICT_ERROR=0"),
        (
            "MULTIPART_PART_HEADERS:f",
            "MULTIPART_PART_HEADERS:f=Content-Disposition: form-data; name=\\\"f\\\"; filename=\\\"x.php\\\"|MULTIPART_PART_HEADERS:f=Content-Type: text/plain",
        ),
        ("&REQUEST_BODY", "REQUEST_BODY=0"),
        ("REQBODY_ERROR", "REQBODY_ERROR=0"),
    ] {
        assert_eq!(
            values(&play(&all(list), &file), 1).join("|"),
            expected,
            "{list}"
        );
    }
    let json =
        |body: &str| Exchange::parse("POST /\nContent-Type: application/json\n\n").with_body(body);
    let front = |list: &str| {
        load(
            builder(&format!(
                "SecRule {list} \"@unconditionalMatch\" \"id:1,phase:2,pass\""
            ))
            .front_door(),
        )
    };
    let t = play(
        &front("ARGS"),
        &json("{\"a\":{\"b\":[1,true,null,\"x\"]},\"A\":\"\\u0041\"}"),
    );
    assert_eq!(
        values(&t, 1).join("|"),
        "ARGS:json.a.b.0=1|ARGS:json.a.b.1=true|ARGS:json.a.b.2=|ARGS:json.a.b.3=x|ARGS:json.a.b=4|ARGS:json.a=|ARGS:json.A=A"
    );
    let xml = Exchange::parse("POST /\nContent-Type: text/xml\n\n")
        .with_body("<r a=\"1\"><x b='2'>t1</x><![CDATA[t2]]></r>");
    assert_eq!(values(&play(&front("XML:/*"), &xml), 1), ["XML=t1t2"]);
    assert_eq!(
        values(&play(&front("XML://@*"), &xml), 1),
        ["XML=1", "XML=2"]
    );
}

#[test]
fn errors_of_bodies() {
    let said = "SecRule REQBODY_ERROR \"!@eq 0\" \"id:1,phase:2,pass,logdata:'%{REQBODY_ERROR_MSG}'\"\nSecRule REQBODY_PROCESSOR_ERROR \"!@eq 0\" \"id:2,phase:2,pass\"";
    let rules = load(builder(said).front_door());
    for (kind, body, part) in [
        ("application/json", "{\"a\":", "JSON parsing error"),
        ("application/json", "{} x", "JSON parsing error"),
        ("text/xml", "<a><b></a>", "XML"),
        (
            "multipart/form-data; boundary=XX",
            "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx",
            "Multipart",
        ),
        ("multipart/form-data", "x", "Multipart"),
    ] {
        let exchange = Exchange::parse(&format!("POST /\nContent-Type: {kind}")).with_body(body);
        let t = play(&rules, &exchange);
        judge(kind, &t, "1 2");
        let data = String::from_utf8_lossy(&t.matched_rules()[0].data).into_owned();
        assert!(data.contains(part), "{kind}: {data}");
        assert!(t.request_inspection().reason.is_some(), "{kind}");
    }
    for (limit, expected) in [(2, ""), (1, "1 2")] {
        let rules =
            load(builder(&format!("SecRequestBodyJsonDepthLimit {limit}\n{said}")).front_door());
        let exchange = Exchange::parse("POST /\nContent-Type: application/json\n\n{\"a\":[1]}");
        judge("depth", &play(&rules, &exchange), expected);
    }
}

#[test]
fn multipart_flags() {
    let part = "Content-Disposition: form-data; name=\"a\"\n\nx\n--XX--\n";
    for (flag, content_type, body) in [
        (
            "MULTIPART_DATA_BEFORE",
            "; boundary=XX",
            format!("before\n--XX\n{part}"),
        ),
        (
            "MULTIPART_DATA_AFTER",
            "; boundary=XX",
            format!("--XX\n{part}after\n"),
        ),
        (
            "MULTIPART_BOUNDARY_QUOTED",
            "; boundary=\"XX\"",
            format!("--XX\n{part}"),
        ),
        (
            "MULTIPART_HEADER_FOLDING",
            "; boundary=XX",
            "--XX\nContent-Disposition: form-data;\n name=\"a\"\n\nx\n--XX--\n".to_owned(),
        ),
        (
            "MULTIPART_INVALID_QUOTING",
            "; boundary=XX",
            "--XX\nContent-Disposition: form-data; name='a'\n\nx\n--XX--\n".to_owned(),
        ),
        (
            "MULTIPART_MISSING_SEMICOLON",
            " boundary=XX",
            format!("--XX\n{part}"),
        ),
    ] {
        let rules = format!(
            "SecRule {flag} \"!@eq 0\" \"id:1,phase:2,pass\"\nSecRule MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:2,phase:2,pass\""
        );
        let head = format!("POST /\nContent-Type: multipart/form-data{content_type}");
        let exchange = Exchange::parse(&head).with_body(body.replace('\n', "\r\n"));
        let t = play(&build(&rules), &exchange);
        assert!(super::harness::ids(&t).contains(&2), "{flag}: strict error");
        assert!(super::harness::ids(&t).contains(&1), "{flag}");
    }
    let lines = Exchange::parse(MULTIPART)
        .with_body("--XX\nContent-Disposition: form-data; name=\"a\"\n\nx\n--XX--\n");
    judge(
        "bare line feeds",
        &play(
            &build("SecRule MULTIPART_LF_LINE \"@eq 1\" \"id:1,phase:2,pass\""),
            &lines,
        ),
        "1",
    );
    let files: String = (0..3)
        .map(|n| {
            format!("--XX\nContent-Disposition: form-data; name=\"f{n}\"; filename=\"x\"\n\nx\n")
        })
        .collect();
    judge(
        "too many files",
        &play(
            &build(
                "SecUploadFileLimit 2\nSecRule MULTIPART_FILE_LIMIT_EXCEEDED \"@eq 1\" \"id:1,phase:2,pass\"",
            ),
            &multipart(&format!("{files}--XX--\n")),
        ),
        "1",
    );
}

#[test]
fn limits() {
    let form = "POST /\nContent-Type: application/x-www-form-urlencoded\n\na=1&b=2&c=3";
    let see = "SecRule ARGS \"@rx .\" \"id:1,phase:2,pass\"\nSecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:2,phase:2,pass\"\nSecRule REQBODY_ERROR \"@eq 1\" \"id:3,phase:2,pass\"\nSecAction \"id:5,phase:5,pass\"\n";
    check_all(&[
        (
            "at the limit",
            &format!("SecRequestBodyLimit 11\n{see}"),
            form,
            "1 1 1 5",
        ),
        (
            "over it",
            &format!("SecRequestBodyLimit 10\n{see}"),
            form,
            "5 deny:413@2",
        ),
        (
            "reject",
            &format!("SecRequestBodyLimit 10\nSecRequestBodyLimitAction Reject\n{see}"),
            form,
            "5 deny:413@2",
        ),
        (
            "partial: what fits is inspected, and said so",
            &format!("SecRequestBodyLimit 7\nSecRequestBodyLimitAction ProcessPartial\n{see}"),
            form,
            "1 1 2 5",
        ),
        (
            "without files",
            &format!("SecRequestBodyNoFilesLimit 10\n{see}"),
            form,
            "5 deny:413@2",
        ),
        (
            "arguments at the limit",
            &format!("SecArgumentsLimit 3\n{see}"),
            form,
            "1 1 1 5",
        ),
        (
            "over it",
            &format!("SecArgumentsLimit 2\n{see}"),
            form,
            "1 1 3 5",
        ),
        (
            "over it, in the query",
            &format!("SecArgumentsLimit 2\n{see}"),
            "GET /?a=1&b=2&c=3",
            "1 1 3 5",
        ),
        (
            "query and body together",
            &format!("SecArgumentsLimit 3\n{see}"),
            &form.replace("POST /", "POST /?q=1"),
            "1 1 1 3 5",
        ),
    ]);
    let rules = load(
        builder(&format!(
            "SecRequestBodyAccess On\nSecRequestBodyLimit 10\n{see}"
        ))
        .engine(EngineMode::DetectionOnly),
    );
    let t = play(&rules, &Exchange::parse(form));
    judge("detection sees what fits", &t, "1 1 2 5");
    let seen = t.request_inspection();
    assert_eq!((seen.received, seen.inspected), (11, 10));
    let builder_limit = load(
        builder(&format!(
            "SecRequestBodyAccess On\nSecRequestBodyLimit 99\n{see}"
        ))
        .request_body_limit(5),
    );
    judge(
        "the policy's limit counts",
        &play(&builder_limit, &Exchange::parse(form)),
        "5 deny:413@2",
    );
}

/// As in ModSecurity v2: headers of all parts and contents of fields count; the contents of files do not.
#[test]
fn the_limit_without_files_counts_parts() {
    let see = "SecRule ARGS \"@rx .\" \"id:1,phase:2,pass\"\nSecRule FILES \"@rx .\" \"id:2,phase:2,pass\"\n\
        SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:3,phase:2,pass\"\nSecRule REQBODY_ERROR \"@eq 1\" \"id:4,phase:2,pass\"\n";
    let file = "Content-Disposition: form-data; name=\"f\"; filename=\"x\"\n\n";
    let field = "Content-Disposition: form-data; name=\"a\"\n\n";
    let content = "one\ntwo";
    let big = "x".repeat(10_000);
    let body = multipart(&format!(
        "--XX\n{file}{big}\n--XX\n{field}{content}\n--XX--\n"
    ));
    let counted = [file, field, content]
        .map(|text| text.replace('\n', "\r\n").len())
        .iter()
        .sum::<usize>();
    let partial = "SecRequestBodyLimitAction ProcessPartial\n";
    for (limit, action, expected) in [
        (counted + 1, "", "1 2"),
        (counted, "", "deny:413@2"),
        (counted - 5, partial, "1 2 3"),
        (counted - 8, partial, "2 3"),
        (0, partial, "3"),
    ] {
        let rules = format!("SecRequestBodyNoFilesLimit {limit}\n{action}{see}");
        let t = play(&build(&rules), &body);
        judge(&format!("{limit} of {counted}"), &t, expected);
        let seen = t.request_inspection();
        assert_eq!(seen.is_complete(), expected == "1 2", "{limit}: {seen:?}");
        if limit == counted - 5 {
            assert_eq!(values(&t, 1), ["ARGS:a=one"]);
            let end = body.body.len() - "\r\ntwo\r\n--XX--\r\n".len();
            assert_eq!(seen.inspected, end as u64);
            let reason = seen.reason.unwrap_or_default();
            assert!(reason.contains("SecRequestBodyNoFilesLimit"), "{reason}");
        }
    }
}

/// A body that no parser takes is no form that the limit is for, unless rules see its bytes.
#[test]
fn the_limit_without_files_is_for_what_rules_see() {
    let limit = "SecRequestBodyNoFilesLimit 4\n";
    let forced = "SecAction \"id:1,phase:1,pass,ctl:forceRequestBodyVariable=On\"\n";
    let body =
        |body: &str| Exchange::parse("PUT /a.png\nContent-Type: image/png\n\n").with_body(body);
    let free = build(limit);
    judge("not seen", &play(&free, &body("12345")), "");
    let seen = build(&format!("{limit}{forced}"));
    judge("seen, below", &play(&seen, &body("123")), "1");
    judge("seen", &play(&seen, &body("1234")), "1 deny:413@2");
}

#[test]
fn coded_bodies() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"a=1&b=attack").expect("written");
    let gzip = gzip.finish().expect("finished");
    let rules = build(
        "SecRule ARGS:b \"@streq attack\" \"id:1,phase:2,pass\"\nSecRule REQBODY_ERROR \"@eq 1\" \"id:2,phase:2,pass\"",
    );
    let coded = |coding: &str, body: &[u8]| {
        let head = format!(
            "POST /\nContent-Type: application/x-www-form-urlencoded\nContent-Encoding: {coding}"
        );
        Exchange::parse(&head).with_body(body)
    };
    judge("gzip", &play(&rules, &coded("gzip", &gzip)), "1");
    judge(
        "broken",
        &play(&rules, &coded("gzip", &gzip[..gzip.len() - 9])),
        "2",
    );
    judge("unknown", &play(&rules, &coded("rot13", &gzip)), "2");
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b'a'; 4 << 20]).expect("written");
    let t = play(&rules, &coded("gzip", &bomb.finish().expect("finished")));
    judge("a bomb", &t, "2");
}

#[test]
fn separators_and_cookies() {
    check(
        "another separator of arguments",
        "SecArgumentSeparator ;\nSecRule ARGS \"@rx .\" \"id:1,phase:1,pass,setvar:tx.n=+1\"",
        "GET /?a=1;b=2&c=3",
        "1 1 n=2",
    );
    let cookies = |version: &str| {
        let rules = build(&format!(
            "{version}SecRule REQUEST_COOKIES \"@unconditionalMatch\" \"id:1,phase:1,pass\""
        ));
        let t = play(
            &rules,
            &Exchange::parse("GET /\nCookie: a=1;  b=\"2;3\"; =x; c"),
        );
        values(&t, 1).join("|")
    };
    assert_eq!(
        cookies(""),
        "REQUEST_COOKIES:a=1|REQUEST_COOKIES:b=\\\"2|REQUEST_COOKIES:3\\\"=|REQUEST_COOKIES:c="
    );
    assert_eq!(cookies("SecCookieFormat 0\n"), cookies(""));
    assert_eq!(
        cookies("SecCookieFormat 1\n"),
        "REQUEST_COOKIES:a=1|REQUEST_COOKIES:b=2;3|REQUEST_COOKIES:c="
    );
}
