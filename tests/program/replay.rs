//! `drawbridge rules replay` as a user runs it.

use std::fs;

use serde_json::{Value, json};

use super::rules::Folder;
use support::materials;

/// A folder with rules and three requests, of which one is an attack.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::create_dir_all(folder.0.path().join("recorded")).unwrap();
    for (file, query) in [("a", "q=1"), ("b", "q=a+UNION+b"), ("c", "q=2")] {
        let request = format!("GET /?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        folder.write(&format!("recorded/{file}.http"), &request);
    }
    folder.write("recorded/notes.txt", "no request");
    folder.write("exclusion.conf", "SecRuleUpdateTargetById 2 \"!ARGS:q\"\n");
    folder
}

const SAME: &str = "replay --rules rules.conf --against rules.conf --requests recorded";
const EXCLUDED: &str =
    "replay --rules rules.conf --rules exclusion.conf --against rules.conf --requests recorded";

#[test]
fn equal_rules_differ_in_nothing() {
    let folder = folder("replay-same");
    let (code, out, err) = folder.run(SAME);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let start = "3 requests: 0 newly blocked, 0 newly allowed, CPU a request ";
    assert!(out.starts_with(start) && out.lines().count() == 1, "{out}");
    let report = folder.json(&format!("{SAME} --output json"));
    assert_eq!(report["ok"], true);
    assert!(report["cpu"]["live_microseconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn an_exclusion_that_opens_a_hole_is_named_until_it_is_allowed() {
    let folder = folder("replay-hole");
    let (code, out, _) = folder.run(EXCLUDED);
    assert_eq!(code, 1, "{out}");
    for text in [
        "3 requests: 0 newly blocked, 1 newly allowed, ",
        "newly allowed: recorded/b.http\n  GET /?q=a+UNION+b HTTP/1.1\n",
        "live:      deny 403, by rule 3 in phase 2",
        "candidate: pass, no rule stopped it",
        "only what is live matches\n    2 CRITICAL  SQL",
        "variable  ARGS:q",
        "a »union« b",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    let report = folder.json(&format!("{EXCLUDED} --output json"));
    assert_eq!(
        (&report["ok"], &report["newly_allowed"]),
        (&json!(false), &json!(1))
    );
    let difference = &report["differences"][0];
    assert_eq!(difference["kind"], "newly_allowed");
    assert_eq!(difference["rule_ids"], json!([2]));
    assert_eq!(difference["live"]["status"], 403);
    assert_eq!(difference["only_live"][0]["value"], "a UNION b");
    assert_eq!(difference["only_candidate"], json!([]));
    for allow in ["2", "b.http", "recorded/b.http"] {
        assert_eq!(
            folder.run(&format!("{EXCLUDED} --allow {allow}")).0,
            0,
            "{allow}"
        );
    }
    let (code, out, _) = folder.run(&format!("{EXCLUDED} --allow 3 --allow a.http"));
    assert_eq!(code, 1);
    assert!(
        out.contains("--allow a.http: nothing differs there"),
        "{out}"
    );
}

#[test]
fn the_candidate_can_block_more_and_answer_differently() {
    let folder = folder("replay-more");
    folder.write(
        "own.conf",
        "SecRule ARGS:q \"@streq 2\" \"id:9,phase:1,deny,status:404,log,msg:'two'\"\n",
    );
    folder.write(
        "moved.conf",
        &format!(
            "{}\n",
            "SecRule ARGS \"@contains UNION\" \"id:8,phase:1,deny,status:410,log\""
        ),
    );
    let with = |file: &str| {
        folder.json(&format!(
            "replay --rules {file} --rules rules.conf --against rules.conf --requests recorded --output json"
        ))
    };
    let report = with("own.conf");
    assert_eq!(report["newly_blocked"], 1, "{report}");
    assert_eq!(report["differences"][0]["rule_ids"], json!([9]));
    let report = with("moved.conf");
    assert_eq!(report["answered_differently"], 1, "{report}");
    assert_eq!(report["differences"][0]["rule_ids"], json!([3, 8]));
    folder.write(
        "silent.conf",
        "SecRule ARGS:q \"@rx ^.$\" \"id:7,phase:1,pass,log,msg:'one letter'\"\n",
    );
    let report = with("silent.conf");
    assert_eq!(
        report["ok"], true,
        "other matches are no other verdict: {report}"
    );
    let others = json!({"requests": 2, "rules": [{"rule_id": 7, "more": 2, "fewer": 0}]});
    assert_eq!(report["other_matches"], others);
}

#[test]
fn all_that_cannot_be_read_is_named_at_once() {
    let folder = folder("replay-unread");
    for name in ["recorded/x.http", "recorded/y.http"] {
        fs::create_dir_all(folder.0.path().join(name)).unwrap();
    }
    let cut = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab";
    folder.write("recorded/cut.http", cut);
    folder.write(
        "recorded/smuggled.http",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    );
    let (code, out, err) = folder.run(SAME);
    assert_eq!(code, 1);
    assert!(err.contains("x.http") && err.contains("y.http"), "{err}");
    for text in [
        "7 requests: 0 newly blocked, 0 newly allowed, 3 not judged, ",
        "refused before any rule, because HTTP forbids them: 1",
        "cannot be judged: recorded/cut.http: its body ends before",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    let (code, _, err) =
        folder.run("replay --rules rules.conf --against rules.conf --requests no --har none.har");
    assert_eq!(code, 1);
    assert!(
        err.contains("no:1:1") && err.contains("none.har:1:1"),
        "{err}"
    );
    fs::create_dir_all(folder.0.path().join("empty")).unwrap();
    let empty = "replay --rules rules.conf --against rules.conf --requests empty";
    assert_eq!(folder.run(empty).0, 1, "no request is no success");
    let nothing = "replay --rules rules.conf --against rules.conf";
    assert_eq!(folder.run(nothing).0, 2);
}

#[test]
fn archives_of_browsers_are_replayed() {
    let folder = folder("replay-har");
    let entry = |url: &str, body: Value| {
        json!({"request": {
            "method": if body.is_null() { "GET" } else { "POST" }, "url": url, "httpVersion": "h2",
            "headers": [{"name": ":authority", "value": "shop.example"}], "postData": body, "bodySize": -1,
        }})
    };
    let form = json!({"mimeType": "application/x-www-form-urlencoded", "text": "a=union"});
    let upload = json!({"mimeType": "multipart/form-data; boundary=x", "params": [{"name": "f"}]});
    let entries = [
        entry("https://shop.example/?q=union#top", Value::Null),
        entry("https://shop.example/upload", upload),
        entry("https://shop.example/", form),
        entry("data:text/plain,a", Value::Null),
    ];
    let archive = json!({"log": {"version": "1.2", "entries": entries}});
    folder.write("shop.har", &archive.to_string());
    let arguments = EXCLUDED.replace("--requests recorded", "--har shop.har --output json");
    let report = folder.json(&arguments);
    assert_eq!(
        (&report["requests"], &report["newly_allowed"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(report["differences"][0]["request"], "shop.har#1");
    assert_eq!(report["differences"][0]["line"], "GET /?q=union HTTP/2.0");
    let not_judged = report["not_judged"].as_array().unwrap();
    let named: Vec<&str> = not_judged
        .iter()
        .map(|n| n["request"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["shop.har#2", "shop.har#4"]);
    folder.write("shop.har", "{\"log\":\n{\"entries\": 1}}");
    let (code, _, err) = folder.run(&arguments.replace(" --output json", ""));
    assert_eq!(code, 1);
    assert!(err.contains("shop.har:2:"), "{err}");
}

#[test]
fn a_higher_paranoia_level_of_the_crs_names_its_differences() {
    let Some(crs) = materials::crs() else { return };
    let folder = Folder::new("replay-crs");
    let fields = "Host: shop.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\n\r\n";
    for (name, query) in [
        ("plain", "q=shoes"),
        ("text", "q=a+%7E%7E%7E%21%21%21%23%23%23%5E%5E%5E+b"),
    ] {
        let target = format!("GET /?{query} HTTP/1.1\r\n{fields}");
        folder.write(&format!("{name}.http"), &target);
    }
    let glob = |file: &str| crs.join(file).display().to_string();
    let files = |option: &str| {
        format!(
            "{option} {} {option} {}",
            glob("crs-setup.conf.example"),
            glob("rules/*.conf")
        )
    };
    let arguments = format!(
        "replay {} {} --crs paranoia_level=4 --against-crs paranoia_level=1 --requests .",
        files("--rules"),
        files("--against")
    );
    let report = folder.json(&format!("{arguments} --output json"));
    assert_eq!(report["newly_allowed"], 0, "{report}");
    let differences = report["differences"].as_array().unwrap();
    let last = differences.last().unwrap();
    assert_eq!(last["candidate"]["rule_id"], 949_110, "{last}");
    let mut causes: Vec<u64> = Vec::new();
    for difference in differences {
        assert_eq!(difference["kind"], "newly_blocked");
        let rules = difference["rule_ids"].as_array().unwrap().iter();
        causes.extend(rules.map(|rule| rule.as_u64().unwrap()));
    }
    assert!(
        !causes.is_empty() && !causes.contains(&949_110),
        "{causes:?}"
    );
    let allow: String = causes
        .iter()
        .map(|rule| format!(" --allow {rule}"))
        .collect();
    assert_eq!(folder.run(&arguments).0, 1);
    let (code, out, _) = folder.run(&format!("{arguments}{allow}"));
    assert_eq!(code, 0, "{out}");
    assert!(folder.0.path().exists());
}
