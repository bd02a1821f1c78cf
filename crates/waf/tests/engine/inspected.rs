//! What counts as inspected: fields that are there twice, bodies that no parser takes, what other readers would see.

use std::io::Write;

use std::sync::Arc;
use waf::{RuleSet, UnparsedBodies};

use super::harness::{Exchange, builder, judge, load, play, values, verdict};

const SEE_ARGS: &str = "SecRule ARGS \"@contains attack\" \"id:1,phase:2,deny,status:403\"\n";
const SEE_BYTES: &str =
    "SecRule REQUEST_BODY \"@contains attack\" \"id:2,phase:2,deny,status:403\"\n";

fn front(rules: &str) -> Arc<RuleSet> {
    load(builder(rules).front_door().block_uninspected(true))
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(text).expect("written");
    zlib.finish().expect("finished")
}

#[test]
fn content_encodings_are_one_list() {
    let body = deflated(b"a=attack");
    for fields in [
        "Content-Encoding: deflate",
        "Content-Encoding: identity\nContent-Encoding: deflate",
        "Content-Encoding: deflate\nContent-Encoding: identity",
        "Content-Encoding:\ncontent-encoding: deflate",
        "Content-Encoding: identity\nContent_Encoding: deflate",
    ] {
        let head = format!("POST /\nContent-Type: application/x-www-form-urlencoded\n{fields}\n\n");
        let t = play(
            &front(SEE_ARGS),
            &Exchange::parse(&head).with_body(&body[..]),
        );
        judge(fields, &t, "1 deny:403@2");
    }
    // Of the response too.
    let rules = load(builder(
        "SecResponseBodyAccess On\nSecRule RESPONSE_BODY \"@contains attack\" \"id:1,phase:4,deny,status:403\"",
    ));
    let mut exchange = Exchange::parse(
        "GET /\n---\n200\nContent-Type: text/html\nContent-Encoding: identity\nContent-Encoding: deflate\n\n",
    );
    exchange.response_body = body;
    judge("response", &play(&rules, &exchange), "1 deny:403@4");
}

#[test]
fn two_types_that_differ_are_not_inspected() {
    for (fields, expected) in [
        (
            "Content-Type: application/json\nContent-Type: application/json",
            "",
        ),
        (
            "Content-Type: application/json\nContent-Type: text/plain",
            "deny:400@2",
        ),
        (
            "Content-Type: text/plain\nContent-Type: application/json",
            "deny:400@2",
        ),
        ("Content-Type: text/plain, application/json", "deny:400@2"),
        (
            "Content-Type: application/json\nContent_Type: text/plain",
            "deny:400@2",
        ),
    ] {
        let head = format!("POST /\n{fields}\n\n{{\"a\":1}}");
        let t = play(&front(SEE_ARGS), &Exchange::parse(&head));
        judge(fields, &t, expected);
        let seen = t.request_inspection();
        assert_eq!(seen.is_complete(), expected.is_empty(), "{fields}");
    }
    // One of a response's types is enough for its body to be looked at.
    let rules = load(builder(
        "SecResponseBodyAccess On\nSecRule RESPONSE_BODY \"@contains attack\" \"id:1,phase:4,deny,status:403\"\nSecRule RESPONSE_CONTENT_TYPE \"@streq image/png, text/html\" \"id:2,phase:3,pass\"",
    ));
    let answer = "GET /\n---\n200\nContent-Type: image/png\nContent-Type: text/html\n\nattack";
    judge(
        "response",
        &play(&rules, &Exchange::parse(answer)),
        "2 1 deny:403@4",
    );
}

#[test]
fn every_authorization_is_told() {
    let rules = load(builder(
        "SecRule AUTH_TYPE|REMOTE_USER \"@unconditionalMatch\" \"id:1,phase:1,pass\"",
    ));
    let t = play(
        &rules,
        &Exchange::parse("GET /\nAuthorization: Basic YTpi\nAuthorization: Bearer x"),
    );
    assert_eq!(
        values(&t, 1).join("|"),
        "AUTH_TYPE=Basic, Bearer|REMOTE_USER=a"
    );
}

#[test]
fn bodies_that_no_parser_takes() {
    let policy = |choice, rules: &str| {
        let builder = builder(rules).front_door().block_uninspected(true);
        load(builder.unparsed_bodies(choice))
    };
    let (inspect, block, pass) = (
        UnparsedBodies::Inspect,
        UnparsedBodies::Block,
        UnparsedBodies::Pass,
    );
    for (choice, rules, body, expected, inspected) in [
        (inspect, SEE_BYTES, "q=attack", "deny:403@2", true),
        (inspect, SEE_BYTES, "q=1", "", true),
        (inspect, SEE_ARGS, "q=attack", "", false),
        (block, SEE_BYTES, "q=1", "deny:415@2", false),
        (pass, SEE_BYTES, "q=attack", "", false),
        (block, SEE_BYTES, "", "", true),
    ] {
        for head in [
            "POST /\n\n",
            "POST /\nContent-Type: application/x-unknown\n\n",
        ] {
            let exchange = Exchange::parse(head).with_body(body);
            let t = play(&policy(choice, rules), &exchange);
            let what = format!("{choice:?} {head:?} {body}");
            assert_eq!(verdict(&t), expected, "{what}");
            let seen = t.request_inspection();
            assert_eq!(seen.is_complete(), inspected, "{what}: {seen:?}");
            assert_eq!(seen.parser, None, "{what}");
            let bytes = if inspected { body.len() as u64 } else { 0 };
            assert_eq!(seen.inspected, bytes, "{what}");
        }
    }
    let forced = "SecAction \"id:3,phase:1,pass,ctl:forceRequestBodyVariable=On\"\n";
    let t = play(
        &policy(pass, &format!("{forced}{SEE_BYTES}")),
        &Exchange::parse("POST /\n\nattack"),
    );
    judge("what passes is not looked at", &t, "3");
}

#[test]
fn the_parser_is_named() {
    for (kind, body, parser) in [
        (
            "application/x-www-form-urlencoded",
            "a=b",
            Some("urlencoded"),
        ),
        ("application/json", "{}", Some("json")),
        ("text/xml", "<a/>", Some("xml")),
        (
            "multipart/form-data; boundary=b",
            "--b--\r\n",
            Some("multipart"),
        ),
        ("text/plain", "a", None),
    ] {
        let exchange =
            Exchange::parse(&format!("POST /\nContent-Type: {kind}\n\n")).with_body(body);
        let t = play(&front(SEE_BYTES), &exchange);
        assert_eq!(t.request_inspection().parser, parser, "{kind}");
        assert!(t.request_inspection().is_complete(), "{kind}");
    }
}

#[test]
fn what_is_left_out_on_purpose_is_said() {
    for (rules, reason) in [
        ("SecRequestBodyAccess Off\n", "SecRequestBodyAccess is Off"),
        (
            "SecAction \"id:3,phase:1,pass,ctl:ruleEngine=Off\"\n",
            "SecRuleEngine is Off",
        ),
        (
            "SecAction \"id:3,phase:1,allow\"\n",
            "a rule allowed the request before its body was looked at",
        ),
    ] {
        let exchange =
            Exchange::parse("POST /\nContent-Type: application/json\n\n{\"a\":\"attack\"}");
        let mut t = waf::Transaction::new(
            front(&format!("{rules}{SEE_ARGS}")),
            ([192, 0, 2, 7], 1).into(),
            ([192, 0, 2, 8], 1).into(),
            "id",
        );
        t.request_line(b"POST / HTTP/1.1", b"POST", b"/", b"HTTP/1.1");
        t.request_header(b"Content-Type", b"application/json");
        t.request_headers_done();
        assert_eq!(t.request_body(&exchange.body), None, "{rules}");
        let seen = t.request_inspection();
        assert_eq!(seen.reason.as_deref(), Some(reason), "{rules}");
    }
}

/// A body that is cut at a limit cannot be read to its end; that is the limit's doing and must not hide it.
#[test]
fn the_first_reason_is_told_first() {
    let partial = "SecRequestBodyLimitAction ProcessPartial\nSecRequestBodyLimit 8\n";
    let reason = |rules: &str, head: &str, body: &str| {
        let head = format!("POST /\n{head}\n\n");
        let exchange = Exchange::parse(&head).with_body(body);
        let t = play(&front(&format!("{rules}{SEE_ARGS}")), &exchange);
        t.request_inspection().reason.unwrap_or_default()
    };
    let limit = "only the first 8 bytes are inspected (SecRequestBodyLimit); ";
    let json = "Content-Type: application/json";
    let cut = reason(partial, json, "{\"a\":\"bcdef\"}");
    assert!(cut.starts_with(limit), "{cut}");
    assert!(cut.contains("JSON parsing error"), "{cut}");
    let two_types = reason("", &format!("{json}\nContent-Type: text/plain"), "{");
    let (first, second) = two_types.split_once("; ").expect("two reasons");
    assert!(first.contains("Content-Type"), "{two_types}");
    assert!(second.contains("JSON parsing error"), "{two_types}");
    // The same reason is told once.
    let form = "Content-Type: application/x-www-form-urlencoded";
    let form = reason(partial, form, "a=1&b=2&c=3");
    assert_eq!(form, limit.trim_end_matches("; "));
}

#[test]
fn parts_are_seen_as_other_readers_see_them() {
    let part = |headers: &str, content: &str| {
        let body = format!(
            "--b\nContent-Disposition: form-data; name=\"q\"{headers}\n\n{content}\n--b--\n"
        );
        Exchange::parse("POST /\nContent-Type: multipart/form-data; boundary=b\n\n")
            .with_body(body.replace('\n', "\r\n"))
    };
    let rules = front(&format!(
        "{SEE_ARGS}SecRule FILES \"@endsWith .php\" \"id:4,phase:2,deny,status:403\"\n"
    ));
    for (headers, content, expected) in [
        (
            "\nContent-Transfer-Encoding: base64",
            "YXR0YWNr",
            "1 deny:403@2",
        ),
        (
            "\nContent-Transfer-Encoding: Base64",
            "YXR0\nYWNr",
            "1 deny:403@2",
        ),
        (
            "\nContent-Transfer-Encoding: base64",
            "attack",
            "1 deny:403@2",
        ),
        (
            "\nContent-Transfer-Encoding: quoted-printable",
            "=61tt=\nack",
            "1 deny:403@2",
        ),
        ("\nContent-Transfer-Encoding: base64", "aGVsbG8=", ""),
        ("\nContent-Transfer-Encoding: 8bit", "hello", ""),
        ("\nContent-Transfer-Encoding: binary", "hello", ""),
        (
            "\nContent-Transfer-Encoding: base64",
            "hell!o",
            "deny:400@2",
        ),
        (
            "\nContent-Transfer-Encoding: x-uuencode",
            "hello",
            "deny:400@2",
        ),
        (
            "; filename=\"a.pdf\"; filename*=utf-8''a.php",
            "x",
            "4 deny:403@2",
        ),
        ("; filename=\"=?utf-8?B?YS5waHA=?=\"", "x", "4 deny:403@2"),
        ("; filename=a.pdf; filename*=utf-8''a.pdf", "x", ""),
    ] {
        let t = play(&rules, &part(headers, content));
        judge(&format!("{headers} {content}"), &t, expected);
    }
    let t = play(
        &rules,
        &part("\nContent-Transfer-Encoding: x-uuencode", "x"),
    );
    let reason = t.request_inspection().reason.unwrap_or_default();
    assert!(reason.contains("MULTIPART_PART_HEADERS"), "{reason}");
}

/// ModSecurity's flags keep their values for rules that ask; where none does, only what is ambiguous is refused.
#[test]
fn honest_multipart_passes_where_no_rule_asks_for_strictness() {
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n-- \r\nAda\r\n--b--\r\n\r\n";
    let strict = "SecRule MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:5,phase:2,deny,status:400\"\n";
    let lines = "SecRule MULTIPART_UNMATCHED_BOUNDARY \"@eq 1\" \"id:6,phase:2,deny,status:400\"\n";
    for kind in [
        "boundary=\"b\"",
        "charset=UTF-8; boundary=b",
        "boundary=b; charset=UTF-8",
        "Boundary=b",
    ] {
        let head = format!("POST /\nContent-Type: multipart/form-data; {kind}\n\n");
        let exchange = Exchange::parse(&head).with_body(body);
        judge(kind, &play(&front(SEE_ARGS), &exchange), "");
        judge(kind, &play(&front(strict), &exchange), "5 deny:400@2");
        judge(kind, &play(&front(lines), &exchange), "6 deny:400@2");
    }
    let head = "POST /\nContent-Type: multipart/form-data; boundary=b\n\n";
    let exchange = Exchange::parse(head).with_body(body.replace("-- ", "x--b"));
    let t = play(&front(SEE_ARGS), &exchange);
    judge("the boundary in a line", &t, "deny:400@2");
    let reason = t.request_inspection().reason.unwrap_or_default();
    assert!(reason.contains("MULTIPART_UNMATCHED_BOUNDARY"), "{reason}");
}

/// `a=attack` in EBCDIC would be something else to the rules.
#[test]
fn charsets_that_hide_ascii_are_not_inspected() {
    for (kind, body, expected) in [
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            "a=1",
            "",
        ),
        (
            "application/x-www-form-urlencoded; charset=\"windows-1252\"",
            "a=1",
            "",
        ),
        (
            "application/x-www-form-urlencoded; charset=ibm037",
            "a=1",
            "deny:400@2",
        ),
        (
            "application/x-www-form-urlencoded;charset=UTF-16",
            "a=1",
            "deny:400@2",
        ),
        (
            "application/x-www-form-urlencoded; charset=utf-8; charset=utf-7",
            "a=1",
            "deny:400@2",
        ),
        ("application/json; charset=utf-7", "{}", "deny:400@2"),
        ("text/xml; charset=utf-7", "<a/>", "deny:400@2"),
        (
            "multipart/form-data; charset=utf-7; boundary=b",
            "--b--\r\n",
            "deny:400@2",
        ),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset=utf-16\r\n\r\nx\r\n--b--\r\n",
            "deny:400@2",
        ),
    ] {
        let head = format!("POST /\nContent-Type: {kind}\n\n");
        let t = play(&front(SEE_ARGS), &Exchange::parse(&head).with_body(body));
        judge(kind, &t, expected);
    }
}

#[test]
fn names_of_containers_are_names() {
    let rules = front(
        "SecRule ARGS_NAMES \"@rx __(?:contained_by|in)$\" \"id:1,phase:2,pass\"\nSecRule ARGS \"@rx .\" \"id:2,phase:2,pass\"",
    );
    let exchange = Exchange::parse(
        "POST /\nContent-Type: application/json\n\n{\"roles__contained_by\":[\"admin\",\"root\"],\"id__in\":{\"a\":1}}",
    );
    let t = play(&rules, &exchange);
    assert_eq!(
        values(&t, 1),
        [
            "ARGS_NAMES:json.roles__contained_by=json.roles__contained_by",
            "ARGS_NAMES:json.id__in=json.id__in"
        ]
    );
    assert_eq!(
        values(&t, 2).join("|"),
        "ARGS:json.roles__contained_by.0=admin|ARGS:json.roles__contained_by.1=root|ARGS:json.roles__contained_by=2|ARGS:json.id__in.a=1"
    );
}

#[test]
fn paths_select_of_xml_documents() {
    let rules = front(
        "SecRule XML:/soap:Envelope/soap:Body/q1:getInput/id() \"123\" \"id:1,phase:2,pass,xmlns:soap=http://schemas.xmlsoap.org/soap/envelope/,xmlns:q1='urn:q'\"\n\
         SecRule XML:/employees/employee/name/text() \"Fred\" \"id:2,phase:2,pass\"\n\
         SecRule XML:/Employees \"@unconditionalMatch\" \"id:3,phase:2,pass\"\n\
         SecRule &XML:/employees/employee \"@eq 2\" \"id:4,phase:2,pass\"\n\
         SecRule XML:/*|XML://@* \"@unconditionalMatch\" \"id:5,phase:2,pass\"",
    );
    let xml = |body: &str| Exchange::parse("POST /\nContent-Type: text/xml\n\n").with_body(body);
    let employees = "<employees><employee><name>Fred</name></employee><employee/></employees>";
    judge("names", &play(&rules, &xml(employees)), "2 4 5");
    let soap = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><getInput xmlns='urn:q'><id>0123</id></getInput></e:Body></e:Envelope>";
    judge("namespaces", &play(&rules, &xml(soap)), "1 5");
    let other = soap.replace("urn:q", "urn:other");
    judge("another namespace", &play(&rules, &xml(&other)), "5");
    for (rule, problem) in [
        ("SecRule XML:/q:a \"x\" \"id:1\"", "xmlns:q"),
        ("SecRule XML:/a[1] \"x\" \"id:1\"", "is no name"),
        (
            "SecRule XML:/a \"x\" \"id:1,xmlns:q\"",
            "a prefix and its namespace",
        ),
        ("SecRule XML:/*|!XML:/a \"x\" \"id:1\"", "can be excluded"),
    ] {
        let problems = builder(rule).build().expect_err(rule);
        let text: String = problems.0.iter().map(|p| p.render(false)).collect();
        assert!(text.contains(problem), "{rule}: {text}");
    }
}
