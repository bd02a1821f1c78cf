//! Skips, markers, modes, phases.

use waf::EngineMode;

use super::harness::{Exchange, builder, check_all, judge, load, play};

#[test]
fn skips_and_markers() {
    check_all(&[
        (
            "skip steps over rules, not markers",
            "SecAction \"id:1,phase:1,pass,skip:2\"\nSecAction \"id:2,phase:1,pass\"\nSecMarker M\nSecAction \"id:3,phase:1,pass\"\nSecAction \"id:4,phase:1,pass\"",
            "GET /",
            "1 4",
        ),
        (
            "skip counts a chain as one",
            "SecAction \"id:1,phase:1,pass,skip:1\"\nSecAction \"id:2,phase:1,pass,chain\"\nSecAction \"t:none\"\nSecAction \"id:4,phase:1,pass\"",
            "GET /",
            "1 4",
        ),
        (
            "skip past the end is the end",
            "SecAction \"id:1,phase:1,pass,skip:9\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"",
            "GET /",
            "1 3",
        ),
        (
            "skip counts rules of its own phase",
            "SecAction \"id:1,phase:1,pass,skip:1\"\nSecAction \"id:2,phase:2,pass\"\nSecAction \"id:3,phase:1,pass\"\nSecAction \"id:4,phase:1,pass\"",
            "GET /",
            "1 4 2",
        ),
        (
            "a chain's skip acts only where the whole chain matches",
            "SecAction \"id:1,phase:1,pass,skip:1,chain\"\nSecRule ARGS:x \"@streq 1\" \"t:none\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass\"",
            "GET /?x=2",
            "2 3",
        ),
        (
            "a chain's skip, all matched",
            "SecAction \"id:1,phase:1,pass,skip:1,chain\"\nSecRule ARGS:x \"@streq 1\" \"t:none\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass\"",
            "GET /?x=1",
            "1 3",
        ),
        (
            "skipAfter goes to the marker, in its own phase only",
            "SecAction \"id:1,phase:1,pass,skipAfter:END-X\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"\nSecMarker \"END-X\"\nSecAction \"id:4,phase:1,pass\"",
            "GET /",
            "1 4 3",
        ),
        (
            "a chain's skipAfter acts only where the whole chain matches",
            "SecRule ARGS:x \"@streq 1\" \"id:1,phase:1,pass,skipAfter:M,chain\"\nSecRule ARGS:y \"@streq 1\" \"t:none\"\nSecAction \"id:2,phase:1,pass\"\nSecMarker M\nSecAction \"id:3,phase:1,pass\"",
            "GET /?x=1",
            "2 3",
        ),
        (
            "a chain's skipAfter, all matched",
            "SecRule ARGS:x \"@streq 1\" \"id:1,phase:1,pass,skipAfter:M,chain\"\nSecRule ARGS:y \"@streq 1\" \"t:none\"\nSecAction \"id:2,phase:1,pass\"\nSecMarker M\nSecAction \"id:3,phase:1,pass\"",
            "GET /?x=1&y=1",
            "1 3",
        ),
        (
            "a marker before the rule skips the rest of the phase",
            "SecMarker M\nSecAction \"id:1,phase:1,pass,skipAfter:M\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"",
            "GET /",
            "1 3",
        ),
        (
            "of two markers with one name, the next one ahead",
            "SecMarker M\nSecAction \"id:1,phase:1,pass,skipAfter:M\"\nSecAction \"id:2,phase:1,pass\"\nSecMarker M\nSecAction \"id:3,phase:1,pass\"\nSecMarker M\nSecAction \"id:4,phase:1,pass\"",
            "GET /",
            "1 3 4",
        ),
        (
            "an id is a marker too",
            "SecAction \"id:1,phase:1,pass,skipAfter:3\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass\"\nSecAction \"id:4,phase:1,pass\"",
            "GET /",
            "1 4",
        ),
        (
            "also where the rule with that id was removed",
            "SecAction \"id:1,phase:1,pass,skipAfter:3\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass\"\nSecAction \"id:4,phase:1,pass\"\nSecRuleRemoveById 3",
            "GET /",
            "1 4",
        ),
        (
            "even right behind the rule that skips",
            "SecAction \"id:1,phase:1,pass,skipAfter:2\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass\"\nSecAction \"id:4,phase:1,pass\"\nSecRuleRemoveById 2",
            "GET /",
            "1 3 4",
        ),
        (
            "but a rule is not ahead of itself, nor is one removed before it",
            "SecAction \"id:1,phase:1,pass\"\nSecAction \"id:2,phase:1,pass,skipAfter:2\"\nSecAction \"id:3,phase:1,pass\"\nSecAction \"id:4,phase:2,pass\"\nSecAction \"id:5,phase:2,pass,skipAfter:1\"\nSecAction \"id:6,phase:3,pass,skipAfter:4\"\nSecAction \"id:7,phase:3,pass\"\nSecRuleRemoveById 1",
            "GET /",
            "2 4 5 6",
        ),
        (
            "a rule removed at run time neither matches nor skips",
            "SecAction \"id:1,phase:1,pass,ctl:ruleRemoveById=2\"\nSecAction \"id:2,phase:1,pass,skipAfter:M\"\nSecAction \"id:3,phase:1,pass\"\nSecMarker M",
            "GET /",
            "1 3",
        ),
        (
            "a removed rule still counts for skip",
            "SecAction \"id:1,phase:1,pass,skip:1,ctl:ruleRemoveById=2\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass\"",
            "GET /",
            "1 3",
        ),
    ]);
}

/// As the CRS does it: a level not executing jumps over its rules, in each phase.
#[test]
fn paranoia_levels_are_skips() {
    let rules = |level: u8| {
        format!(
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.detection_paranoia_level={level}\"\n\
             SecRule TX:DETECTION_PARANOIA_LEVEL \"@lt 1\" \"id:11,phase:1,pass,nolog,skipAfter:END\"\n\
             SecAction \"id:101,phase:1,pass\"\n\
             SecRule TX:DETECTION_PARANOIA_LEVEL \"@lt 2\" \"id:13,phase:1,pass,nolog,skipAfter:END\"\n\
             SecAction \"id:102,phase:1,pass\"\n\
             SecRule TX:DETECTION_PARANOIA_LEVEL \"@lt 3\" \"id:15,phase:1,pass,nolog,skipAfter:END\"\n\
             SecAction \"id:103,phase:1,pass\"\n\
             SecMarker END\n\
             SecAction \"id:104,phase:1,pass\""
        )
    };
    for (level, expected) in [
        (0, "104"),
        (1, "101 104"),
        (2, "101 102 104"),
        (4, "101 102 103 104"),
    ] {
        super::harness::check(&format!("level {level}"), &rules(level), "GET /", expected);
    }
}

#[test]
fn phases_run_in_order_and_logging_always() {
    let all = "SecAction \"id:5,phase:5,pass\"\nSecAction \"id:4,phase:4,pass\"\nSecAction \"id:3,phase:3,pass\"\nSecAction \"id:2,phase:2,pass\"\nSecAction \"id:1,phase:1,pass\"\n";
    check_all(&[
        (
            "load order is no matter between phases",
            all,
            "GET /",
            "1 2 3 4 5",
        ),
        (
            "names of phases",
            "SecAction \"id:2,phase:request,pass\"\nSecAction \"id:4,phase:response,pass\"\nSecAction \"id:5,phase:logging,pass\"\nSecAction \"id:6,pass\"",
            "GET /",
            "2 6 4 5",
        ),
        (
            "phase 5 runs after a deny; its own deny only warns and does not stop it",
            "SecAction \"id:1,phase:1,deny\"\nSecAction \"id:2,phase:2,pass\"\nSecAction \"id:5,phase:5,deny,setvar:tx.seen=1\"\nSecAction \"id:6,phase:5,pass\"",
            "GET /",
            "1 5 6 seen=1 deny:403@1",
        ),
        (
            "phase 5 alone denies nothing",
            "SecRule ARGS \"@rx .\" \"id:5,phase:5,deny,setvar:tx.n=+1\"\nSecAction \"id:6,phase:5,pass\"",
            "GET /?a=1&b=2",
            "5 5 6 n=2",
        ),
        (
            "allow in phase 5 stops nothing",
            "SecAction \"id:5,phase:5,allow\"\nSecAction \"id:6,phase:5,pass\"",
            "GET /",
            "5 6",
        ),
    ]);
}

#[test]
fn allow_in_its_three_forms() {
    let rest = "SecAction \"id:11,phase:1,pass\"\nSecAction \"id:12,phase:2,pass\"\nSecAction \"id:13,phase:3,pass\"\nSecAction \"id:14,phase:4,pass\"\nSecAction \"id:15,phase:5,pass\"\n";
    let cases = [
        ("allow", 1, "1 15"),
        ("allow:phase", 1, "1 12 13 14 15"),
        ("allow:request", 1, "1 13 14 15"),
        ("allow", 2, "11 1 15"),
        ("allow:phase", 2, "11 1 13 14 15"),
        ("allow:request", 2, "11 1 13 14 15"),
        ("allow", 3, "11 12 1 15"),
        ("allow:request", 3, "11 12 1 14 15"),
        ("allow:phase", 4, "11 12 13 1 15"),
    ];
    for (allow, phase, expected) in cases {
        let rules = format!("SecAction \"id:1,phase:{phase},{allow}\"\n{rest}");
        super::harness::check(&format!("{allow} in {phase}"), &rules, "GET /", expected);
    }
    check_all(&[
        (
            "the first match allows: no further target is looked at",
            "SecRule ARGS \"@rx .\" \"id:1,phase:1,allow,setvar:tx.n=+1\"",
            "GET /?a=1&b=2",
            "1 n=1",
        ),
        (
            "a chain that fails allows nothing",
            "SecRule ARGS:a \"@rx .\" \"id:1,phase:1,allow,chain\"\nSecRule ARGS:b \"@streq 1\" \"t:none\"\nSecAction \"id:2,phase:1,deny\"",
            "GET /?a=1&b=2",
            "2 deny:403@1",
        ),
    ]);
}

#[test]
fn modes() {
    let rules = "SecRule ARGS \"@rx .\" \"id:1,phase:1,deny,setvar:tx.n=+1\"\nSecAction \"id:2,phase:1,pass,skipAfter:M\"\nSecAction \"id:3,phase:1,pass\"\nSecMarker M\nSecAction \"id:4,phase:2,allow\"\nSecAction \"id:5,phase:2,drop\"\nSecAction \"id:6,phase:5,pass\"";
    for (mode, expected) in [
        (EngineMode::On, "1 6 n=1 deny:403@1"),
        (EngineMode::DetectionOnly, "1 1 2 4 5 6 n=2"),
        (EngineMode::Off, "!n"),
    ] {
        let rules = load(builder(rules).engine(mode));
        let t = play(&rules, &Exchange::parse("GET /?a=1&b=2"));
        judge(&format!("{mode:?}"), &t, expected);
    }
}

#[test]
fn what_would_have_ended_it_is_noted_where_rules_only_detect() {
    let deny =
        |id: u32, phase: u8| format!("SecAction \"id:{id},phase:{phase},deny,nolog,status:410\"\n");
    let allow = |phase: u8, scope: &str| format!("SecAction \"id:9,phase:{phase},allow{scope}\"\n");
    let all = deny(1, 1) + &deny(2, 2) + &deny(3, 3) + &deny(4, 4) + &deny(5, 5);
    for (rules, expected) in [
        (all.clone(), Some((1, 410))),
        (allow(1, ":phase") + &all, Some((2, 410))),
        (allow(1, ":request") + &all, Some((3, 410))),
        (
            allow(3, ":request") + &deny(3, 3) + &deny(4, 4),
            Some((4, 410)),
        ),
        (allow(1, "") + &all, None),
        (allow(2, "") + &all, Some((1, 410))),
        (deny(5, 5), None),
        (
            "SecAction \"id:1,phase:2,redirect:/x,status:410\"\n".to_owned(),
            Some((1, 302)),
        ),
        ("SecAction \"id:1,phase:2,pass\"\n".to_owned(), None),
    ] {
        for mode in [EngineMode::DetectionOnly, EngineMode::On] {
            let t = play(
                &load(builder(&rules).engine(mode)),
                &Exchange::parse("GET /"),
            );
            let noted = t.detection().map(|d| (d.rule_id, d.status));
            let ended = t.interruption().map(|i| (i.rule_id, i.status));
            // What ends it in one mode is what the other notes.
            match mode {
                EngineMode::On => assert_eq!((ended, noted), (expected, None), "{rules}"),
                _ => assert_eq!((ended, noted), (None, expected), "{rules}"),
            }
        }
    }
}

#[test]
fn switching_the_engine_off_in_a_phase() {
    check_all(&[
        (
            "the rest of all phases",
            "SecAction \"id:1,phase:1,pass,ctl:ruleEngine=Off\"\nSecAction \"id:2,phase:1,deny\"\nSecAction \"id:3,phase:2,deny\"\nSecAction \"id:5,phase:5,pass\"",
            "GET /",
            "1",
        ),
        (
            "in a chain that fails later",
            "SecAction \"id:1,phase:1,pass,ctl:ruleEngine=Off,chain\"\nSecRule ARGS:x \"@streq 1\" \"t:none\"\nSecAction \"id:2,phase:1,deny\"",
            "GET /",
            "",
        ),
        (
            "the chain itself goes no further",
            "SecAction \"id:1,phase:1,deny,ctl:ruleEngine=Off,chain\"\nSecAction \"setvar:tx.x=1\"\nSecAction \"id:2,phase:1,deny\"",
            "GET /",
            "!x",
        ),
        (
            "detection only from here on",
            "SecAction \"id:1,phase:1,pass,ctl:ruleEngine=DetectionOnly\"\nSecAction \"id:2,phase:1,deny\"\nSecAction \"id:3,phase:2,pass,ctl:ruleEngine=On\"\nSecAction \"id:4,phase:2,deny\"",
            "GET /",
            "1 2 3 4 deny:403@2",
        ),
    ]);
}
