use std::net::SocketAddr;
use std::sync::Arc;

use super::super::{EngineMode, RuleSet, Transaction};

fn build(text: &str, decide: bool) -> Arc<RuleSet> {
    let builder = RuleSet::builder()
        .engine(EngineMode::On)
        .text("t.conf", text);
    let builder = if decide {
        builder
    } else {
        builder.without_prefilter()
    };
    builder.build().expect("the rules are valid")
}

/// What a request with these arguments leaves behind.
fn outcome(rules: &Arc<RuleSet>, query: &str) -> (Vec<u64>, Vec<Option<Vec<u8>>>, bool) {
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut transaction = Transaction::new(Arc::clone(rules), address, address, "1");
    let target = format!("/?{query}");
    let line = format!("GET {target} HTTP/1.1");
    transaction.request_line(line.as_bytes(), b"GET", target.as_bytes(), b"HTTP/1.1");
    transaction.request_header(b"Host", b"a");
    let mut ended = transaction.request_headers_done().is_some();
    ended = ended || transaction.request_body(b"").is_some();
    transaction.finish();
    let matched = transaction.matched_rules().iter().map(|m| m.rule_id);
    let matched = matched.collect();
    let names = ["pl", "a", "b", "score", "hit"];
    (matched, names.map(|n| transaction.tx(n)).into(), ended)
}

const SKIPPED: &str = r#"
SecAction "id:1,phase:1,nolog,pass,setvar:tx.pl=1"
SecRule TX:pl "@lt 2" "id:2,phase:1,nolog,pass,skipAfter:END"
SecRule ARGS "@rx x" "id:3,phase:1,log,pass,setvar:tx.hit=3"
SecMarker END
SecRule TX:pl "@lt 1" "id:4,phase:2,nolog,pass,skipAfter:END2"
SecRule ARGS "@rx x" "id:5,phase:2,log,pass,setvar:tx.hit=5"
SecMarker END2
"#;

#[test]
fn what_is_fixed_is_not_run() {
    let rules = build(SKIPPED, true);
    let steps = rules.plans(false).each_ref().map(|p| p.steps.len());
    // Set; jump. The rule that may match.
    assert_eq!(steps[..2], [2, 1]);
    assert_eq!(
        rules.plans(true).each_ref().map(|p| p.steps.len())[..2],
        [3, 2]
    );
    assert_eq!(
        outcome(&rules, "a=x"),
        outcome(&build(SKIPPED, false), "a=x")
    );
}

#[test]
fn what_a_request_may_change_is_run() {
    let cases = [
        // A rule writes what others read.
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.pl=1"
           SecRule ARGS "@rx x" "id:2,phase:1,nolog,pass,setvar:tx.pl=2"
           SecRule TX:pl "@lt 2" "id:3,phase:1,nolog,pass,skipAfter:END"
           SecRule ARGS "@rx ." "id:4,phase:1,log,pass,setvar:tx.hit=1"
           SecMarker END"#,
        // By a name that is put together.
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.pl=1"
           SecRule ARGS "@rx (x)" "id:2,phase:1,nolog,pass,capture,setvar:tx.p%{ARGS.n}=2"
           SecRule TX:pl "@eq 2" "id:3,phase:1,log,pass,setvar:tx.hit=1""#,
        // The writer is jumped over.
        r#"SecRule ARGS "@rx x" "id:1,phase:1,nolog,pass,skipAfter:SKIP"
           SecAction "id:2,phase:1,nolog,pass,setvar:tx.pl=1"
           SecMarker SKIP
           SecRule &TX:pl "@eq 0" "id:3,phase:1,log,pass,setvar:tx.hit=1"
           SecRule TX:pl "@eq 1" "id:4,phase:2,log,pass,setvar:tx.hit=2""#,
        // A jump lands between another jump and its end.
        r#"SecRule ARGS "@rx x" "id:1,phase:1,nolog,pass,skipAfter:MIDDLE"
           SecAction "id:2,phase:1,nolog,pass,skipAfter:END"
           SecRule ARGS "@rx ." "id:3,phase:1,log,pass,setvar:tx.hit=1"
           SecMarker MIDDLE
           SecAction "id:4,phase:1,nolog,pass,setvar:tx.a=1"
           SecRule ARGS "@rx ." "id:5,phase:1,log,pass,setvar:tx.b=1"
           SecMarker END
           SecRule TX:a "@eq 1" "id:6,phase:1,log,pass,setvar:tx.score=1""#,
        // The jump is taken out for this request.
        r#"SecRule ARGS "@rx x" "id:1,phase:1,nolog,pass,ctl:ruleRemoveById=2"
           SecAction "id:2,phase:1,nolog,pass,skipAfter:END"
           SecRule ARGS "@rx ." "id:3,phase:1,log,pass,setvar:tx.hit=1"
           SecMarker END"#,
        // The writer is.
        r#"SecRule ARGS "@rx x" "id:1,phase:1,nolog,pass,ctl:ruleRemoveById=2"
           SecAction "id:2,phase:1,nolog,pass,setvar:tx.pl=1"
           SecRule TX:pl "@eq 1" "id:3,phase:2,log,pass,setvar:tx.hit=1""#,
        // The phase ends before the writer.
        r#"SecRule ARGS "@rx x" "id:1,phase:1,nolog,allow:phase"
           SecAction "id:2,phase:1,nolog,pass,setvar:tx.pl=1"
           SecRule TX:pl "@eq 1" "id:3,phase:2,log,pass,setvar:tx.hit=1""#,
        // A target is taken from the reader.
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.pl=1"
           SecRule ARGS "@rx x" "id:2,phase:1,nolog,pass,ctl:ruleRemoveTargetById=3;TX:pl"
           SecRule TX:pl "@eq 1" "id:3,phase:1,nolog,pass,skipAfter:END"
           SecRule ARGS "@rx ." "id:4,phase:1,log,pass,setvar:tx.hit=1"
           SecMarker END"#,
        // Captures.
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.1=1"
           SecRule ARGS "@rx (x)" "id:2,phase:1,nolog,pass,capture"
           SecRule TX:1 "@eq 1" "id:3,phase:1,log,pass,setvar:tx.hit=1""#,
        // A reader before the writer, and one that copies.
        r#"SecRule &TX:a "@eq 0" "id:1,phase:1,log,pass,setvar:tx.hit=1"
           SecAction "id:2,phase:1,nolog,pass,setvar:tx.a=7"
           SecAction "id:3,phase:1,nolog,pass,setvar:tx.b=%{tx.a}"
           SecRule TX:b "@eq 7" "id:4,phase:1,log,pass,setvar:tx.score=+%{tx.b}""#,
        // What matched last, of whichever rule.
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.a=7"
           SecRule ARGS "@rx x" "id:2,phase:1,nolog,pass"
           SecRule TX:a "@eq 7" "id:3,phase:1,nolog,pass"
           SecAction "id:4,phase:1,log,pass,setvar:tx.b=%{MATCHED_VAR}""#,
    ];
    for text in cases {
        let text = text.replace("\n               ", "\n");
        for query in ["a=x", "a=y", "a=x&n=l", ""] {
            let (decided, plain) = (build(&text, true), build(&text, false));
            assert_eq!(
                outcome(&decided, query),
                outcome(&plain, query),
                "{query}: {text}"
            );
        }
    }
}
