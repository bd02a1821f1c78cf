//! How many false positives of the Core Rule Set an exclusion for one argument solves, and what it opens.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use drawbridge::exclusion::{Day, Extent, Kind, Proposals, ProposeError, Purpose, propose};
use drawbridge::recorded::Request;
use ftw::InProcess;
use serde_json::{Value, json};
use support::corpus::{Corpus, complaints};
use support::materials::{self, project, say};
use waf::{EngineMode, RuleSet};

/// One text of the corpus and the request that it stands in.
struct Case {
    words: String,
    request: Request,
}

/// What was found for one case.
struct Solved {
    rules: usize,
    beyond: Extent,
    /// The exclusion without its comments.
    seclang: String,
}

/// Those of tests/false-positives.txt.
fn cases() -> Vec<Case> {
    let text = fs::read_to_string(project().join("tests/false-positives.txt")).unwrap();
    let mut group = "";
    let mut cases = Vec::new();
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("== ") {
            group = named;
        } else if !line.is_empty() && !group.is_empty() {
            let (_, place) = group.split_once(": ").unwrap();
            let [place, path, name] = place.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{group}");
            };
            let value = line.replace('⏎', "\r\n");
            cases.push(Case {
                words: format!("{group}: {line}"),
                request: request(place, path, name, &value),
            });
        }
    }
    cases
}

fn request(place: &str, path: &str, name: &str, value: &str) -> Request {
    let encoded = |value: &str| -> String { value.bytes().map(|b| format!("%{b:02X}")).collect() };
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=x8Yd0";
    let part = |disposition: &str| {
        let begin = "--x8Yd0\r\nContent-Disposition: form-data; ";
        format!("{begin}name=\"title\"\r\n\r\nHello\r\n{begin}{disposition}\r\n--x8Yd0--\r\n")
    };
    let (mut method, mut target, mut agent) = ("GET", path.to_owned(), "Mozilla/5.0 (X11)");
    let mut more = String::new();
    let mut body = None;
    match place {
        "query" => target += &format!("?page=1&{name}={}&lang=en", encoded(value)),
        "path" => value.clone_into(&mut target),
        "method" => method = value,
        "header" if name == "User-Agent" => agent = value,
        "header" => more = format!("{name}: {value}\r\n"),
        "cookie" => more = format!("Cookie: seen=1; {name}={}; lang=en\r\n", encoded(value)),
        "form" => {
            let text = format!("title=Hello&{name}={}&action=save", encoded(value));
            body = Some((form, text));
        }
        "json" => body = Some(("application/json", json_with(name, value))),
        "part" => body = Some((multipart, part(&format!("name=\"{name}\"\r\n\r\n{value}")))),
        "file" => {
            let head = format!("name=\"{name}\"; filename=\"{value}\"");
            let text = part(&format!("{head}\r\nContent-Type: text/plain\r\n\r\nabc"));
            body = Some((multipart, text));
        }
        "xml" => {
            let value = value.replace('&', "&amp;").replace('<', "&lt;");
            let text = format!("<a><title>Hello</title><note>{value}</note></a>");
            body = Some(("text/xml", text));
        }
        "body" => body = Some((name, value.to_owned())),
        other => panic!("{other} is no place"),
    }
    if let Some((kind, text)) = &body {
        method = "POST";
        more += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", text.len());
    }
    let head = format!("{method} {target} HTTP/1.1\r\nHost: shop.example\r\nAccept: */*");
    let body = body.map(|(_, text)| text).unwrap_or_default();
    Request::from_file(format!("{head}\r\nUser-Agent: {agent}\r\n{more}\r\n{body}").into_bytes())
}

/// JSON with a value at this path, whose numbers are places in arrays, and others beside it.
fn json_with(path: &str, value: &str) -> String {
    let nested = path
        .rsplit('.')
        .fold(json!(value), |inner, name| match name.parse::<usize>() {
            Ok(place) => {
                let mut items = vec![json!({"title": "Hello"}); place];
                items.push(inner);
                json!(items)
            }
            Err(_) => json!({"title": "Hello", name: inner}),
        });
    match nested {
        Value::Array(_) => nested.to_string(),
        mut object => {
            object["count"] = json!(2);
            object.to_string()
        }
    }
}

/// The CRS at paranoia level 1 with a text in the place of exclusions.
fn compile(crs: &Path, mode: EngineMode, text: &str) -> Result<Arc<RuleSet>, String> {
    let builder = RuleSet::builder().front_door().engine(mode);
    let builder = builder
        .block_uninspected(true)
        .files(crs.join("crs-setup.conf.example").to_string_lossy())
        .text("exclusions.conf", text)
        .files(crs.join("rules/*.conf").to_string_lossy());
    builder.build().map_err(|problems| format!("{problems:?}"))
}

/// What is recommended for the case, if that is for one argument.
fn solve(at: usize, case: &Case, crs: &Path, detecting: &Arc<RuleSet>) -> Option<Solved> {
    let compile = |mode, text: &str| match mode {
        EngineMode::DetectionOnly => Ok(Arc::clone(detecting)),
        mode => compile(crs, mode, text),
    };
    let found: Result<Proposals, ProposeError<String>> =
        propose(&case.request, None, &[], &compile);
    let found = found.unwrap_or_else(|error| panic!("{}: {error}", case.words));
    for (candidate, _) in &found.candidates {
        for rule in &candidate.rules {
            let is_evaluation = matches!(rule / 1000, 901 | 949 | 959 | 980);
            assert!(!is_evaluation, "{}: {:?}", case.words, candidate.controls);
        }
    }
    let taken = found.recommended()?;
    let (candidate, proof) = &found.candidates[taken];
    assert!(proof.holds() && proof.beside.tried > 0, "{}", case.words);
    let purpose = Purpose {
        owner: "tests".to_owned(),
        reason: case.words.clone(),
        until: Day::parse("2999-01-01").unwrap(),
    };
    let id = 80_001 + u64::try_from(at).unwrap();
    let written = found.written(taken, id, &purpose, "a test").unwrap();
    (candidate.kind <= Kind::Numbered).then(|| Solved {
        rules: candidate.rules.len(),
        beyond: proof.opens_beyond(),
        seclang: written.seclang,
    })
}

fn solve_all(cases: &[Case], crs: &Path) -> Vec<Option<Solved>> {
    let detecting = compile(crs, EngineMode::DetectionOnly, "").unwrap();
    let next = AtomicUsize::new(0);
    let solved = Mutex::new(Vec::new());
    let take = || {
        while let Some((at, case)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, cases.get(at)?)))
        {
            let found = solve(at, case, crs, &detecting);
            solved.lock().unwrap().push((at, found));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(take);
        }
    });
    let mut solved = solved.into_inner().unwrap();
    solved.sort_unstable_by_key(|(at, _)| *at);
    solved.into_iter().map(|(_, found)| found).collect()
}

#[test]
fn most_false_positives_need_an_exclusion_for_one_argument() {
    let Some(crs) = materials::crs() else { return };
    let cases = cases();
    assert!(cases.len() >= 280, "{}", cases.len());
    let all = solve_all(&cases, &crs);
    let solved: Vec<&Solved> = all.iter().flatten().collect();
    let one_rule = solved.iter().filter(|s| s.rules == 1).count();
    let none_beyond = |s: &&&Solved| s.beyond == Extent::Nothing;
    let pure = solved.iter().filter(none_beyond).count();
    for (case, _) in cases.iter().zip(&all).filter(|(_, found)| found.is_none()) {
        say(&format!("not solved: {}", case.words));
    }
    say(&format!(
        "{} false positives: {} solved for one argument, {one_rule} of them by one rule, {pure} without any attack of \
         another class",
        cases.len(),
        solved.len()
    ));
    // docs/security.md has these figures.
    assert!(solved.len() + 2 >= cases.len());
    assert!(pure * 100 >= cases.len() * 95);
    keeps_what_the_crs_stops(&crs, &cases, &all);
}

/// All of these exclusions at once let the requests pass, and no test of the CRS fails with them.
fn keeps_what_the_crs_stops(crs: &Path, cases: &[Case], all: &[Option<Solved>]) {
    let seclang: String = all.iter().flatten().map(|s| s.seclang.as_str()).collect();
    let rules = compile(crs, EngineMode::On, &seclang).unwrap();
    for (case, _) in cases.iter().zip(all).filter(|(_, found)| found.is_some()) {
        let outcome = InProcess::new(Arc::clone(&rules)).send(&case.request.to_bytes(), "case");
        assert_eq!(
            outcome.status,
            Some(200),
            "{}: {:?}",
            case.words,
            outcome.ids
        );
    }
    let corpus = Corpus {
        folder: materials::crs,
        overrides: "tests/crs-overrides.yaml",
        tests: 3000,
    };
    let builder = RuleSet::builder()
        .text("crs-test-setup.conf", ftw::CRS_TEST_SETUP)
        .files(crs.join("crs-setup.conf.example").to_string_lossy())
        .text("exclusions.conf", seclang)
        .files(crs.join("rules/*.conf").to_string_lossy());
    let files = corpus.load(crs);
    let player = InProcess::new(builder.build().unwrap());
    let report = ftw::run(&player, &files, &corpus.overrides(), &|_| {});
    assert!(report.tests.len() >= corpus.tests, "{}", report.tests.len());
    let complaints = complaints(&report, &files);
    assert!(complaints.is_empty(), "{complaints}");
}
