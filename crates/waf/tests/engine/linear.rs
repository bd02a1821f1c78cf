//! Work grows with the input and not with its square: counted, on a thread that has seen no value before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use waf::{EngineMode, RuleSet};

use super::harness::{Exchange, load, play};
use super::mutate::crs;
use super::robust::{assert_bounded, everything, repeated};

/// Counters of one transaction, by name.
type Counters = [(&'static str, u64); 5];

/// A thread of its own: what the prefilter keeps of values is kept by thread.
fn work(rules: &Arc<RuleSet>, exchange: &Exchange) -> Counters {
    let play = || {
        let t = play(rules, exchange);
        assert_bounded(&t, exchange);
        t.work()
    };
    let work = thread::scope(|scope| scope.spawn(play).join().expect("it plays"));
    [
        ("evaluations", work.evaluations),
        ("bytes tested", work.bytes_tested),
        ("bytes transformed", work.bytes_transformed),
        ("bytes scanned", work.bytes_scanned),
        ("bytes held", work.bytes_held),
    ]
}

/// Asserts that `two` did at most twice as much beyond `floor`, which any request costs, as `one`, and a little.
fn assert_linear(what: &str, floor: &Counters, one: &Counters, two: &Counters) {
    for (((name, floor), (_, one)), (_, two)) in floor.iter().zip(one).zip(two) {
        let most = floor + one.saturating_sub(*floor) * 22 / 10 + 2000;
        assert!(*two <= most, "{what}, {name}: {floor}, {one}, {two}");
    }
}

/// Tries `check` on every item, on all cores.
fn each<T: Sync>(items: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            check(item);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

/// The CRS as a front door runs it, blocking, with limits that let all of a body in.
fn crs_at(level: &str) -> Option<Arc<RuleSet>> {
    let crs = crs()?;
    let limits = "SecRequestBodyLimit 16777216\nSecRequestBodyNoFilesLimit 16777216\nSecArgumentsLimit 1000000\n";
    let rules = RuleSet::builder()
        .engine(EngineMode::On)
        .front_door()
        .text("limits.conf", limits)
        .variable("blocking_paranoia_level", level)
        .files(crs.join("crs-setup.conf.example").to_string_lossy())
        .files(crs.join("rules/*.conf").to_string_lossy());
    Some(load(rules))
}

/// The paranoia levels that are followed, with their rules.
fn levels() -> Option<Vec<(&'static str, Arc<RuleSet>)>> {
    let at = |level| Some((level, crs_at(level)?));
    ["1", "2"].into_iter().map(at).collect()
}

const SMALLEST: usize = 16 << 10;
const LARGEST: usize = 4 << 20;

/// The smallest and the largest body, in bytes.
type Sizes = (usize, usize);

const ALL: Sizes = (SMALLEST, LARGEST);

/// Asserts that each doubling of the body, between these sizes in bytes, at most doubles the work.
fn double(rules: &Arc<RuleSet>, what: &str, sizes: Sizes, body: &dyn Fn(usize) -> Exchange) {
    let (mut length, most) = sizes;
    let floor = work(rules, &body(0));
    let mut one = work(rules, &body(length));
    while length < most {
        length *= 2;
        let two = work(rules, &body(length));
        assert_linear(&format!("{what}, {length} bytes"), &floor, &one, &two);
        one = two;
    }
}

/// What a body is made of: `n` bytes of it.
type Body = fn(usize) -> Exchange;

const BODIES: &[(&str, Sizes, Body)] = &[
    ("JSON", ALL, |n| {
        let item = |i: usize| {
            format!(
                "{{\"sku\":\"sku-{i}\",\"qty\":{},\"note\":\"{}\"}},",
                i % 9,
                prose(i)
            )
        };
        let items = filled(n, item);
        of("application/json", format!("{{\"items\":[{items}0]}}"))
    }),
    ("a form of many fields", ALL, |n| {
        let field = |i| format!("field_{i}={}&", prose(i).replace(' ', "+"));
        of("application/x-www-form-urlencoded", filled(n, field))
    }),
    ("a form of one field", ALL, |n| {
        let words = filled(n, |i| prose(i).replace(' ', "+"));
        of(
            "application/x-www-form-urlencoded",
            format!("comment={words}"),
        )
    }),
    ("multipart", ALL, |n| parts(n, 2048)),
    // More than 4096 parts are an error, and what follows them is inspected as one value, with the marks between parts in
    // it: another value, and another work for each byte.
    ("multipart of small parts", (SMALLEST, 512 << 10), |n| {
        parts(n, 64)
    }),
    // What follows the first 4096 parts is one value; so large that these are little of it.
    ("multipart of too many parts", (LARGEST, 2 * LARGEST), |n| {
        parts(n, 1)
    }),
    ("text", ALL, |n| of("text/plain", filled(n, prose))),
];

/// Pieces that a value is filled with, to keep patterns busy.
const FILLERS: &[&str] = &[
    "$a", "a", "' or ", "<a ", "((", "\\", "%25", "/*", "../", " ", "0x", ";", "=", "{{", "&#x",
    "\"+", "select ", "\u{e9}",
];

fn of(media: &str, body: String) -> Exchange {
    let head = "POST /api/v1/orders\nHost: shop.test\nUser-Agent: Mozilla/5.0\nAccept: */*";
    let mut exchange = Exchange::parse(&format!("{head}\nContent-Type: {media}"));
    let length = (
        b"Content-Length".to_vec(),
        body.len().to_string().into_bytes(),
    );
    exchange.headers.push(length);
    exchange.with_body(body)
}

/// Parts of `length` bytes of words until there are `n` bytes.
fn parts(n: usize, length: usize) -> Exchange {
    let part = |i| {
        let words = filled(length, |j| prose(50 * i + j));
        format!("--XX\r\nContent-Disposition: form-data; name=\"f{i}\"\r\n\r\n{words}\r\n")
    };
    of(
        "multipart/form-data; boundary=XX",
        format!("{}--XX--\r\n", filled(n, part)),
    )
}

/// Pieces until there are `n` bytes.
fn filled(n: usize, piece: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(n + 256);
    for i in 0.. {
        if text.len() >= n {
            break;
        }
        text.push_str(&piece(i));
    }
    text
}

/// Some words, others for each `i`.
fn prose(i: usize) -> String {
    const WORDS: [&str; 8] = [
        "light", "trail", "shoe", "wet", "rock", "daily", "narrow", "fit",
    ];
    let word = |n: u32| WORDS[((i % 8191) >> (3 * n)) % 8];
    format!(
        "{} {} {} number {i} for {} {}",
        word(0),
        word(1),
        word(2),
        word(3),
        word(0)
    )
}

#[test]
fn twice_the_body_is_at_most_twice_the_work() {
    let Some(levels) = levels() else { return };
    let tries: Vec<_> = levels
        .iter()
        .flat_map(|level| BODIES.iter().map(move |body| (level, body)))
        .collect();
    each(&tries, |((level, rules), (what, sizes, body))| {
        double(rules, &format!("{what} at level {level}"), *sizes, body);
    });
}

#[test]
fn twice_the_hostile_filler_is_at_most_twice_the_work() {
    let Some(levels) = levels() else { return };
    let tries: Vec<_> = levels
        .iter()
        .flat_map(|level| FILLERS.iter().map(move |filler| (level, filler)))
        .collect();
    each(&tries, |((level, rules), filler)| {
        // Exactly twice as many: with an even number of quotes `' or ` is an attack, with an odd one it is none.
        let body = |n: usize| {
            let times = SMALLEST / filler.len() * n / SMALLEST;
            let value = serde_json::json!(filler.repeat(times));
            of("application/json", format!("{{\"a\":{value}}}"))
        };
        let what = format!("{filler:?} at level {level}");
        double(rules, &what, (SMALLEST, 256 << 10), &body);
    });
}

/// Every operator, transformation and kind of input there is, in small.
#[test]
fn work_is_linear() {
    let crs = crs_at("2").map(|crs| ("the CRS", crs));
    for (name, rules) in [("everything", load(everything()))].into_iter().chain(crs) {
        for (what, hostile) in HOSTILE {
            let work = |n| work(&rules, &hostile(n));
            assert_linear(&format!("{name}, {what}"), &work(1), &work(300), &work(600));
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
