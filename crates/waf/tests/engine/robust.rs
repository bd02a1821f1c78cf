//! Hostile input: no panic, bounded records.

use waf::{EngineMode, RuleSet, RuleSetBuilder, Transaction};

use super::harness::{Exchange, build, load, play};
use super::mutate::{Dice, mutate};
use super::prefilter::Both;

pub fn assert_bounded(t: &Transaction, exchange: &Exchange) {
    assert!(t.matched_rules().len() <= 1200, "records are bounded");
    for m in t.matched_rules() {
        assert!(
            m.message.len() <= 4096
                && m.data.len() <= 4096
                && m.value.len() <= 4096
                && m.transformed.len() <= 4096
        );
        assert!(m.log_line.is_ascii(), "a log line is printable");
        let span = m.span.clone();
        assert!(span.is_none_or(|span| m.transformed.get(span).is_some()));
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

/// Rules that use every operator, transformation and action there is.
pub fn everything() -> RuleSetBuilder {
    RuleSet::builder()
        .engine(EngineMode::On)
        .front_door()
        .text("everything.conf", EVERYTHING)
}

const EVERYTHING: &str = include_str!("../../../../fuzz/everything.conf");

#[test]
fn mutated_requests_over_everything() {
    let (with, without) = (load(everything()), load(everything().without_prefilter()));
    let both = Both::new(with, without, EVERYTHING.as_bytes());
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
        let t = both.compare(&exchange);
        assert_bounded(&t, &exchange);
        assert!(t.tx("finished").is_some(), "phase 5 ran");
    }
}

pub fn repeated(n: usize, piece: impl Fn(usize) -> String) -> String {
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
