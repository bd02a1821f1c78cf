//! Disruptive actions, defaults, what is logged, HIGHEST_SEVERITY.

use super::harness::{Exchange, build, check, check_all, play, run};

#[test]
fn disruptive_actions() {
    for (action, expected) in [
        ("deny", "1 deny:403@1"),
        ("deny,status:406", "1 deny:406@1"),
        ("status:500,deny", "1 deny:500@1"),
        ("drop", "1 drop:403@1"),
        (
            "redirect:https://other.test/?from=%{REQUEST_BASENAME}",
            "1 redirect(https://other.test/?from=p):302@1",
        ),
        ("redirect:/x,status:301", "1 redirect(/x):301@1"),
        ("redirect:/x,status:303", "1 redirect(/x):303@1"),
        ("redirect:/x,status:307", "1 redirect(/x):307@1"),
        ("redirect:/x,status:404", "1 redirect(/x):302@1"),
        ("pass,status:500", "1 2"),
        ("pass", "1 2"),
        ("block", "1 2"),
        ("deny,pass", "1 2"),
        ("pass,deny", "1 deny:403@1"),
    ] {
        let rules = format!(
            "SecRule REQUEST_METHOD \"@streq GET\" \"id:1,phase:1,{action}\"\nSecAction \"id:2,phase:1,pass\""
        );
        check(action, &rules, "GET /p", expected);
    }
}

#[test]
fn a_deny_stops_at_the_first_match() {
    check(
        "deny",
        "SecRule ARGS \"@rx .\" \"id:1,phase:1,deny,setvar:tx.n=+1\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"",
        "GET /?a=1&b=2",
        "1 n=1 deny:403@1",
    );
    for phase in 1..=4 {
        check(
            "each phase can deny",
            &format!("SecAction \"id:1,phase:{phase},deny\"\nSecAction \"id:5,phase:5,pass\""),
            "GET /",
            &format!("1 5 deny:403@{phase}"),
        );
    }
}

#[test]
fn default_actions() {
    check_all(&[
        (
            "block is the default's disruptive action and status",
            "SecDefaultAction \"phase:1,deny,status:451,log\"\nSecAction \"id:1,phase:1,block\"",
            "GET /",
            "1 deny:451@1",
        ),
        (
            "so is saying nothing",
            "SecDefaultAction \"phase:1,deny,status:451,log\"\nSecAction \"id:1,phase:1\"",
            "GET /",
            "1 deny:451@1",
        ),
        (
            "pass is stronger",
            "SecDefaultAction \"phase:1,deny,log\"\nSecAction \"id:1,phase:1,pass\"",
            "GET /",
            "1",
        ),
        (
            "each phase has its own",
            "SecDefaultAction \"phase:1,deny,log\"\nSecDefaultAction \"phase:2,pass,log\"\nSecAction \"id:2,phase:2,block\"\nSecAction \"id:1,phase:1,pass\"",
            "GET /",
            "1 2",
        ),
        (
            "for the rules after it",
            "SecAction \"id:1,phase:1,block\"\nSecDefaultAction \"phase:1,deny,log\"\nSecAction \"id:2,phase:1,block\"",
            "GET /",
            "1 2 deny:403@1",
        ),
        (
            "its transformations come first, in every link",
            "SecDefaultAction \"phase:1,pass,log,t:lowercase\"\nSecRule ARGS:a \"@streq x\" \"id:1,phase:1,chain\"\nSecRule ARGS:b \"@streq y\" \"t:removeWhitespace\"",
            "GET /?a=X&b=+Y",
            "1",
        ),
        (
            "unless t:none",
            "SecDefaultAction \"phase:1,pass,log,t:lowercase\"\nSecRule ARGS:a \"@streq x\" \"id:1,phase:1,t:none\"",
            "GET /?a=X",
            "",
        ),
        (
            "nolog of the default, log of the rule",
            "SecDefaultAction \"phase:1,pass,nolog\"\nSecAction \"id:1,phase:1\"\nSecAction \"id:2,phase:1,log\"",
            "GET /",
            "2",
        ),
        (
            "block in a chain",
            "SecDefaultAction \"phase:1,deny,log\"\nSecRule ARGS:a \"@rx .\" \"id:1,phase:1,block,chain\"\nSecRule ARGS:b \"@rx .\" \"t:none\"",
            "GET /?a=1&b=1",
            "1 deny:403@1",
        ),
    ]);
}

#[test]
fn what_is_logged() {
    let t = run(
        "SecRule ARGS \"@rx ^b\" \"id:1,phase:1,deny,status:406,msg:'a \\\"b\\\"',logdata:'%{MATCHED_VAR}',severity:ERROR,ver:'V/1',rev:2,maturity:3,accuracy:4,tag:'one',tag:'two %{tx.x}'\"",
        "GET /p?A=b%00\nHost: h.test",
    );
    let m = &t.matched_rules()[0];
    let line = String::from_utf8_lossy(&m.log_line).into_owned();
    for part in [
        "[client 192.0.2.7]",
        "ModSecurity: Access denied with code 406 (phase 1).",
        "ARGS:A",
        "[file \"t.conf\"]",
        "[line \"2\"]",
        "[id \"1\"]",
        "[rev \"2\"]",
        "[severity \"ERROR\"]",
        "[ver \"V/1\"]",
        "[tag \"one\"]",
        "[tag \"two \"]",
        "[hostname \"h.test\"]",
        "[uri \"/p\"]",
        "[unique_id \"unique-1\"]",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(line.is_ascii() && !line.contains('\0'), "{line}");
    assert_eq!(
        (m.maturity, m.accuracy, m.interrupting),
        (Some(3), Some(4), true)
    );
    assert_eq!((m.value.as_slice(), m.line), (&b"b\0"[..], 2));

    let rules =
        build("SecAction \"id:1,phase:1,pass,nolog\"\nSecAction \"id:2,phase:1,deny,nolog\"");
    let t = play(&rules, &Exchange::parse("GET /"));
    let told: Vec<_> = t
        .matched_rules()
        .iter()
        .map(|m| (m.rule_id, m.logged))
        .collect();
    assert_eq!(
        told,
        [(2, false)],
        "what ended the transaction is known even where it is not logged"
    );
}

#[test]
fn highest_severity() {
    let read = "SecRule HIGHEST_SEVERITY \"@rx .\" \"id:9,phase:2,pass,nolog,setvar:tx.s=%{MATCHED_VAR}\"\n";
    for (rules, expected) in [
        ("", "s=255"),
        (
            "SecAction \"id:1,phase:1,pass,nolog,severity:WARNING\"\n",
            "s=4",
        ),
        (
            "SecAction \"id:1,phase:1,pass,nolog,severity:4\"\nSecRule ARGS \"@rx .\" \"id:2,phase:1,pass,nolog,severity:CRITICAL\"\n",
            "s=2",
        ),
        (
            "SecRule ARGS \"@rx .\" \"id:2,phase:1,pass,nolog,severity:2,chain\"\nSecRule ARGS \"@streq no\" \"t:none\"\n",
            "s=255",
        ),
        (
            "SecRule ARGS \"@rx .\" \"id:2,phase:1,pass,nolog,severity:2,chain\"\nSecRule ARGS \"@streq 1\" \"t:none\"\n",
            "s=2",
        ),
    ] {
        check(rules, &format!("{rules}{read}"), "GET /?a=1", expected);
    }
}
