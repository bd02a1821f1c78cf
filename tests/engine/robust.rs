//! Hostile input: no panic, bounded records, work that grows with the input and not with its square.

use std::path::{Path, PathBuf};

use drawbridge::ftw;
use drawbridge::http::Head;
use drawbridge::waf::{EngineMode, RuleSet, RuleSetBuilder, Transaction};

use super::harness::{Exchange, build, ids, load, play};

/// A small generator: the same numbers at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides.max(1) as u64).unwrap_or(0)
    }
}

const SPICE: &[&[u8]] = &[
    b"%",
    b"%u00",
    b"\\",
    b"'",
    b"\"",
    b"<",
    b"&#x",
    b"/*",
    b"\0",
    b"\xff\xfe",
    b"{",
    b"[[",
    b"--",
    b"=",
    b"&",
    b";",
    b"\r\n",
    b"${jndi:",
    b"union select",
    b"<script>",
    b"../",
    b"AAAAAAAAAAAAAAAA",
    b"/**/",
    b"%25%32%35",
];

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        match dice.roll(5) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(dice.roll(256)).unwrap_or(0),
            1 => {
                let spice = SPICE[dice.roll(SPICE.len())];
                bytes.splice(at..at, spice.iter().copied());
            }
            2 if at < bytes.len() => {
                let end = (at + dice.roll(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 if at < bytes.len() => {
                let end = (at + dice.roll(40)).min(bytes.len());
                let piece = bytes[at..end].repeat(1 + dice.roll(6));
                let to = dice.roll(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}

fn crs() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crs");
    let found = std::env::var_os("CRS_DIR")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("SHARED_DIR").map(|d| PathBuf::from(d).join("crs")))
        .into_iter()
        .chain([beside])
        .find(|dir| dir.join("regression").is_dir());
    if found.is_none() {
        println!("skipped: there is no CRS with tests; set CRS_DIR");
    }
    found
}

/// Whatever the head's strictness lets through, and much that it does not: the engine gets it all.
fn exchange_of(raw: &[u8], dice: &mut Dice) -> Exchange {
    let mut exchange = Exchange::parse("GET /");
    if let Ok(head) = Head::parse(raw) {
        exchange.method = raw[head.method.clone()].to_vec();
        exchange.target = raw[head.target.clone()].to_vec();
        let header = |(n, v): &(std::ops::Range<usize>, std::ops::Range<usize>)| {
            (raw[n.clone()].to_vec(), raw[v.clone()].to_vec())
        };
        exchange.headers = head.headers.iter().map(header).collect();
        exchange.body = raw[head.length..].to_vec();
    }
    for part in [
        &mut exchange.target,
        &mut exchange.body,
        &mut exchange.response_body,
    ] {
        if dice.roll(2) == 0 {
            mutate(part, dice);
        }
    }
    if dice.roll(3) == 0 {
        for (name, value) in &mut exchange.headers {
            if dice.roll(4) == 0 {
                mutate(if dice.roll(5) == 0 { name } else { value }, dice);
            }
        }
    }
    exchange
}

/// The prefilter may only save work.
fn assert_same(filtered: &Transaction, plain: &Transaction) {
    assert_eq!(ids(filtered), ids(plain));
    assert_eq!(filtered.interruption(), plain.interruption());
    assert_eq!(filtered.unrecorded_matches(), plain.unrecorded_matches());
}

fn assert_bounded(t: &Transaction, exchange: &Exchange) {
    assert!(t.matched_rules().len() <= 1200, "records are bounded");
    for m in t.matched_rules() {
        assert!(
            m.message.len() <= 4096
                && m.data.len() <= 4096
                && m.value.len() <= 4096
                && m.transformed.len() <= 4096
        );
        assert!(m.log_line.is_ascii(), "a log line is printable");
    }
    let size = exchange.target.len()
        + exchange.body.len()
        + exchange.response_body.len()
        + exchange
            .headers
            .iter()
            .map(|(n, v)| n.len() + v.len())
            .sum::<usize>();
    let most = 4_000_000 + size as u64 * 4000;
    assert!(
        t.work().bytes_held <= most,
        "{} bytes held for {size}",
        t.work().bytes_held
    );
}

#[test]
fn mutated_crs_requests() {
    let Some(crs) = crs() else { return };
    let rules = ftw::crs_rules(&crs).build().expect("the CRS loads");
    let plain = ftw::crs_rules(&crs)
        .without_prefilter()
        .build()
        .expect("the CRS loads");
    let mut requests = Vec::new();
    for file in ftw::load(&[crs.join("regression")]).expect("tests load") {
        for test in file.tests {
            requests.extend(test.stages.iter().map(|s| s.request().to_vec()));
        }
    }
    let mut dice = Dice(0x5eed_1234_abcd_0001);
    for _ in 0..1500 {
        let raw = &requests[dice.roll(requests.len())];
        let exchange = exchange_of(raw, &mut dice);
        let t = play(&rules, &exchange);
        assert_same(&t, &play(&plain, &exchange));
        assert_bounded(&t, &exchange);
    }
}

/// Rules that use every operator, transformation and action there is.
fn everything() -> RuleSetBuilder {
    RuleSet::builder().engine(EngineMode::On).front_door().text(
        "everything.conf",
        include_str!("../../fuzz/everything.conf"),
    )
}

#[test]
fn mutated_requests_over_everything() {
    let (rules, plain) = (load(everything()), load(everything().without_prefilter()));
    let seeds = [
        "POST /a/b.php?x=1&y=%27or%201=1--\nHost: h\nCookie: a=b; c=d\nContent-Type: application/x-www-form-urlencoded\n\na=1&b=<script>alert(1)</script>&c=..%2f..%2f",
        "POST /\nContent-Type: application/json\n\n{\"a\":[1,2,{\"b\":\"\\u0041\"}],\"c\":\"union select\"}",
        "POST /\nContent-Type: text/xml\n\n<a b='1'>text<c/></a>",
        "POST /\nContent-Type: multipart/form-data; boundary=X\n\n--X\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nv\r\n--X--\r\n",
        "GET /?4111111111111111=1\nContent-Encoding: gzip\n\nx",
    ];
    let mut dice = Dice(0x5eed_0000_0000_0007);
    for round in 0..3000 {
        let mut exchange = Exchange::parse(seeds[round % seeds.len()]);
        for part in [
            &mut exchange.target,
            &mut exchange.body,
            &mut exchange.response_body,
        ] {
            mutate(part, &mut dice);
        }
        for (_, value) in &mut exchange.headers {
            if dice.roll(3) == 0 {
                mutate(value, &mut dice);
            }
        }
        let t = play(&rules, &exchange);
        assert_bounded(&t, &exchange);
        assert!(t.tx("finished").is_some(), "phase 5 ran");
        assert_same(&t, &play(&plain, &exchange));
    }
}

/// Twice the input is at most a little more than twice the work.
#[test]
fn work_is_linear() {
    let rules = [("everything", load(everything()))]
        .into_iter()
        .chain(crs().map(|crs| {
            (
                "the CRS",
                ftw::crs_rules(&crs).build().expect("the CRS loads"),
            )
        }));
    for (name, rules) in rules {
        for (what, hostile) in HOSTILE {
            let work = |n: usize| {
                let exchange = hostile(n);
                let t = play(&rules, &exchange);
                assert_bounded(&t, &exchange);
                t.work()
            };
            let (one, two) = (work(300), work(600));
            let floor = work(1);
            for (kind, floor, one, two) in [
                (
                    "evaluations",
                    floor.evaluations,
                    one.evaluations,
                    two.evaluations,
                ),
                (
                    "bytes tested",
                    floor.bytes_tested,
                    one.bytes_tested,
                    two.bytes_tested,
                ),
                (
                    "bytes transformed",
                    floor.bytes_transformed,
                    one.bytes_transformed,
                    two.bytes_transformed,
                ),
                (
                    "bytes held",
                    floor.bytes_held,
                    one.bytes_held,
                    two.bytes_held,
                ),
            ] {
                let (one, two) = (one.saturating_sub(floor), two.saturating_sub(floor));
                assert!(
                    two * 10 <= one * 23 + 200_000,
                    "{name}, {what}: {kind} grew from {one} to {two}"
                );
            }
        }
    }
}

type Hostile = fn(usize) -> Exchange;

const FORM: &str = "POST /\nHost: h\nContent-Type: application/x-www-form-urlencoded\n\n";

const HOSTILE: &[(&str, Hostile)] = &[
    ("many arguments", |n| {
        Exchange::parse(FORM).with_body(repeated(n, |i| format!("a{i}=value&")))
    }),
    ("many matches", |n| {
        Exchange::parse(FORM).with_body(repeated(n, |i| {
            format!("a{i}=%27%20or%201=1--%20<script>&")
        }))
    }),
    ("one name many times", |n| {
        Exchange::parse(FORM).with_body("a=<script>&".repeat(n))
    }),
    ("one huge value", |n| {
        Exchange::parse(FORM).with_body(format!("a={}", "x'<%u0041/*".repeat(n * 4)))
    }),
    ("one huge name", |n| {
        Exchange::parse(FORM).with_body(format!("{}=1", "x'<script>".repeat(n * 4)))
    }),
    ("JSON", |n| {
        Exchange::parse("POST /\nHost: h\nContent-Type: application/json\n\n")
            .with_body(format!("[{}1]", "{\"a\":\"union select\"},".repeat(n)))
    }),
    ("XML", |n| {
        Exchange::parse("POST /\nHost: h\nContent-Type: text/xml\n\n")
            .with_body(format!("<a>{}</a>", "<b c='union'>select</b>".repeat(n)))
    }),
    ("many headers", |n| {
        let mut exchange = Exchange::parse("GET /\nHost: h");
        exchange.headers.extend(
            (0..n / 3).map(|i| (format!("X-{i}").into_bytes(), b"() { :; }; echo".to_vec())),
        );
        exchange
    }),
    ("many cookies", |n| {
        Exchange::parse(&format!(
            "GET /\nHost: h\nCookie: {}",
            repeated(n, |i| format!("c{i}=<script>; "))
        ))
    }),
    ("a large response", |n| {
        let mut exchange = Exchange::parse("GET /\nHost: h");
        exchange.response_body = b"ORA-01756 <?php Warning: mysql_".repeat(n * 2);
        exchange
    }),
];

fn repeated(n: usize, piece: impl Fn(usize) -> String) -> String {
    (0..n).map(piece).collect()
}

/// A client cannot make the store of TX names grow without bound.
#[test]
fn names_made_at_run_time_are_bounded() {
    let rules = build(
        "SecArgumentsLimit 100000\nSecRule ARGS \"@unconditionalMatch\" \"id:1,phase:1,pass,nolog,setvar:tx.n_%{MATCHED_VAR_NAME}=1\"\nSecRule &TX:/^n_/ \"@unconditionalMatch\" \"id:2,phase:1,pass\"",
    );
    let target: String = repeated(6000, |i| format!("&a{i}"));
    let t = play(&rules, &Exchange::parse(&format!("GET /?x{target}")));
    assert_eq!(t.matched_rules()[0].value, b"4096");
}

/// What matches again and again is counted, not kept.
#[test]
fn records_are_bounded() {
    let rules = build(
        "SecRule ARGS \"@unconditionalMatch\" \"id:1,phase:1,pass,logdata:'%{MATCHED_VAR}',setvar:tx.n=+1\"",
    );
    let target = format!("/?a={}{}", "x".repeat(10_000), "&b=1".repeat(500));
    let t = play(&rules, &Exchange::parse(&format!("GET {target}")));
    assert_eq!(t.matched_rules().len() as u64 + t.unrecorded_matches(), 501);
    assert_eq!(t.tx("n").as_deref(), Some(&b"501"[..]));
    assert!(t.matched_rules().len() <= 16);
    assert!(t.matched_rules()[0].data.len() <= 2048);
}
