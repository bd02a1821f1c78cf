//! The engine alone: whole transactions, phases 1 to 5, over raw requests and whole rule sets.
//!
//! `engine [--rules GLOB]... [--iterations N] [--expect STATUS] FILE...` prints nanoseconds a request for each
//! file. Under callgrind two runs that differ in `--iterations` give the instructions of one transaction.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use drawbridge::http::Head;
use drawbridge::waf::{EngineMode, RuleSet, Transaction};

fn main() {
    let mut rules = RuleSet::builder().engine(EngineMode::On).front_door();
    let (mut iterations, mut files) = (1000_u32, Vec::new());
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rules" => rules = rules.files(arguments.next().expect("--rules needs a glob")),
            "--set" => {
                let set = arguments.next().expect("--set needs NAME=VALUE");
                let (name, value) = set.split_once('=').expect("--set needs NAME=VALUE");
                rules = rules.variable(name, value);
            }
            "--iterations" => {
                let n = arguments.next().expect("--iterations needs a number");
                iterations = n.parse().expect("--iterations needs a number");
            }
            _ => files.push(argument),
        }
    }
    let started = Instant::now();
    let rules = rules.build().unwrap_or_else(|problems| {
        problems
            .0
            .iter()
            .for_each(|d| eprint!("{}", d.render(false)));
        std::process::exit(1)
    });
    eprintln!(
        "{} rules in {:?}",
        rules.summaries().count(),
        started.elapsed()
    );
    for file in files {
        let raw = std::fs::read(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let verdict = run(&rules, &raw);
        let attack = file.contains("attack");
        assert_eq!(
            verdict == 403,
            attack,
            "{file}: verdict {verdict}; a benchmark of rules that do not run is void"
        );
        let started = Instant::now();
        for _ in 0..iterations {
            assert_eq!(run(&rules, &raw), verdict);
        }
        let each = started.elapsed() / iterations.max(1);
        println!(
            "{:10.1} us  {}",
            each.as_secs_f64() * 1e6,
            file.rsplit('/').next().unwrap_or(&file)
        );
    }
}

/// One request through all phases, answered by a small page; the status it gets.
fn run(rules: &Arc<RuleSet>, raw: &[u8]) -> u16 {
    let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let head = Head::parse(raw).expect("the mix is valid HTTP");
    let mut transaction = Transaction::new(
        Arc::clone(rules),
        address,
        address,
        "0193f5a0-0000-7000-8000-000000000000",
    );
    transaction.request_line(
        &raw[head.line.clone()],
        &raw[head.method.clone()],
        &raw[head.target.clone()],
        &raw[head.protocol.clone()],
    );
    for (name, value) in &head.headers {
        transaction.request_header(&raw[name.clone()], &raw[value.clone()]);
    }
    let blocked = transaction
        .request_headers_done()
        .or_else(|| transaction.request_body(&raw[head.length..]));
    if blocked.is_none() {
        let headers: [(&[u8], &[u8]); 2] =
            [(b"content-type", b"text/html"), (b"content-length", b"15")];
        transaction.response_headers(200, b"HTTP/1.1", headers);
        transaction.response_body(b"<p>Welcome.</p>", true);
    }
    transaction.finish();
    blocked.map_or(200, |i| i.status)
}
