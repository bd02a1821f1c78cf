//! Every fuzz target for a bounded time, without a fuzzer: seeds, cut, joined and bent at random.
//!
//! The same bytes at every run, unless `FUZZ_SECONDS` says how long each target shall run: then a seed of
//! the day's time. `scripts/fuzz` takes cargo-fuzz where it is installed.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use drawbridge::events::{self, Event};
use drawbridge::identity::issuer::{Discovery, parse_denied};
use drawbridge::outbound::{Destination, Limits, Settings};
use drawbridge::review::Har;
use drawbridge::telemetry::otlp::{Incoming, TraceContext};
use drawbridge::transform::{
    Facts, PageFacts, PageFormat, PageText, Redirect, RedirectHost, RedirectStatus, Rewrite,
    Template, Use, Variable,
};
use identity::{Expectations, Introspection, KeySet, Token, verify};
use serde_json::Value;
use targets as t;

/// Inputs of one target where no time is given.
const ROUNDS: usize = 30_000;
/// No input is longer, in bytes.
const LONGEST: usize = 4096;

const HTTP: &[&[u8]] = &[
    b"GET /a/b?c=d&e[]=%27%20or%201=1-- HTTP/1.1\r\nHost: localhost\r\nCookie: a=b; c=\"d\"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
      Content-Length: 12\r\n\r\na=<script>b=c",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n\
      {\"a\": [1, {\"b\": \"c\"}]}",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: 22\r\n\r\n\
      <a b=\"c\"><d>e</d></a>",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 76\r\n\r\n\
      --x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b.php\"\r\n\r\nc\r\n--x--\r\n",
    b"POST /reflect HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 57\r\n\r\n\
      {\"status\":500,\"body\":\"You have an error in your SQL syntax\"}",
];
/// Version, status and fields; and heads as they are sent.
const ANSWERS: &[&[u8]] = &[
    b"\x01\x00\xc8Content-Length: 2\nContent-Length: 2, 2\n",
    b"\x01\x00\xc8Transfer-Encoding: chunked\n",
    b"\x01\x00\xccContent-Length: 0\n",
    b"\x01\x00\x65Upgrade: websocket\n",
    b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\n c\r\nContent-Length: 2\r\n\r\nok",
];
const RULES: &[&[u8]] = &[
    b"SecRule ARGS|!ARGS:a|&REQUEST_HEADERS:/x/ \"@rx (?i)a+\\\"b\" \\\n  \"id:1,phase:2,deny,t:none,t:lowercase,\
      msg:'a %{TX.0}',setvar:'tx.a=+%{tx.b}',chain\"\n  SecRule TX:a \"!@ge 5\"\n",
    b"SecAction \"id:2,phase:1,nolog,pass,ctl:ruleRemoveTargetById=1;ARGS:a\"\nSecMarker END\nInclude x/*.conf\n",
    b"<IfModule x>\nSecRuleUpdateTargetById 1-5 \"!ARGS:/a/\"\n</IfModule>\n# c\n",
];
const FORMS: &[&[u8]] = &[
    b"a=b&c=%64&d+e=f%zz&&=&a",
    b"a=b; c=\"d;e\"; $Path=f",
    b"\0\0\0\0%u0041\\x41&#65;",
];
const HAR: &[&[u8]] = &[
    br#"{"log":{"entries":[{"request":{"method":"GET","url":"https://a/b?c=d#e","httpVersion":"h2","headers":[
      {"name":":authority","value":"a"},{"name":"x","value":"y"}],"cookies":[]}}]}}"#,
    br#"{"log":{"entries":[{"request":{"method":"POST","url":"http://a","httpVersion":"HTTP/1.1","headers":[
      {"name":"Content-Length","value":"3"}],"postData":{"mimeType":"application/x-www-form-urlencoded",
      "text":"YWJj","encoding":"base64","params":[{"name":"a","value":"b"}]},"bodySize":3}}]}}"#,
    br#"{"log":{"entries":[{"request":{"method":"GET","url":"http://a/b","httpVersion":"HTTP/1.1","headers":[
      {"name":"X","value":"y\r\n\r\nGET / HTTP/1.1"}]}}]}}"#,
];
const JSON: &[&[u8]] = &[
    b"{\"a\":[1,2.5e3,null,true,\"\\ud83d\\ude00\\n\"],\"b\":{\"c\":{}}}",
    b"[[[[[\"a\"]]]]]",
];
const XML: &[&[u8]] = &[
    b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]><a b='c'>&b;<![CDATA[d]]><!--e--><f/></a>",
    b"\xff\xfe<\0a\0/\0>\0",
];
const MULTIPART: &[&[u8]] = &[
    b"multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x\r\n\
      Content-Disposition: form-data; name=c; filename*=UTF-8''d\r\nContent-Type: text/plain\r\n\r\ne\r\n--x--\r\n",
];
const OPERATORS: &[&[u8]] = &[
    b"\x00(a|b)+c\nabc",
    b"\x05a b|63|\nxaby",
    b"\x0a10.0.0.0/8,::1\n10.1.2.3",
    b"\x10[0-9]{13,16}\n4111111111111111",
    b"\x15x\n1' or '1'='1' union select 1,2 --",
    b"\x16x\n<svg onload=alert(1)>",
];
const CODED: &[&[u8]] = &[
    b"gzip\n\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c\x44\x05\0\x9f\x58\x7a\x5b\x09\0\0\0",
    b"deflate\n\x78\x9c\x4b\x4c\x04\x02\0\x05\xb4\x01\xe5",
    b"br\n\x0b\x01\x80aaaa\x03",
];
/// A target, a header's value, cookies, a body, a response's header and body.
const PARTS: &[&[u8]] = &[
    b"\0/a?b=c%27or\xffcurl\xffd=e\xfff=<script>&g=h\xffi\xff<title>Index of</title>",
    b"\x02/\xffx\xff\xff{\"a\":[\"union select 1\"]}\xff\xffSQL syntax",
    b"\x01/\xffx\xff\xff--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--X--\r\n\xff\xff",
];
/// What parsers wait for.
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\0",
    b"--",
    b"--x",
    b"--x--",
    b"\"",
    b"'",
    b"\\",
    b"%",
    b"%u",
    b"&#x",
    b"&amp;",
    b"/*",
    b"*/",
    b"<!--",
    b"]]>",
    b"<![CDATA[",
    b"{",
    b"[",
    b"\\u0000",
    b"\xff",
    b"\xc3\x28",
    b"=",
    b"&",
    b";",
    b":",
    b"../",
    b"%00",
    b"union select",
    b"<script>",
    b"' or 1=1",
    b"chunked",
    b"99999999999999999999",
    b"-1",
    b"boundary=",
    b"${jndi:",
];

#[test]
fn body_json() {
    run(t::body_json::run, JSON, ROUNDS);
}

#[test]
fn body_multipart() {
    run(t::body_multipart::run, MULTIPART, ROUNDS);
}

#[test]
fn body_urlencoded() {
    run(t::body_urlencoded::run, FORMS, ROUNDS);
}

#[test]
fn body_xml() {
    run(t::body_xml::run, XML, ROUNDS);
}

#[test]
fn content_coding() {
    run(t::content_coding::run, CODED, ROUNDS);
}

/// The root package is no dependency of the fuzzer's, which would have to build OpenSSL: this target has no other runner.
#[test]
fn har() {
    run(parse_har, HAR, ROUNDS / 4);
}

fn parse_har(data: &[u8]) {
    let Ok(har) = Har::parse(data.to_vec()) else {
        return;
    };
    for at in 0..har.len() {
        let Ok(request) = har.request(at) else {
            continue;
        };
        let ends = request.head.windows(4).filter(|w| w == b"\r\n\r\n");
        assert_eq!(ends.count(), 1, "nothing in an entry ends the head early");
        assert!(request.body.len() <= 3 * data.len());
    }
}

/// What a client says of its trace, a line for each field: the first is its `traceparent`. No other runner: see above.
#[test]
fn trace_context() {
    let seeds: [&[u8]; 3] = [
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\na=1,b@c=2\nd= x y",
        b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more\n,,\na=1,a=2",
        b"00-00000000000000000000000000000000-0000000000000000-ff",
    ];
    run(read_trace_context, &seeds, ROUNDS);
}

fn read_trace_context(data: &[u8]) {
    let mut fields = data.split(|byte| *byte == b'\n');
    let parent = fields.next();
    let Some(incoming) = Incoming::parse(parent.into_iter(), fields) else {
        return;
    };
    let printable = |byte: u8| matches!(byte, b' '..=b'~');
    assert!(incoming.state.len() <= 512 && incoming.state.bytes().all(printable));
    let context = TraceContext::go_on(incoming, true, 0.0);
    let sent = context.traceparent(context.span);
    let state = context.state.as_bytes();
    let again = Incoming::parse([sent.as_bytes()].into_iter(), [state].into_iter()).unwrap();
    assert_eq!((again.trace, again.parent), (context.trace, context.span));
    assert_eq!(
        (again.sampled, again.state),
        (context.sampled, context.state)
    );
}

/// Tokens and key sets of strangers. No other runner: the crate needs OpenSSL.
#[test]
fn tokens() {
    let encode = |text: &str| {
        let text = openssl::base64::encode_block(text.as_bytes());
        text.trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_")
    };
    let header = encode(r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#);
    let payload = encode(r#"{"iss":"a","aud":["b"],"exp":9e9,"nbf":0,"cnf":{"x5t#S256":"c"}}"#);
    let token = format!("{header}.{payload}.{}", encode(&"s".repeat(64)));
    let set = br#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"RSA","n":"AQ","e":"AQAB"}]}"#;
    run(read_token, &[token.as_bytes(), set], ROUNDS);
}

fn read_token(data: &[u8]) {
    let known = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let known = KeySet::parse(known).unwrap().keys;
    if let Ok(parsed) = KeySet::parse(data) {
        assert!(!parsed.keys.keys().is_empty());
    }
    let Ok(token) = Token::parse(data) else {
        return;
    };
    assert_eq!(data.iter().filter(|byte| **byte == b'.').count(), 2);
    let expected = Expectations::new(token.claimed_issuer().unwrap_or_default(), ["b"]);
    let found = verify(&token, &known, &expected, 0);
    assert!(found.is_err(), "no stranger has the key");
}

/// What issuers answer: about a token, a document, and a list of the denied. No other runner: see above.
#[test]
fn issuer_answers() {
    let seeds: [&[u8]; 5] = [
        br#"{"active":true,"iss":"a","aud":["b"],"exp":9e9,"nbf":0,"token_type":"Bearer","cnf":{"x5t#S256":"c"}}"#,
        br#"{"active":false,"exp":"never"}"#,
        br#"{"issuer":"a","jwks_uri":"https://a.test/k","introspection_endpoint":"https://a.test/i?x=1"}"#,
        br#"{"issuer":"a","jwks_uri":"http://a.test","introspection_endpoint":"//a"}"#,
        b"# gone\none\r\n two \n",
    ];
    run(read_answer, &seeds, ROUNDS);
}

fn read_answer(data: &[u8]) {
    if let Ok(Introspection::Active(claims)) = Introspection::parse(data) {
        assert!(!claims.all().contains_key("active"));
        let expected = Expectations::new("a", ["b"]);
        let alone = expected.check_answer(&claims, true, 1);
        let beside = expected.check_answer(&claims, false, 1);
        // An answer that may stand alone may stand beside a token.
        assert!(alone.is_err() || beside.is_ok());
        if alone.is_ok() {
            assert_eq!(claims.issuer(), Some("a"));
            assert!(claims.expires().is_some());
        }
    }
    if let Ok(found) = Discovery::parse(data) {
        let base = Settings {
            trust: None,
            allow_http: false,
            proxy: None,
            dns_servers: Vec::new(),
            limits: Limits::default(),
        };
        // Without trust no server is one that is asked, and with `http` none ever is.
        let named = [&found.jwks_uri, &found.introspection_endpoint];
        for url in named.into_iter().flatten() {
            assert!(Destination::new(url, Arc::new(base.clone())).is_err());
        }
    }
    if let Ok(denied) = parse_denied(data) {
        assert!(
            denied
                .iter()
                .all(|line| !line.is_empty() && !line.contains('\n'))
        );
    }
}

/// The bytes of a damaged disk, and those of another program in a record that is whole. No other runner: see above.
#[test]
fn event_segments() {
    let summary = br#"{"request_id":"a","ms":1,"client":"::1","listener":"a","method":"GET","path":"/","verdict":"block","status":403,"score":5,"matches":[{"rule_id":1,"variable":"ARGS:q"}]}"#;
    let mut segment = events::segment::MAGIC.to_vec();
    let rest = b"\x02\0\0\0\x04\0\0\0{}GET a=1";
    for _ in 0..2 {
        assert!(events::segment::append(&mut segment, summary, rest));
    }
    let whole = events::segment::frames(&segment).filter_map(|frame| Event::decode(&frame));
    assert_eq!(whole.count(), 2);
    run(
        read_segment,
        &[&segment, &[&summary[..], rest].concat()],
        ROUNDS,
    );
}

fn read_segment(data: &[u8]) {
    let mut end = 0;
    for frame in events::segment::frames(data) {
        assert!(frame.start >= end && frame.end > frame.start);
        end = frame.end;
        let _ = Event::decode(&frame);
    }
    assert!(events::segment::good_end(data) <= data.len());
    let cut = data
        .iter()
        .position(|byte| *byte == b'}')
        .map_or(0, |at| at + 1);
    let (summary, rest) = data.split_at(cut);
    let mut segment = events::segment::MAGIC.to_vec();
    if events::segment::append(&mut segment, summary, rest) {
        let frame = events::segment::frames(&segment).next().unwrap();
        assert_eq!((frame.summary, frame.rest()), (summary, Some(rest)));
        if let Some(event) = Event::decode(&frame) {
            assert!(event.head.len() + event.body.len() <= rest.len());
        }
    }
}

/// Texts with variables, and the values of a request: the text in the first line, path, query, host and claim in the others.
/// No other runner: see above.
#[test]
fn templates() {
    let seeds: [&[u8]; 6] = [
        b"/new/{below}?{query}\n/a/b%20c\nx=1\napi.test\nanna",
        b"https://{host}:8443{path}\n//evil.test/\n\napi.test",
        b"https://api.test/{path.id}?q={below}&{query}\n/a@b\nx",
        b"/v2/.{below}/x\n/a/.\n",
        b"{claim.sub} {{a}} {client}\n\n\n\nj\r\nX: 1",
        b"<p>{{status}} {{title}} {{request_id}}</p>{{",
    ];
    run(fill_template, &seeds, ROUNDS);
}

/// A request whose values are any bytes.
struct Values<'v> {
    path: &'v [u8],
    query: &'v [u8],
    host: &'v [u8],
    claim: Value,
}

impl Facts for Values<'_> {
    fn text(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(match variable {
            Variable::Query => self.query,
            Variable::Host => self.host,
            _ => self.path,
        }))
    }

    fn claim(&self, _name: &str) -> Option<&Value> {
        Some(&self.claim)
    }
}

fn fill_template(data: &[u8]) {
    let mut lines = data.splitn(5, |byte| *byte == b'\n');
    let Some(text) = lines.next().and_then(|line| std::str::from_utf8(line).ok()) else {
        return;
    };
    let mut next = || lines.next().unwrap_or_default();
    let values = Values {
        path: next(),
        query: next(),
        host: next(),
        claim: String::from_utf8_lossy(next()).into(),
    };
    let is_url = |made: &[u8]| made.iter().all(u8::is_ascii_graphic);
    if let Ok(template) = Template::parse(text, Use::Url) {
        assert!(is_url(&template.url(&values)));
        assert!(is_url(&template.query(&values)));
    }
    if let Ok(template) = Template::parse(text, Use::Field) {
        let field = template.field(&values).unwrap_or_default();
        assert!(field.iter().all(|byte| matches!(byte, b' '..=b'~')));
    }
    if let Ok(redirect) = Redirect::parse(text, RedirectStatus::Found)
        && let Ok(location) = redirect.location(&values)
    {
        assert!(is_url(&location) && !location.starts_with(b"//"));
        if let RedirectHost::Named(host) = redirect.host() {
            let rest = location.strip_prefix(b"https://").unwrap();
            let end = rest.iter().position(|byte| b"/?".contains(byte));
            let authority = rest.split_at(end.unwrap_or(rest.len())).0;
            let authority = authority.to_ascii_lowercase();
            assert!(authority.starts_with(host.as_bytes()) && !authority.contains(&b'@'));
        }
    }
    if let Ok(path) = Rewrite::parse_path(text) {
        let rewrite = Rewrite::new(Some(path), None);
        if let Ok(target) = rewrite.target(&values, true) {
            // The query stays as the client wrote it.
            let path = target.split(|byte| *byte == b'?').next().unwrap();
            assert!(is_url(path) && path.starts_with(b"/"));
            assert_eq!(drawbridge::route::path::check(path, true), Ok(()));
        }
    }
    fill_page(text);
}

fn fill_page(text: &str) {
    let facts = PageFacts {
        status: 403,
        title: "Forbidden",
        request_id: "id",
    };
    match PageText::parse(text, PageFormat::Html) {
        Ok(page) if !text.contains("{{") => assert_eq!(page.text(facts), text),
        Ok(_) => {}
        Err(error) => assert!(text[error.at..].starts_with("{{")),
    }
    if let Ok(page) = PageText::parse(text, PageFormat::Json) {
        let made = serde_json::from_str::<Value>(&page.text(facts));
        assert!(made.is_ok_and(|value| value.is_object()));
    }
}

#[test]
fn http_head() {
    run(t::http_head::run, HTTP, ROUNDS);
}

#[test]
fn response_head() {
    run(t::response_head::run, ANSWERS, ROUNDS);
}

#[test]
fn operators() {
    run(t::operators::run, OPERATORS, ROUNDS);
}

#[test]
fn seclang_parse() {
    run(t::seclang_parse::run, RULES, ROUNDS);
}

#[test]
fn transformations() {
    run(t::transformations::run, FORMS, ROUNDS);
}

/// A transaction costs more than a parser.
#[test]
fn request() {
    run(t::request::run, HTTP, ROUNDS / 20);
}

#[test]
fn transaction() {
    run(t::transaction::run, PARTS, ROUNDS / 20);
}

fn run(target: fn(&[u8]), seeds: &[&[u8]], rounds: usize) {
    let seconds = std::env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    let begun = Instant::now();
    let mut random = Random(match seconds {
        None => 0x9e37_79b9_7f4a_7c15,
        Some(_) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            (since.as_secs() << 30 | u64::from(since.subsec_nanos())) | 1
        }
    });
    let mut corpus: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    for seed in seeds {
        attempt(target, seed);
    }
    let goes_on = |round: usize| match seconds {
        None => round < rounds,
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
    };
    let mut round = 0;
    while goes_on(round) {
        round += 1;
        let input = mutate(&corpus, &mut random);
        attempt(target, &input);
        // Mutations of mutations go deeper.
        if random.below(8) == 0 {
            let at = seeds.len() + random.below(64);
            match corpus.get_mut(at) {
                Some(old) => *old = input,
                None => corpus.push(input),
            }
        }
    }
}

/// Says which bytes it was that failed.
fn attempt(target: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("input: b\"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(corpus).clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(16)).min(bytes.len());
        match random.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => drop(bytes.splice(at..at, random.pick(TOKENS).iter().copied())),
            2 => drop(bytes.splice(at..end, random.pick(TOKENS).iter().copied())),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].repeat(1 + random.below(20));
                drop(bytes.splice(at..at, piece));
            }
            5 => {
                let other = random.pick(corpus).clone();
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.insert(at, random.byte()),
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
