//! Chains, captures, multiMatch, negation, macros.

use super::harness::{check_all, run};

#[test]
fn chains() {
    check_all(&[
        (
            "all targets of a link first, then the next link once",
            "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,setvar:tx.first=+1,chain\"\nSecRule ARGS:a \"@streq 1\" \"t:none,setvar:tx.second=+1\"",
            "GET /?a=1&b=2&c=3",
            "1 first=3 second=1",
        ),
        (
            "effects of a link stand though the chain fails later",
            "SecRule ARGS \"@rx .\" \"id:1,phase:1,deny,setvar:tx.first=+1,ctl:ruleRemoveById=2,chain\"\nSecRule ARGS:a \"@streq no\" \"setvar:tx.second=1\"\nSecAction \"id:2,phase:1,deny\"",
            "GET /?a=1&b=2",
            "first=2 !second",
        ),
        (
            "the next link sees the last match and its captures",
            "SecRule ARGS \"@rx ^(.)(.)$\" \"id:1,phase:1,pass,capture,chain\"\nSecRule TX:1 \"@streq %{TX.2}\" \"t:none,setvar:tx.of=%{MATCHED_VAR_NAME}\"",
            "GET /?a=xy&b=zz&c=q",
            "1 of=TX:1",
        ),
        (
            "and not an earlier one",
            "SecRule ARGS \"@rx ^(.)(.)$\" \"id:1,phase:1,pass,capture,chain\"\nSecRule TX:1 \"@streq %{TX.2}\" \"t:none\"",
            "GET /?b=zz&a=xy",
            "",
        ),
        (
            "MATCHED_VARS grow over the links, transformed",
            "SecRule ARGS \"@rx ^A\" \"id:1,phase:1,pass,t:uppercase,chain\"\nSecRule REQUEST_METHOD \"@streq GET\" \"t:none,chain\"\nSecRule MATCHED_VARS \"@rx .\" \"t:none,setvar:tx.n=+1,setvar:'tx.all=%{tx.all}[%{MATCHED_VAR_NAME}=%{MATCHED_VAR}]'\"",
            "GET /?a=ab&b=x&c=ac",
            "1 1 1 n=3 all=[ARGS:a=AB][ARGS:c=AC][REQUEST_METHOD=GET]",
        ),
        (
            "MATCHED_VARS by name, and forgotten by the next rule",
            "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,nolog,chain\"\nSecRule MATCHED_VARS:ARGS:a \"@streq 1\" \"setvar:tx.x=1\"\nSecRule MATCHED_VARS \"@rx .\" \"id:2,phase:1,pass\"\nSecRule MATCHED_VAR_NAME \"@streq ARGS:a\" \"id:3,phase:1,pass\"",
            "GET /?b=2&a=1",
            "3 x=1",
        ),
        (
            "MATCHED_VARS_NAMES",
            "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,nolog,chain\"\nSecRule MATCHED_VARS_NAMES \"@streq ARGS:b\" \"setvar:tx.x=+1\"",
            "GET /?b=2&a=1",
            "x=1",
        ),
        (
            "SecAction as a link",
            "SecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny,status:418,chain\"\nSecAction \"setvar:tx.x=1,chain\"\nSecRule ARGS:b \"@streq 2\" \"t:none\"",
            "GET /?a=1&b=2",
            "1 x=1 deny:418@1",
        ),
        (
            "transformations and capture are each link's own",
            "SecRule ARGS:a \"@streq AB\" \"id:1,phase:1,pass,t:uppercase,capture,chain\"\nSecRule ARGS:a \"@rx (a)b\" \"t:none\"",
            "GET /?a=ab",
            "1 !1",
        ),
        (
            "a link's setvar runs in the order written, and sees those before it",
            "SecAction \"id:1,phase:1,pass,setvar:tx.a=1,setvar:tx.b=%{tx.a}2,setvar:tx.a=3\"",
            "GET /",
            "1 a=3 b=12",
        ),
    ]);
}

/// Message, data, severity and tags are told once, at the last match, with what it left behind.
#[test]
fn a_chain_tells_once_and_late() {
    let t = run(
        "SecRule ARGS \"@rx ^(\\d)\" \"id:1,phase:1,pass,capture,msg:'m %{TX.1} %{tx.late}',logdata:'%{MATCHED_VAR_NAME}: %{MATCHED_VAR}',severity:CRITICAL,tag:'t %{tx.late}',chain\"\n\
         SecRule ARGS:b \"@rx (x)\" \"capture,setvar:tx.late=yes\"",
        "GET /?a=1&b=x",
    );
    let [m] = t.matched_rules() else {
        panic!("one match")
    };
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert_eq!(text(&m.message), "m x yes");
    assert_eq!(text(&m.data), "ARGS:b: x");
    assert_eq!(m.severity, Some(2));
    assert_eq!(text(&m.tags[0]), "t yes");
    assert_eq!(text(&m.variable), "ARGS:b");
}

/// What only a later link says about the rule counts, too; what both say, the first one decides.
#[test]
fn a_link_may_describe_the_chain() {
    let t = run(
        "SecRule ARGS \"@rx 1\" \"id:1,phase:1,pass,rev:'1',chain\"\n\
         SecRule ARGS \"@rx 1\" \"msg:'m',severity:CRITICAL,ver:'v',rev:'2',maturity:3,accuracy:4\"",
        "GET /?a=1",
    );
    let [m] = t.matched_rules() else {
        panic!("one match")
    };
    assert_eq!((&m.message[..], m.severity), (&b"m"[..], Some(2)));
    assert_eq!((&m.version[..], &m.revision[..]), (&b"v"[..], &b"1"[..]));
    assert_eq!((m.maturity, m.accuracy), (Some(3), Some(4)));
}

#[test]
fn captures() {
    check_all(&[
        (
            "groups; those from the next on are forgotten",
            "SecRule ARGS:a \"@rx (.)(.)(.)\" \"id:1,phase:1,pass,capture\"\nSecRule ARGS:b \"@rx x(.)\" \"id:2,phase:1,pass,capture\"",
            "GET /?a=123&b=xy",
            "1 2 0=xy 1=y !2 !3",
        ),
        (
            "a rule that fails keeps what was captured",
            "SecRule ARGS:a \"@rx (.)\" \"id:1,phase:1,pass,capture\"\nSecRule ARGS:b \"@rx (nothing)\" \"id:2,phase:1,pass,capture\"",
            "GET /?a=1&b=xy",
            "1 0=1 1=1",
        ),
        (
            "without capture nothing is kept; a negated match captures nothing",
            "SecRule ARGS:a \"@rx (.)\" \"id:1,phase:1,pass\"\nSecRule ARGS:a \"!@rx (x)\" \"id:2,phase:1,pass,capture\"",
            "GET /?a=1",
            "1 2 !0 !1",
        ),
        (
            "nine groups at most",
            "SecRule ARGS:a \"@rx (.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)\" \"id:1,phase:1,pass,capture\"",
            "GET /?a=abcdefghijk",
            "1 0=abcdefghijk 1=a 9=i !10",
        ),
        (
            "pm and libinjection have a TX.0",
            "SecRule ARGS:a \"@pm foo bar\" \"id:1,phase:1,pass,capture,setvar:tx.pm=%{tx.0}\"\nSecRule ARGS:b \"@detectSQLi\" \"id:2,phase:1,pass,capture\"",
            "GET /?a=xBARx&b=1%27+or+%271%27=%271",
            "1 2 pm=BAR 0=s&sos",
        ),
    ]);
}

#[test]
fn multi_match_counts_each_changed_step() {
    check_all(&[
        (
            "raw, and after each step that changed it",
            "SecRule ARGS:a \"@rx .\" \"id:1,phase:1,pass,multiMatch,t:none,t:lowercase,t:lowercase,t:removeWhitespace,setvar:tx.n=+1\"",
            "GET /?a=A+B",
            "1 1 1 n=3",
        ),
        (
            "nothing changes: once",
            "SecRule ARGS:a \"@rx .\" \"id:1,phase:1,pass,multiMatch,t:lowercase,setvar:tx.n=+1\"",
            "GET /?a=b",
            "1 n=1",
        ),
        (
            "no transformation: once",
            "SecRule ARGS:a \"@rx .\" \"id:1,phase:1,pass,multiMatch,t:none,setvar:tx.n=+1\"",
            "GET /?a=B",
            "1 n=1",
        ),
        (
            "a deny ends it at the first",
            "SecRule ARGS:a \"@rx .\" \"id:1,phase:1,deny,multiMatch,t:lowercase,setvar:tx.n=+1\"",
            "GET /?a=B",
            "1 n=1 deny:403@1",
        ),
    ]);
}

#[test]
fn negation_and_absence() {
    check_all(&[
        (
            "what is not there does not match, negated or not",
            "SecRule ARGS:x \"!@streq 1\" \"id:1,phase:1,pass\"\nSecRule TX:nothing \"!@eq 1\" \"id:2,phase:1,pass\"\nSecRule REQUEST_HEADERS:X \"@rx ^$\" \"id:3,phase:1,pass\"",
            "GET /?y=1",
            "",
        ),
        (
            "each value is tested by itself",
            "SecRule ARGS \"!@streq 1\" \"id:1,phase:1,pass,setvar:tx.n=+1\"",
            "GET /?a=1&b=2&c=3",
            "1 1 n=2",
        ),
        (
            "! before @ with a blank between",
            "SecRule ARGS \"! @streq 1\" \"id:1,phase:1,pass\"",
            "GET /?a=2",
            "1",
        ),
        (
            "no operator is @rx",
            "SecRule ARGS \"^a+$\" \"id:1,phase:1,pass\"\nSecRule ARGS \"!^a+$\" \"id:2,phase:1,pass\"",
            "GET /?a=aa",
            "1",
        ),
    ]);
}

#[test]
fn macros() {
    let set = |value: &str| {
        format!("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.y=5,setvar:'tx.x=[{value}]'\"")
    };
    for (value, expected) in [
        ("%{tx.nothing}", "x=[]"),
        ("%{ARGS.missing}", "x=[]"),
        ("%{args.KEY}", "x=[v]"),
        ("%{ARGS.key}%{ARGS.key}", "x=[vv]"),
        ("%{TX.Y}", "x=[5]"),
        ("%{request_headers.host}", "x=[h.test:8443]"),
        ("%{REQUEST_HEADERS.HOST}", "x=[h.test:8443]"),
        ("%{REQUEST_METHOD}", "x=[GET]"),
        ("%{RULE.id}", "x=[1]"),
        ("%{rule.severity}", "x=[]"),
        ("%{unique_id}", "x=[unique-1]"),
        ("%{remote_addr}", "x=[192.0.2.7]"),
        ("100%", "x=[100%]"),
        ("%{unclosed", "x=[%{unclosed]"),
    ] {
        super::harness::check(
            value,
            &set(value),
            "GET /?Key=v\nHost: h.test:8443",
            expected,
        );
    }
    check_all(&[
        (
            "MATCHED_VAR is transformed, its name as sent",
            "SecRule ARGS \"@streq AB\" \"id:1,phase:1,pass,nolog,t:uppercase,setvar:tx.v=%{MATCHED_VAR},setvar:tx.n=%{MATCHED_VAR_NAME}\"",
            "GET /?FooBar=ab",
            "v=AB n=ARGS:FooBar",
        ),
        (
            "in an operator's argument, at every evaluation",
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.want=b\"\nSecRule ARGS \"@streq %{tx.want}\" \"id:2,phase:1,pass,setvar:tx.want=c\"",
            "GET /?1=b&2=b&3=c",
            "2 2",
        ),
        (
            "a message that names itself",
            "SecAction \"id:1,phase:1,pass,msg:'%{rule.msg} %{rule.id}',logdata:'%{RULE.logdata}',setvar:tx.m=%{rule.logdata}\"",
            "GET /",
            "1 m=%{RULE.logdata}",
        ),
    ]);
}
