//! Rules that load and do not do what they say are told of; those of the Core Rule Set are not.

use support::materials;

use seclang::diagnostic::Diagnostic;
use waf::RuleSet;

use super::harness::{builder, load};

fn told(warnings: &[Diagnostic]) -> Vec<String> {
    let text = |d: &Diagnostic| {
        let at = &d.location;
        format!("{}:{}: {}", at.line, at.column, d.message)
    };
    warnings.iter().map(text).collect()
}

fn warnings(rules: &str) -> Vec<String> {
    told(load(builder(rules)).warnings())
}

#[test]
fn a_rule_that_stops_nothing_is_told_of() {
    for (rules, expected) in [
        (
            "SecRule ARGS \"@rx x\" \"id:1,phase:2,block\"",
            "1:36: no SecDefaultAction for phase 2 stands before this rule, so `block` only logs",
        ),
        (
            "SecDefaultAction \"phase:2,log,pass\"\nSecRule ARGS \"@rx x\" \"id:1,phase:2,deny,block\"",
            "2:41: the SecDefaultAction for phase 2 (t.conf:1) says `pass`, so `block` only logs",
        ),
        (
            "SecDefaultAction \"phase:1,deny\"\nSecRule ARGS \"@rx x\" \"id:1,phase:2,block\"",
            "2:36: no SecDefaultAction for phase 2 stands before this rule, so `block` only logs",
        ),
        (
            "SecAction \"id:1,phase:5,deny\"",
            "1:25: phase 5 comes after the answer, so `deny` stops nothing",
        ),
        (
            "SecRule REQUEST_BODY \"@rx x\" \"id:1,phase:1,deny\"",
            "1:9: REQUEST_BODY is empty in phase 1: it is filled before phase 2",
        ),
        (
            "SecRule &ARGS_POST|ARGS \"@eq 0\" \"id:1,phase:1,deny\"",
            "1:10: ARGS_POST is empty in phase 1: it is filled before phase 2",
        ),
        (
            "SecRule ARGS \"@rx x\" \"id:1,phase:2,deny,chain\"\nSecRule RESPONSE_STATUS \"@rx 5\" \"t:none\"",
            "2:9: RESPONSE_STATUS is empty in phase 2: it is filled before phase 3",
        ),
        (
            "SecResponseBodyAccess On\nSecRule RESPONSE_BODY \"@rx x\" \"id:1,phase:3,deny\"",
            "2:9: RESPONSE_BODY is empty in phase 3: it is filled before phase 4",
        ),
        (
            "SecAction \"id:1,phase:1,pass,setvar:tx.score=+1\"\nSecRule TX:scroe \"@ge 5\" \"id:2,phase:2,deny\"",
            "2:9: nothing sets TX:scroe, so this rule never sees a value of it",
        ),
        (
            "SecRule IP:hits \"@ge 5\" \"id:1,phase:1,deny\"",
            "1:9: no rule opens the collection IP, so it holds nothing and keeps nothing",
        ),
        (
            "SecAction \"id:1,phase:1,pass,setvar:session.hits=+1\"",
            "1:30: no rule opens the collection SESSION, so it holds nothing and keeps nothing",
        ),
        (
            "SecRule FILES_TMPNAMES \"@rx x\" \"id:1,phase:2,deny\"",
            "1:9: nothing fills FILES_TMPNAMES: always empty: no temporary files are written",
        ),
        (
            "SecRule RESPONSE_BODY \"@rx x\" \"id:1,phase:4,deny\"\nSecRule RESPONSE_BODY \"@rx y\" \"id:2,phase:4,deny\"",
            "1:9: RESPONSE_BODY stays empty, here and in one more place: SecResponseBodyAccess is off",
        ),
        (
            "SecRule ARGS \"@rx x\" \"id:1,phase:2,deny,chain\"\nSecRule ARGS \"@rx y\" \"status:418\"",
            "2:23: `status` has no effect in a chained rule",
        ),
        (
            "SecRule ARGS \"@rx x\" \"id:1,phase:2,deny,chain\"\nSecRule ARGS \"@rx y\" \"t:none,nolog\"",
            "2:30: `nolog` has no effect in a chained rule",
        ),
        (
            "SecAction \"id:900990,phase:1,pass,setvar:tx.crs_setup_version=400\"\nSecRule &TX:crs_setup_version \"@eq 0\" \"id:901001,phase:1,deny,status:500\"\nSecRuleRemoveById 900990",
            "2:1: the CRS's set-up file does not come before its rules: this rule will refuse every request",
        ),
        (
            "SecRule &TX:crs_setup_version \"@eq 0\" \"id:901001,phase:1,deny,status:500\"",
            "1:1: the CRS's set-up file does not come before its rules: this rule will refuse every request",
        ),
    ] {
        assert_eq!(warnings(rules), [expected], "{rules}");
    }
}

#[test]
fn what_works_is_not_told_of() {
    for rules in [
        "SecDefaultAction \"phase:2,log,deny\"\nSecRule ARGS \"@rx x\" \"id:1,phase:2,block\"",
        "SecDefaultAction \"phase:2,log,pass\"\nSecRule ARGS \"@rx x\" \"id:1,phase:2,block,setvar:tx.score=+5\"",
        "SecRule ARGS \"@rx x\" \"id:1,phase:2,block,chain\"\nSecRule ARGS \"@rx y\" \"setvar:tx.score=+5\"",
        "SecDefaultAction \"phase:2,log,pass\"\nSecRule ARGS \"@rx x\" \"id:1,phase:2,block,deny\"",
        "SecAction \"id:1,phase:5,pass,log\"",
        "SecAction \"id:1,phase:1,pass,setvar:tx.Score_%{unique_id}=1\"\nSecRule TX:score_5|TX:1|&TX:gone \"@ge 5\" \"id:2,phase:2,deny\"",
        "SecRule IP:hits \"@ge 5\" \"id:1,phase:1,deny\"\nSecAction \"id:2,phase:1,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1\"",
        "SecAction \"id:2,phase:1,pass,setuid:u,setvar:user.hits=+1\"",
        "SecRule ARGS|!REQUEST_BODY \"@rx x\" \"id:1,phase:1,deny\"",
        "SecResponseBodyAccess On\nSecRule RESPONSE_BODY \"@rx x\" \"id:1,phase:4,deny\"",
        "SecRule RESPONSE_BODY \"@rx x\" \"id:1,phase:4,deny\"\n\
         SecAction \"id:2,phase:3,pass,ctl:responseBodyAccess=On\"",
        "SecAction \"id:2,phase:1,pass,setvar:tx.crs_setup_version=400\"\n\
         SecRule &TX:crs_setup_version \"@eq 0\" \"id:901001,phase:1,deny,status:500\"",
        "SecRule RESPONSE_BODY \"@rx x\" \"id:950100,phase:4,block\"",
        "SecRule TX:real_ip \"@geoLookup\" \"id:910100,phase:2,pass\"",
        "SecAction \"id:9507001,phase:1,pass,nolog,ctl:ruleRemoveById=942999\"",
    ] {
        assert_eq!(warnings(rules), [""; 0], "{rules}");
    }
}

#[test]
fn lookups_that_somebody_asks_for_are_told_of() {
    let rule = "SecRule TX:real_ip \"@geoLookup\" \"id:910100,phase:2,pass\"";
    let asked = "SecAction \"id:900600,phase:1,pass,setvar:'tx.high_risk_country_codes=XX'\"";
    let message = "2:22: there is no geo database, so @geoLookup never matches";
    assert_eq!(warnings(&format!("{asked}\n{rule}")), [message]);
    let by_policy = builder(&format!("\n{rule}")).variable("high_risk_country_codes", "XX");
    assert_eq!(told(load(by_policy).warnings()), [message]);
}

#[test]
fn warnings_of_one_kind_are_few() {
    let rule = |id: usize| format!("SecRule REQUEST_BODY \"@rx x\" \"id:{id},phase:1,deny\"\n");
    let many: String = (1..40).map(rule).collect();
    let told = warnings(&many);
    assert_eq!(told.len(), 11, "{told:#?}");
    assert!(told[10].contains("more rules"), "{told:#?}");
    let ten: String = (1..11).map(rule).collect();
    let good = "SecRule ARGS \"@rx x\" \"id:90,phase:2,deny\"\n";
    assert_eq!(warnings(&format!("{ten}{good}")).len(), 10);
    let body = "SecRule RESPONSE_BODY \"@rx x\" \"id:91,phase:4,deny\"\n";
    for rules in [format!("{ten}{body}"), format!("{many}{body}")] {
        let told = warnings(&rules);
        let last = told.last().unwrap();
        assert!(last.contains("RESPONSE_BODY stays empty"), "{told:#?}");
    }
}

#[test]
fn the_core_rule_set_as_it_comes_has_none() {
    for name in ["crs", "crs-3.3"] {
        let Some(crs) = materials::shared(name) else {
            continue;
        };
        let setup = crs.join("crs-setup.conf.example");
        let rules = crs.join("rules/*.conf").display().to_string();
        let plugins = crs.join("plugins/*-before.conf").display().to_string();
        for body in ["Off", "On"] {
            let built = RuleSet::builder()
                .front_door()
                .text("own.conf", format!("SecResponseBodyAccess {body}"))
                .file(&setup)
                .files(&plugins)
                .files(&rules);
            let built = load(built);
            assert_eq!(told(built.warnings()), [""; 0], "{name}");
            assert!(built.facts().skips_compressed.is_some() || name == "crs-3.3");
            assert!(built.facts().content_types[0].contains("application/json"));
        }
        let without = RuleSet::builder().files(&rules).build();
        let without = without.expect("loads without its set-up");
        let told = told(without.warnings());
        assert!(
            told.iter().any(|t| t.contains("set-up file")),
            "{name}: {told:?}"
        );
    }
}
