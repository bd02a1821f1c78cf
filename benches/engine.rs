//! The engine alone: whole transactions, phases 1 to 5, over raw requests and whole rule sets.
//!
//! `engine [--rules GLOB]... [--set NAME=VALUE]... [--iterations N | --seconds S] [--cold] [--detect] [--page PAGE] FILE...`
//! prints microseconds of CPU a request for each file. A file named `attack` must be blocked, every other must not;
//! `--detect` blocks nothing. `--cold`: each request comes to a thread that has seen no value before. `--page`: HTML
//! that answers them; it is inspected where the rules say so.
//!
//! `--fresh N`: no request comes twice. The first `N` files warm the thread up; the others are grouped by the kind in
//! their names (`00123_a_page.http`), and each group is measured as one, `--iterations` requests of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use http_strict::Head;
use waf::{EngineMode, RuleSet, Transaction};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    waf::internals::fix_seed(1);
    let mut rules = RuleSet::builder().engine(EngineMode::On).front_door();
    let (mut effort, mut detect, mut files) = (Effort::default(), false, Vec::new());
    let mut fresh = None;
    let mut page = b"<p>Welcome.</p>".to_vec();
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
                effort.iterations = n.parse().expect("--iterations needs a number");
            }
            "--seconds" => {
                let s = arguments.next().expect("--seconds needs a number");
                let s = s.parse().expect("--seconds needs a number");
                effort.seconds = Some(Duration::from_secs_f64(s));
            }
            "--cold" => effort.cold = true,
            "--fresh" => {
                let n = arguments.next().expect("--fresh needs a number");
                fresh = Some(n.parse().expect("--fresh needs a number"));
            }
            "--page" => {
                let file = arguments.next().expect("--page needs a file");
                page = std::fs::read(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
            }
            "--detect" => {
                detect = true;
                rules = rules.engine(EngineMode::DetectionOnly);
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
    match fresh {
        Some(warm_up) => measure_fresh(&rules, &files, &page, warm_up, effort.iterations as usize),
        None => measure_repeated(&rules, &files, &page, &effort, detect),
    }
}

fn measure_repeated(
    rules: &Arc<RuleSet>,
    files: &[String],
    page: &[u8],
    effort: &Effort,
    detect: bool,
) {
    for file in files {
        let request = Request::read(file);
        let verdict = run(rules, &request.raw, page);
        if !detect {
            request.check(verdict);
        }
        // What is kept of values seen before is there from the second on.
        let each = repeat(rules, &request.raw, page, verdict, effort);
        report(file, each);
    }
}

fn measure_fresh(
    rules: &Arc<RuleSet>,
    files: &[String],
    page: &[u8],
    warm_up: usize,
    of_each: usize,
) {
    let (first, others) = files.split_at(warm_up.min(files.len()));
    let warming = first.iter().map(|file| Request::read(file));
    let wrong = warming
        .filter(|request| !request.expects(run(rules, &request.raw, page)))
        .count();
    // Made at random, a few benign requests hold words that a rule blocks.
    assert!(
        wrong * 100 <= first.len(),
        "{wrong} of {} verdicts are wrong; a benchmark of rules that do not run is void",
        first.len()
    );
    let mut kinds: BTreeMap<&str, Vec<Request>> = BTreeMap::new();
    for file in others {
        let name = file.rsplit('/').next().unwrap_or(file);
        let kind = kinds
            .entry(name.split_once('_').map_or(name, |n| n.1))
            .or_default();
        if kind.len() < of_each {
            kind.push(Request::read(file));
        }
    }
    // Under callgrind the first count has in it what the threads did that read the rule files.
    report("nothing", repeat_fresh(rules, &[], page));
    for (kind, requests) in kinds {
        let each = repeat_fresh(rules, &requests, page);
        report(kind, each);
    }
}

/// A request of the mix, and where it was read.
struct Request {
    file: String,
    raw: Vec<u8>,
}

impl Request {
    fn read(file: &str) -> Self {
        let raw = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let file = file.to_owned();
        Self { file, raw }
    }

    /// Whether an attack was blocked, or anything else was not.
    fn expects(&self, verdict: u16) -> bool {
        (verdict == 403) == self.file.contains("attack")
    }

    fn check(&self, verdict: u16) {
        assert!(
            self.expects(verdict),
            "{}: verdict {verdict}; a benchmark of rules that do not run is void",
            self.file
        );
    }
}

/// Time on a CPU a request, each played once. Under callgrind the counting begins here, as with [`repeat`].
#[inline(never)]
fn repeat_fresh(rules: &Arc<RuleSet>, requests: &[Request], page: &[u8]) -> Duration {
    let started = on_cpu();
    for request in requests {
        run(rules, &request.raw, page);
    }
    (on_cpu() - started) / u32::try_from(requests.len()).unwrap_or(1).max(1)
}

/// Under callgrind the counting ends with this function: it is found by name.
#[inline(never)]
fn report(file: &str, each: Duration) {
    let name = file.rsplit('/').next().unwrap_or(file);
    println!("{:10.1} us  {name}", each.as_secs_f64() * 1e6);
}

/// How often a request is played.
struct Effort {
    iterations: u32,
    /// Counts in place of `iterations`.
    seconds: Option<Duration>,
    cold: bool,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            iterations: 1000,
            seconds: None,
            cold: false,
        }
    }
}

/// Time on a CPU a request. Under callgrind the counting begins with this function: it is found by name.
#[inline(never)]
fn repeat(
    rules: &Arc<RuleSet>,
    raw: &[u8],
    page: &[u8],
    verdict: u16,
    effort: &Effort,
) -> Duration {
    if effort.cold {
        let timed = || {
            let started = on_cpu();
            assert_eq!(run(rules, raw, page), verdict);
            on_cpu() - started
        };
        let all: Duration = (0..effort.iterations)
            .map(|_| thread::scope(|scope| scope.spawn(timed).join().expect("it runs")))
            .sum();
        return all / effort.iterations.max(1);
    }
    let (started, mut done) = (on_cpu(), 0_u32);
    while match effort.seconds {
        Some(seconds) => on_cpu() - started < seconds,
        None => done < effort.iterations,
    } {
        // One look at the clock for some requests: it is a file that is read.
        for _ in 0..effort.seconds.map_or(1, |_| 10) {
            assert_eq!(run(rules, raw, page), verdict);
            done += 1;
        }
    }
    (on_cpu() - started) / done.max(1)
}

/// This thread's time on a CPU (what else the machine does counts less); the time that passed where no
/// `/proc` tells.
fn on_cpu() -> Duration {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    told.and_then(|text| text.split(' ').next()?.parse().ok())
        .map_or_else(|| STARTED.elapsed(), Duration::from_nanos)
}

/// One request through all phases, answered by a page; the status it gets.
fn run(rules: &Arc<RuleSet>, raw: &[u8], page: &[u8]) -> u16 {
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
        let length = page.len().to_string();
        let headers: [(&[u8], &[u8]); 2] = [
            (b"content-type", b"text/html"),
            (b"content-length", length.as_bytes()),
        ];
        transaction.response_headers(200, b"HTTP/1.1", headers);
        transaction.response_body(page, true);
    }
    transaction.finish();
    blocked.map_or(200, |i| i.status)
}
