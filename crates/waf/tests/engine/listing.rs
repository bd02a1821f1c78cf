//! Rules that look for values in a list set their variables only when something reads them; nobody can see that.

use waf::{EngineMode, RuleSet};

use super::harness::{Exchange, ids, load, play};
use super::prefilter::Both;

const LOOK_UP: &str = r#"
SecRule REQUEST_HEADERS_NAMES "@rx ^.*$" "id:2,phase:1,pass,msg:'%{MATCHED_VAR} of %{tx.0}',capture,t:none,t:lowercase,setvar:'tx.seen_%{tx.0}=/%{tx.0}/',chain"
    SecRule TX:/^seen_/ "@within %{tx.list}" "setvar:tx.found=+1"
"#;

/// Both ways, with the names of variables that the rules must not spell out.
fn both(more: &str) -> Both {
    let text = format!(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:'tx.list=/proxy/ /x-bad/',setvar:tx.0=old,setvar:tx.1=old\"\n\
         SecRule ARGS:skip \"@streq 1\" \"id:9,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;REQUEST_HEADERS_NAMES:/bad/\"\n\
         SecRule ARGS:before \"@rx .\" \"id:8,phase:1,pass,nolog,setvar:'tx.%{{MATCHED_VAR}}=/proxy/'\"\n\
         {LOOK_UP}{more}"
    );
    let rules = || {
        let rules = RuleSet::builder().engine(EngineMode::DetectionOnly);
        rules.text("listing.conf", text.as_str())
    };
    let names = "tx.seen_host tx.SEEN_Host tx.seen_x-a tx.seen_x-b tx.seen_x-bad tx.seen_x-none tx.seen_ tx.list tx.found";
    let all = format!("{text} {names}");
    Both::new(
        load(rules()),
        load(rules().without_prefilter()),
        all.as_bytes(),
    )
}

const REQUESTS: [&str; 12] = [
    "GET /",
    "GET /\nHost: a\nX-A: b",
    "GET /\nHost: a\nX-A: b\nx-a: c\nX-B: d",
    "GET /\nHost: a\nX-Bad: b\nX-A: c",
    "GET /\nPROXY: a\nX-A: c\nProxy: b",
    "GET /?skip=1\nHost: a\nX-Bad: b\nX-A: c",
    "GET /?before=seen_x\nHost: a\nX-A: c",
    "GET /?before=other\nHost: a\nX-A: c",
    "GET /?set=x-a\nHost: a\nX-A: b\nX-B: c",
    "GET /?set=X-None&set=x-none\nHost: a\nX-A: b",
    "GET /\nX: b\n/ /: c\nbad: d",
    "GET /\nHost: a\nX-N_H: b\nX-A: b\n: c",
];

#[test]
fn nobody_can_see_when_variables_are_set() {
    for more in [
        "",
        "SecRule TX:/^seen_x-/ \"@rx .\" \"id:3,phase:2,pass,msg:'%{MATCHED_VAR_NAME} is %{MATCHED_VAR}'\"",
        "SecRule TX:/n_h|x-b/ \"@rx (.)\" \"id:3,phase:1,pass,capture,setvar:tx.last=%{tx.1}\"",
        "SecRule TX:/long_literal_n_h*/ \"@rx .\" \"id:3,phase:1,pass\"",
        "SecRule &TX:/^seen_/ \"@gt 1\" \"id:3,phase:5,pass,msg:'%{MATCHED_VAR}'\"",
        "SecRule ARGS:set \"@rx (.+)\" \"id:3,phase:2,capture,pass,setvar:'tx.seen_%{tx.1}=mine'\"\n\
         SecRule TX:/^seen_/ \"@rx .\" \"id:4,phase:2,pass,msg:'%{MATCHED_VAR_NAME} is %{MATCHED_VAR}'\"",
        "SecRule TX:0|TX:1|MATCHED_VAR \"@rx .\" \"id:3,phase:1,pass,msg:'%{MATCHED_VAR}'\"",
        "SecRule ARGS:set \"@rx .\" \"id:3,phase:2,pass,setvar:tx.seen_x-a=own\"",
        "SecRule REQUEST_HEADERS_NAMES \"@rx ^.*$\" \"id:3,phase:1,pass,capture,t:none,setvar:'tx.seen_x%{tx.0}=<%{tx.0}>',chain\"\n\
             SecRule TX:/^seen_x/ \"@within %{tx.list}\" \"\"",
        "SecRule REQUEST_HEADERS_NAMES \"@rx ^.*$\" \"id:3,phase:1,pass,capture,t:none,setvar:'tx.other_%{tx.0}=<%{tx.0}>',chain\"\n\
             SecRule TX:/^other_/ \"@within %{tx.list}\" \"\"\n\
         SecRule TX:/_x-a$/ \"@rx .\" \"id:4,phase:2,pass,msg:'%{MATCHED_VAR_NAME} is %{MATCHED_VAR}'\"",
    ] {
        let both = both(more);
        let mut found = 0;
        for request in REQUESTS {
            found += ids(&both.compare(&Exchange::parse(request))).len();
        }
        assert!(found >= 2, "{more}");
    }
}

#[test]
fn variables_that_nobody_reads_are_not_set() {
    let rules = |more: &str| {
        let setup = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.list=/proxy/\"";
        let rules = RuleSet::builder().engine(EngineMode::DetectionOnly);
        load(rules.text("listing.conf", format!("{setup}\n{LOOK_UP}\n{more}")))
    };
    let reading = "SecRule TX:/^seen_/ \"@rx never\" \"id:3,phase:2,pass\"";
    let other = "SecRule TX:/multipart_.*/ \"@rx never\" \"id:3,phase:2,pass\"";
    let exchange = Exchange::parse("GET /\nHost: a\nX-First-Header: b\nX-Second-Header: c");
    let held = |more| play(&rules(more), &exchange).work().bytes_held;
    assert!(held("") + 80 < held(reading));
    assert!(held(other) + 80 < held(reading));
    let read = play(&rules(""), &exchange);
    assert_eq!(read.tx("seen_host"), Some(b"/host/".to_vec()));
    assert_eq!(read.tx("0"), Some(b"x-second-header".to_vec()));
    assert_eq!(read.tx("seen_hos"), None);
}
