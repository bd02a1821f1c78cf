//! The prefilter only proposes: whatever it is asked about, every match, capture and score is as without it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use regex::bytes::Regex;
use waf::internals::transform::Transformation;
use waf::{EngineMode, MatchedRule, RuleSet, Transaction};

use super::harness::{Exchange, ids, load, play};
use super::mutate::{Dice, crs, crs_requests, exchange_of, mutated};
use super::robust::assert_bounded;

/// The same rules with the prefilter and without it, and what they can leave behind.
pub struct Both {
    with: Arc<RuleSet>,
    without: Arc<RuleSet>,
    /// Names of `TX` variables: scores, captures and all else that rules set.
    names: Vec<String>,
    matches: AtomicUsize,
}

impl Both {
    /// `text`: all that the rules say, to find the names in.
    pub fn new(with: Arc<RuleSet>, without: Arc<RuleSet>, text: &[u8]) -> Self {
        let name = Regex::new(r"(?i)tx[.:]([a-z0-9_.-]+)").expect("a pattern");
        let set = name.captures_iter(text).map(|found| found[1].to_vec());
        let set = set.map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase());
        let names: BTreeSet<String> = (0..=9).map(|n| n.to_string()).chain(set).collect();
        Self {
            with,
            without,
            names: names.into_iter().collect(),
            matches: AtomicUsize::new(0),
        }
    }

    /// Plays it both ways; the transaction with the prefilter.
    pub fn compare(&self, exchange: &Exchange) -> Transaction {
        let (with, without) = (play(&self.with, exchange), play(&self.without, exchange));
        let request = || exchange.target.escape_ascii().to_string();
        assert_eq!(ids(&with), ids(&without), "{}", request());
        for (one, other) in with.matched_rules().iter().zip(without.matched_rules()) {
            // The one variable that is never the same twice.
            if one.variable != b"DURATION" {
                assert_eq!(told(one), told(other), "{}", request());
            }
        }
        assert_eq!(with.unrecorded_matches(), without.unrecorded_matches());
        assert_eq!(with.interruption(), without.interruption(), "{}", request());
        for name in &self.names {
            assert_eq!(
                with.tx(name),
                without.tx(name),
                "tx.{name} of {}",
                request()
            );
        }
        self.matches
            .fetch_add(with.matched_rules().len(), Ordering::Relaxed);
        with
    }

    /// Compares all of them, on all cores. Each thread comes upon values it has seen and values it has not.
    fn compare_all(&self, exchanges: &[Exchange]) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(exchange) = exchanges.get(next.fetch_add(1, Ordering::Relaxed)) {
                        assert_bounded(&self.compare(exchange), exchange);
                    }
                });
            }
        });
    }
}

/// All that a match says.
fn told(m: &MatchedRule) -> impl PartialEq + std::fmt::Debug + use<'_> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let verdict = (m.severity, m.logged, m.interrupting);
    let value = (text(&m.variable), text(&m.value), text(&m.transformed));
    let words = (text(&m.message), text(&m.data), text(&m.log_line));
    (m.rule_id, m.phase, value, words, verdict)
}

/// How the CRS is set up.
#[derive(Clone, Copy)]
enum Crs {
    /// As it comes, at paranoia level 1: with so few literals at the steps of chains that the filter has its vectorised
    /// search for them.
    AsItComes,
    /// As its tests want it, at paranoia level 4.
    Tests,
}

/// The CRS, both ways.
fn both(crs: &Path, mode: EngineMode, setup: Crs) -> Both {
    let rules = || match setup {
        Crs::AsItComes => RuleSet::builder()
            .files(crs.join("crs-setup.conf.example").to_string_lossy())
            .files(crs.join("rules/*.conf").to_string_lossy())
            .engine(mode)
            .front_door(),
        Crs::Tests => ftw::crs_rules(crs).engine(mode),
    };
    let mut text = ftw::CRS_TEST_SETUP.as_bytes().to_vec();
    for entry in std::fs::read_dir(crs.join("rules")).expect("rules") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "conf") {
            text.extend(std::fs::read(path).expect("a rule file"));
        }
    }
    Both::new(load(rules()), load(rules().without_prefilter()), &text)
}

#[test]
fn what_is_negated_and_what_is_quoted() {
    let text = r#"
SecRequestBodyAccess On
SecRule ARGS "!@pm red green" "id:1,phase:2,pass,t:none,t:lowercase,capture,setvar:tx.absent=+1"
SecRule ARGS "!@pm blue" "id:2,phase:2,pass,t:none,t:urlDecodeUni,chain"
    SecRule MATCHED_VAR "@rx ^[a-z]+$" "capture,setvar:tx.word=%{tx.0}"
SecRule ARGS "!@pm red" "id:3,phase:2,pass,multiMatch,t:none,t:base64Decode,setvar:tx.multi=+1"
SecRule ARGS "@rx c[\"'\)\[\x5c]*(?:\$[a-z]*)?\x5c?a[\"'\)\[\x5c]*t" "id:4,phase:2,pass,t:none,capture,setvar:tx.cat=%{tx.0}"
"#;
    let rules = || {
        let rules = RuleSet::builder().engine(EngineMode::DetectionOnly);
        rules.text("both.conf", text)
    };
    let both = Both::new(
        load(rules()),
        load(rules().without_prefilter()),
        text.as_bytes(),
    );
    let cases: [(&str, &[u32]); 9] = [
        ("a=none", &[1, 2, 3]),
        ("a=RED", &[3]),
        ("a=blue&b=red", &[1, 2, 3]),
        ("a=cmVk", &[1, 3]),
        ("a=", &[1, 3]),
        ("a=CAT&b=cat", &[1, 2, 3, 4]),
        ("a=red%20c'a't", &[3, 4]),
        ("a=red%20c$xa%5Ct", &[3, 4]),
        ("a=red%20c$%20at", &[3]),
    ];
    for (query, expected) in cases {
        let exchange = Exchange::parse(&format!("GET /?{query}"));
        let mut found = ids(&both.compare(&exchange));
        found.sort_unstable();
        found.dedup();
        let expected: Vec<u64> = expected.iter().map(|&id| id.into()).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn later_links_are_proposed_too() {
    let text = r#"
SecRule REQUEST_METHOD "@streq GET" "id:1,phase:2,pass,setvar:tx.first=+1,chain"
    SecRule ARGS|ARGS_NAMES "@validateUtf8Encoding" "setvar:tx.broken=+1"
SecRule REQUEST_METHOD "@streq GET" "id:2,phase:2,pass,chain"
    SecRule &ARGS "@gt 0" "chain"
        SecRule ARGS "@rx (<[a-z]+)" "t:none,t:lowercase,capture,setvar:tx.tag=%{tx.1}"
SecRule REQUEST_METHOD "@streq POST" "id:3,phase:2,pass,chain"
    SecRule ARGS "@rx [<]" ""
SecRule ARGS "@rx <b" "id:4,phase:2,pass,chain"
    SecRule ARGS "@rx [>]" ""
"#;
    let rules = || {
        let rules = RuleSet::builder().engine(EngineMode::DetectionOnly);
        rules.text("later.conf", text)
    };
    let both = Both::new(
        load(rules()),
        load(rules().without_prefilter()),
        text.as_bytes(),
    );
    let cases: [(&str, &[u64]); 6] = [
        ("a=plain&b=text", &[]),
        ("a=plain&b=%ff", &[1]),
        ("a=x&%fe=y", &[1]),
        ("a=%3CI&b=text", &[2]),
        ("a=%3Cb", &[2]),
        ("a=%3Cb&c=%3E&d=%ff", &[1, 2, 4]),
    ];
    for (query, expected) in cases {
        let exchange = Exchange::parse(&format!("GET /?{query}"));
        let mut found = ids(&both.compare(&exchange));
        found.dedup();
        assert_eq!(found, expected, "{query}");
    }
    // Two links are evaluated for each of the hundred arguments without the prefilter, and one for its name.
    let query: Vec<String> = (0..100).map(|n| format!("a{n}=b{n}")).collect();
    let exchange = Exchange::parse(&format!("GET /?{}", query.join("&")));
    let evaluations = |rules| play(rules, &exchange).work().evaluations;
    let (with, without) = (evaluations(&both.with), evaluations(&both.without));
    assert!(with + 250 < without, "{with} of {without}");
}

/// Attacks behind base64 in every alignment, behind escapes and blanks before and after it, and noise that is none.
#[test]
fn what_base64_hides() {
    let text = r#"
SecRule ARGS "@rx process\.exit\(|eval\(|env\[" "id:1,phase:2,pass,capture,multiMatch,t:none,t:urlDecodeUni,t:jsDecode,t:removeWhitespace,t:base64Decode,t:urlDecodeUni,t:jsDecode,t:removeWhitespace,setvar:tx.first=+1,setvar:tx.found=%{tx.0}"
SecRule ARGS "@rx while[\s]*\([\s\(]*.*\)" "id:2,phase:2,pass,multiMatch,t:none,t:jsDecode,t:base64Decode,t:urlDecodeUni,t:jsDecode,t:replaceComments,setvar:tx.second=+1"
SecRule ARGS "@rx [{]" "id:3,phase:2,pass,multiMatch,t:none,t:base64Decode,t:base64Decode,setvar:tx.third=+1"
"#;
    let rules = || {
        let rules = RuleSet::builder().engine(EngineMode::DetectionOnly);
        rules.text("base64.conf", text)
    };
    let both = Both::new(
        load(rules()),
        load(rules().without_prefilter()),
        text.as_bytes(),
    );
    let hidden: [&[u8]; 9] = [
        b"process.exit(",
        b"e val +(",
        b"%65val(",
        b"\\x65n\\166[",
        b"while (/**/)",
        b"whil\\u0065%28)",
        b"ew==",
        b"{",
        b"plain words",
    ];
    let mut dice = Dice(3);
    let mut matched = [0; 3];
    for _ in 0..3000 {
        let mut value = vec![b'x'; dice.roll(4)];
        value.extend_from_slice(hidden[dice.roll(hidden.len())]);
        value.extend((0..dice.roll(5)).map(|_| u8::try_from(dice.roll(256)).unwrap_or(0)));
        if dice.roll(4) > 0 {
            value = base64(&value);
        }
        let spice: [&[u8]; 5] = [b"", b"", b"-", b" ", b"\\"];
        let at = dice.roll(value.len() + 1);
        value.splice(at..at, spice[dice.roll(spice.len())].iter().copied());
        let query: String = value.iter().map(|b| format!("%{b:02x}")).collect();
        let found = ids(&both.compare(&Exchange::parse(&format!("GET /?a={query}"))));
        for (id, count) in (1..).zip(&mut matched) {
            *count += usize::from(found.contains(&id));
        }
    }
    assert!(matched.iter().all(|&n| n > 100 && n < 2000), "{matched:?}");
}

/// Dots that only some step of a chain brings together, or that none does.
#[test]
fn what_steps_bring_together() {
    let text = r#"
SecRule ARGS "@rx (?:^|[/;\x5c])\.{2,3}[/;\x5c]" "id:1,phase:2,pass,capture,multiMatch,t:none,t:utf8toUnicode,t:urlDecodeUni,t:removeNulls,t:cmdLine,setvar:tx.dots=+1,setvar:tx.found=%{tx.0}"
SecRule ARGS "@pm :=: ::=" "id:2,phase:2,pass,multiMatch,t:none,t:compressWhitespace,t:replaceComments,t:lowercase,setvar:tx.signs=+1"
"#;
    let rules = || {
        let rules = RuleSet::builder().engine(EngineMode::DetectionOnly);
        rules.text("steps.conf", text)
    };
    let both = Both::new(
        load(rules()),
        load(rules().without_prefilter()),
        text.as_bytes(),
    );
    let pieces = [
        ".", ".", "..", "/", ";", "\\", " ", "+", "^", "\"", "%2e", "%252e", "%u002e", "%00", "é",
        "a", "X", ",", "(", ":", ":=", "=", "::", "/*x*/", "\t",
    ];
    let mut dice = Dice(17);
    let mut matched = [0; 2];
    for _ in 0..6000 {
        let value: String = (0..=dice.roll(8))
            .map(|_| pieces[dice.roll(pieces.len())])
            .collect();
        let query: String = value.bytes().map(|b| format!("%{b:02x}")).collect();
        let found = ids(&both.compare(&Exchange::parse(&format!("GET /?a={query}"))));
        for (id, count) in (1..).zip(&mut matched) {
            *count += usize::from(found.contains(&id));
        }
    }
    assert!(matched.iter().all(|&n| n > 50 && n < 4000), "{matched:?}");
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    Transformation::Base64Encode.apply(bytes, &mut encoded, None);
    encoded
}

/// The requests of the benchmark: those that are measured and those that are only checked.
fn mix(crs: &Path) -> Vec<Vec<u8>> {
    let requests = written_by(crs, "mix.py", &["mix", "mix/check"]);
    assert!(requests.is_empty() || requests.len() == 17);
    requests
}

/// Two hundred requests of the benchmark, of which none comes twice.
fn fresh(crs: &Path) -> Vec<Vec<u8>> {
    let requests = written_by(crs, "fresh.py", &["mix/fresh"]);
    assert!(requests.is_empty() || requests.len() == 200);
    requests
}

/// The requests that a script of the benchmark writes to these folders.
fn written_by(crs: &Path, script: &str, folders: &[&str]) -> Vec<Vec<u8>> {
    let path = crs.with_file_name("bench").join(script);
    let made = tempfile::tempdir().expect("a folder");
    let work = made.path();
    let mut python = Command::new("python3");
    let python = python.arg(&path).env("BENCH_WORK", work).env("ROUNDS", "2");
    if !python.output().is_ok_and(|w| w.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI must have {script}");
        println!("skipped: needs python3 and {}", path.display());
        return Vec::new();
    }
    let mut requests = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(work.join(folder)).expect("requests") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                requests.push(std::fs::read(path).expect("a request"));
            }
        }
    }
    requests
}

#[test]
fn every_request_that_never_came_before() {
    let Some(crs) = crs() else { return };
    let requests = fresh(&crs);
    let mut dice = Dice(0x5eed_4321_dcba_0001);
    let mut exchanges: Vec<Exchange> = requests.iter().map(|raw| exchange_of(raw)).collect();
    for raw in &requests {
        exchanges.push(mutated(exchange_of(raw), &mut dice));
    }
    for setup in [Crs::AsItComes, Crs::Tests] {
        let both = both(&crs, EngineMode::On, setup);
        both.compare_all(&exchanges);
        let matches = both.matches.into_inner();
        assert!(requests.is_empty() || matches > 300, "{matches}");
    }
}

#[test]
fn every_request_of_the_crs_and_the_mix() {
    let Some(crs) = crs() else { return };
    let requests = [crs_requests(&crs), mix(&crs)].concat();
    let exchanges: Vec<Exchange> = requests.iter().map(|raw| exchange_of(raw)).collect();
    for (setup, least) in [(Crs::AsItComes, 5_000), (Crs::Tests, 20_000)] {
        let both = both(&crs, EngineMode::DetectionOnly, setup);
        both.compare_all(&exchanges);
        let (asked, matches) = (exchanges.len(), both.matches.into_inner());
        assert!(asked >= 3690 && matches > least, "{asked}, {matches}");
    }
}

#[test]
fn mutated_requests_of_the_crs_and_the_mix() {
    let Some(crs) = crs() else { return };
    let (requests, mix) = (crs_requests(&crs), mix(&crs));
    let mut dice = Dice(0x5eed_1234_abcd_0001);
    let mut exchanges = Vec::new();
    for raw in mix.iter().cycle().take(mix.len() * 20) {
        exchanges.push(mutated(exchange_of(raw), &mut dice));
    }
    for _ in 0..10_000 {
        let raw = &requests[dice.roll(requests.len())];
        exchanges.push(mutated(exchange_of(raw), &mut dice));
    }
    let both = both(&crs, EngineMode::On, Crs::Tests);
    both.compare_all(&exchanges);
    assert!(both.matches.into_inner() > 5000);
}
