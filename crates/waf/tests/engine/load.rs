//! What is refused at load, where, and in which words.

use waf::RuleSet;

use super::harness::{builder, load};

fn problems(builder: waf::RuleSetBuilder) -> Vec<String> {
    let problems = builder.build().expect_err("must not load");
    let text = |d: &seclang::diagnostic::Diagnostic| {
        format!("{}:{}: {}", d.location.line, d.location.column, d.message)
    };
    problems
        .0
        .iter()
        .filter(|d| d.is_error())
        .map(text)
        .collect()
}

#[test]
fn errors() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("SecNonsense On", "1:1: unknown directive `SecNonsense`"),
        (
            "SecRule NONSENSE \"@rx x\" \"id:1\"",
            "1:9: unknown variable `NONSENSE`",
        ),
        (
            "SecRule ARGS \"@nonsense x\" \"id:1\"",
            "1:15: there is no operator @nonsense",
        ),
        (
            "SecAction \"id:1,nonsense\"",
            "1:17: unknown action `nonsense`",
        ),
        (
            "SecAction \"id:1,t:nonsense\"",
            "1:19: unknown transformation `nonsense`",
        ),
        (
            "SecAction \"id:1,ctl:nonsense=1\"",
            "1:21: unknown ctl option `nonsense`",
        ),
        (
            "SecAction \"id:1,msg:'%{nonsense.x}'\"",
            "1:22: %{nonsense.x}: there is no such variable",
        ),
        (
            "SecRule ARGS \"@streq %{nonsense}\" \"id:1\"",
            "1:22: %{nonsense}: there is no such variable",
        ),
        ("SecAction \"phase:1\"", "1:1: a rule without an id"),
        (
            "SecAction \"id:0\"",
            "1:12: an id is a whole number above 0",
        ),
        (
            "SecAction \"id:x\"",
            "1:12: an id is a whole number above 0",
        ),
        (
            "SecAction \"id:1\"\nSecAction \"id:1\"",
            "2:12: id 1 is taken: t.conf:1:12",
        ),
        (
            "SecAction \"id:1,phase:6\"",
            "1:17: a phase is 1 to 5, or request (2), response (4), logging (5)",
        ),
        (
            "SecAction \"id:1,chain\"",
            "1:1: this rule says `chain`, but no rule follows it",
        ),
        (
            "SecAction \"id:1,chain\"\nSecMarker X\nSecAction \"id:2\"",
            "1:1: this rule says `chain`, but no rule follows it",
        ),
        (
            "SecAction \"id:1,chain\"\nSecAction \"deny\"",
            "2:12: `deny` belongs to the first rule of a chain, not to a chained one",
        ),
        (
            "SecAction \"id:1,deny,chain\"\nSecAction \"pass\"",
            "2:12: `pass` belongs to the first rule of a chain, not to a chained one",
        ),
        (
            "SecAction \"id:1,phase:2,chain\"\nSecAction \"phase:1\"",
            "2:12: this part of a chain says phase 1, but the chain runs in the phase of its first rule, at line 1: 2",
        ),
        (
            "SecAction \"id:1,chain\"\nSecAction \"id:2,deny\"",
            "2:12: the rule before, at line 1, says `chain`, so this one is its next part and has no id of its own",
        ),
        (
            "SecAction \"id:1,setvar:x=1\"",
            "1:24: `x` names no variable of a collection",
        ),
        (
            "SecAction \"id:1,setvar:ARGS.x=1\"",
            "1:24: `ARGS` cannot be written; TX, IP, GLOBAL, RESOURCE, SESSION, USER and ENV can",
        ),
        (
            "SecAction \"id:1,initcol:tx=1\"",
            "1:25: `tx` is no persistent collection; those are IP, GLOBAL, RESOURCE, SESSION, USER",
        ),
        (
            "SecAction \"id:1,severity:LOUD\"",
            "1:26: a severity is 0 to 7 or one of EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG",
        ),
        (
            "SecAction \"id:1,allow:all\"",
            "1:17: allow, allow:phase or allow:request",
        ),
        (
            "SecAction \"id:1,status:99\"",
            "1:24: `status` takes a number from 100 to 599",
        ),
        (
            "SecAction \"id:1,exec:/bin/sh\"",
            "1:17: action `exec` is refused: no program runs on a stranger's request",
        ),
        (
            "SecAction \"id:1,ctl:ruleEngine=Maybe\"",
            "1:21: On, Off or DetectionOnly",
        ),
        (
            "SecAction \"id:1,ctl:auditLogParts=+EQ\"",
            "1:21: parts are letters A to K and Z, all or with + or - before them",
        ),
        (
            "SecAction \"id:1,ctl:auditLogParts=++E\"",
            "1:21: parts are letters A to K and Z, all or with + or - before them",
        ),
        (
            "SecAuditLogParts \"\"",
            "1:18: SecAuditLogParts: parts are letters A to K and Z",
        ),
        (
            "SecUnicodeCodePage unicode.mapping",
            "1:20: SecUnicodeCodePage: a code page is a number such as 20127",
        ),
        (
            "SecAction \"id:1,ctl:ruleRemoveTargetById=5\"",
            "1:21: RULES;TARGET is needed, for example 942100;ARGS:comment",
        ),
        (
            "SecAction \"id:1,ctl:ruleRemoveTargetById=5;NONSENSE\"",
            "1:21: unknown variable `NONSENSE`",
        ),
        (
            "SecRule REQUEST_URI:x \"@rx x\" \"id:1\"",
            "1:21: REQUEST_URI is one value and takes no selector",
        ),
        (
            "SecRule XML \"@rx x\" \"id:1\"",
            "1:9: XML needs a selector: XML:/* or XML://@*",
        ),
        (
            "SecRule PERF_ALL \"@rx x\" \"id:1\"",
            "1:9: variable PERF_ALL is not available: engine timings are metrics, not rule input",
        ),
        (
            "SecDefaultAction \"pass\"",
            "1:1: SecDefaultAction needs a phase",
        ),
        (
            "SecDefaultAction \"phase:1,pass,msg:'x'\"",
            "1:32: `msg` cannot be a default action",
        ),
        (
            "SecDefaultAction \"phase:1,log,block\"",
            "1:31: `block` in SecDefaultAction stands for itself, so a rule that matches would only be logged",
        ),
        (
            "SecDefaultAction \"phase:1,deny,BLOCK\"",
            "1:32: `block` in SecDefaultAction stands for itself, so a rule that matches would only be logged",
        ),
        (
            "SecDefaultAction \"phase:1,log,auditlog\"",
            "1:1: SecDefaultAction needs a disruptive action",
        ),
        (
            "SecHashEngine On",
            "1:1: SecHashEngine is refused: responses are not rewritten",
        ),
        (
            "SecAuditLogRelevantStatus \"^(?:5\"",
            "1:28: SecAuditLogRelevantStatus: this parenthesis is never closed",
        ),
        (
            "SecRuleRemoveById x",
            "1:19: `x` is not a list of rule ids or ranges such as 942100 or 942100-942199",
        ),
        (
            "SecRuleRemoveById 9-1",
            "1:19: `9-1` is not a list of rule ids or ranges such as 942100 or 942100-942199",
        ),
        (
            "SecRequestBodyLimit lots",
            "1:21: SecRequestBodyLimit: a whole number is needed",
        ),
        (
            "SecRequestBodyAccess maybe",
            "1:22: SecRequestBodyAccess: one of on, off is needed",
        ),
        (
            "SecGeoLookupDb x",
            "1:1: SecGeoLookupDb is refused: there is no geo database",
        ),
        (
            "SecAction \"id:1\"\nSecRuleUpdateActionById 1 \"id:2\"",
            "2:28: `id` cannot be changed afterwards",
        ),
        (
            "SecAction \"id:1\"\nSecRuleUpdateActionById 1:3 \"pass\"",
            "2:25: rule 1 has no link 3",
        ),
    ] {
        let told = problems(builder(text));
        if told != [expected] {
            wrong.push(format!(
                "{text}\n  expected {expected}\n  told     {told:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_problem_at_once() {
    let told = problems(builder(
        "SecNonsense\nSecRule NONE \"@rx (\" \"id:1,what\"\nSecAction \"id:2,t:no\"",
    ));
    assert!(told.len() >= 5, "{told:?}");
    let lines: Vec<_> = told.iter().map(|t| t.split(':').next()).collect();
    for line in ["1", "2", "3"] {
        assert!(lines.contains(&Some(line)), "{told:?}");
    }
}

#[test]
fn variables_of_the_policy() {
    let own = |text: &str| builder(text).variable("blocking_paranoia_level", "2");
    let ours = load(own(
        "SecAction \"id:1,phase:1,pass,setvar:tx.blocking_paranoia_level=2\"",
    ));
    assert!(ours.warnings().is_empty());
    let guarded = "SecRule &TX:blocking_paranoia_level \"@eq 0\" \"id:1,phase:1,pass,setvar:tx.blocking_paranoia_level=1\"\n\
                   SecRule TX:Blocking_Paranoia_Level \"@eq 2\" \"id:2,phase:1,pass\"";
    let t = super::harness::play(
        &load(own(guarded)),
        &super::harness::Exchange::parse("GET /"),
    );
    super::harness::judge(
        "a default does not override it",
        &t,
        "2 blocking_paranoia_level=2",
    );
    assert_eq!(
        problems(own(
            "SecAction \"id:1,phase:1,pass,setvar:TX.BLOCKING_PARANOIA_LEVEL=3\""
        )),
        ["1:30: tx.blocking_paranoia_level is set to `3` here, but the policy sets it to `2`"]
    );
}

#[test]
fn no_file_changes_a_variable_of_the_policy() {
    for (change, what) in [
        ("tx.Level", "set to `1`"),
        ("tx.level=3", "set to `3`"),
        ("!tx.level", "removed"),
    ] {
        let rules = format!("SecAction \"id:1,phase:1,pass,setvar:{change}\"");
        let told = problems(builder(&rules).variable("level", "2"));
        let [told] = &told[..] else {
            panic!("{change}: {told:?}")
        };
        assert!(told.contains(&format!("tx.level is {what} here")), "{told}");
    }
    let same = "SecAction \"id:1,phase:1,pass,setvar:tx.level\"";
    load(builder(same).variable("level", "1"));
}

#[test]
fn the_mode_counts_whatever_the_files_say() {
    let rules = load(builder("SecRuleEngine Off"));
    assert_eq!(rules.engine(), waf::EngineMode::On);
    assert_eq!(
        rules.warnings()[0].message,
        "SecRuleEngine Off has no effect: the policy's mode says On"
    );
    let rules = RuleSet::builder()
        .text("t.conf", "SecRuleEngine DetectionOnly")
        .build()
        .expect("loads");
    assert_eq!(rules.engine(), waf::EngineMode::DetectionOnly);
}

#[test]
fn inert_operators_and_missing_markers_warn() {
    for (text, part) in [
        (
            "SecRule REMOTE_ADDR \"@rbl example.test\" \"id:1\"",
            "never matches",
        ),
        (
            "SecAction \"id:1,skipAfter:NOWHERE\"",
            "skipAfter: there is no marker `NOWHERE`",
        ),
        (
            "SecMarker BEHIND\nSecAction \"id:1,phase:1,skipAfter:BEHIND\"",
            "skipAfter: `BEHIND` is not ahead of this rule in its phase",
        ),
        (
            "SecAction \"id:1,phase:1,skipAfter:2\"\nSecAction \"id:2,phase:2\"",
            "skipAfter: `2` is not ahead of this rule in its phase",
        ),
    ] {
        let rules = load(builder(text));
        assert!(
            rules.warnings().iter().any(|w| w.message.contains(part)),
            "{text}: {:?}",
            rules.warnings()
        );
    }
}

#[test]
fn a_chain_that_is_the_wrong_way_round_is_named() {
    let rules =
        "SecRule ARGS \"@rx b\" \"t:none\"\nSecRule ARGS \"@rx a\" \"id:1,phase:2,deny,chain\"\n";
    for end in ["", "SecMarker X", "SecAction \"id:2,phase:2,pass\""] {
        let told = problems(builder(&format!("{rules}{end}")));
        assert_eq!(told[0], "1:1: a rule without an id", "{end}");
        let named = match end.starts_with("SecAction") {
            true => "3:12: the rule before, at line 2, says `chain`",
            false => {
                "2:1: this chain is the wrong way round: the part after `chain` stands before it, at line 1"
            }
        };
        assert!(told[1].starts_with(named), "{end}: {told:?}");
        assert_eq!(told.len(), 2, "{end}: {told:?}");
    }
}

#[test]
fn names_that_do_not_exist_are_told_what_is_meant() {
    for (rules, help) in [
        ("SecRuleEngin On", "did you mean `SecRuleEngine`?"),
        ("SecRule ARG x \"id:1\"", "did you mean `ARGS`?"),
        (
            "SecRule ARGS|!URL x \"id:1\"",
            "did you mean `REQUEST_URI`?",
        ),
        ("SecRule ARGS \"@regex x\" \"id:1\"", "did you mean @rx?"),
        (
            "SecRule ARGS \"!@contain x\" \"id:1\"",
            "did you mean @contains?",
        ),
        ("SecAction \"id:1,lgo\"", "did you mean `log`?"),
        (
            "SecAction \"id:1,msg:'%{remote_adr}'\"",
            "did you mean `REMOTE_ADDR`?",
        ),
        (
            "SecRule ARGS \"@streq %{ARG.x}\" \"id:1\"",
            "did you mean `ARGS`?",
        ),
        (
            "SecAction \"id:1,lowercase\"",
            "did you mean `t:lowercase`?",
        ),
        ("SecAction \"id:1,t:lowercse\"", "did you mean `lowercase`?"),
        (
            "SecAction \"id:1,ctl:ruleRemoveID=1\"",
            "did you mean `ruleRemoveById`?",
        ),
        (
            "SecAction \"id:1,ctl:ruleRemoveTargetById=1;ARG:x\"",
            "did you mean `ARGS`?",
        ),
    ] {
        let problems = builder(rules).build().expect_err("must not load").0;
        assert_eq!(problems[0].help.as_deref(), Some(help), "{rules}");
    }
}
