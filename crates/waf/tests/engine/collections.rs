//! setvar and the collections it writes.

use std::sync::Arc;

use waf::Store;

use super::harness::{Exchange, build, builder, check, check_all, judge, load, play, tx};

#[test]
fn setvar() {
    for (set, expected) in [
        ("setvar:tx.x=5", "x=5"),
        ("setvar:TX.X=a b", "x=a_b"),
        ("setvar:tx.x", "x=1"),
        ("setvar:tx.x=", "x="),
        ("setvar:tx.x=+3,setvar:tx.x=+4", "x=7"),
        ("setvar:tx.x=5,setvar:tx.x=-2", "x=3"),
        ("setvar:tx.x=-2", "x=0"),
        ("setvar:tx.x=5,setvar:tx.x=-9,setvar:tx.x=+1", "x=1"),
        ("setvar:tx.x=abc,setvar:tx.x=+2", "x=2"),
        ("setvar:tx.x=12abc,setvar:tx.x=+2", "x=14"),
        ("setvar:tx.x=+abc", "x=0"),
        (
            "setvar:tx.y=4,setvar:tx.x=+%{tx.y},setvar:tx.x=+%{tx.y}",
            "x=8",
        ),
        ("setvar:tx.y=4,setvar:tx.x=5,setvar:tx.x=-%{tx.y}", "x=1"),
        ("setvar:tx.x=1,setvar:!tx.x", "!x"),
        ("setvar:!tx.x", "!x"),
        (
            "setvar:tx.y=name,setvar:tx.a_%{tx.y}_b=7,setvar:tx.x=%{tx.a_name_b}",
            "x=7 a_name_b=7",
        ),
        (
            "setvar:tx.y=name,setvar:tx.A_%{tx.y}=7,setvar:tx.a_NAME=+1",
            "a_name=8",
        ),
        (
            "setvar:tx.y=name,setvar:tx.a_%{tx.y}=7,setvar:!tx.a_%{tx.y}",
            "!a_name",
        ),
        ("setvar:tx.a.b=1,setvar:tx.x=%{tx.a.b}", "a.b=1 x=1"),
        ("setvar:tx.a:b=1,setvar:tx.x=%{tx.a:b}", "a:b=1 x=1"),
        ("setvar:tx.a-b_c=1,setvar:tx.x=%{TX.A-B_C}", "x=1"),
        ("setvar:tx.x=a=b", "x=a=b"),
        (
            "setvar:tx.x=99999999999999999999,setvar:tx.x=+1",
            "x=9223372036854775807",
        ),
    ] {
        let actions = set
            .split(',')
            .map(|a| a.replacen("setvar:", "setvar:'", 1) + "'")
            .collect::<Vec<_>>()
            .join(",");
        let t = play(
            &build(&format!("SecAction \"id:1,phase:1,pass,nolog,{actions}\"")),
            &Exchange::parse("GET /"),
        );
        for word in expected.split_whitespace() {
            match word.strip_prefix('!') {
                Some(name) => assert_eq!(tx(&t, name), None, "{set}"),
                None => {
                    let (name, value) = word.split_once('=').expect("name=value");
                    assert_eq!(tx(&t, name), Some(value.replace('_', " ")), "{set}");
                }
            }
        }
    }
}

#[test]
fn setvar_runs_once_for_each_match_and_at_each_phase() {
    check_all(&[
        (
            "once for each target",
            "SecRule ARGS|REQUEST_METHOD \"@rx .\" \"id:1,phase:1,pass,nolog,setvar:tx.n=+1,setvar:tx.seen_%{MATCHED_VAR_NAME}=%{MATCHED_VAR}\"",
            "GET /?a=1&a=2&b=3",
            "n=4 seen_ARGS:a=2 seen_args:b=3 seen_REQUEST_METHOD=GET",
        ),
        (
            "TX outlives phases",
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.n=+1\"\nSecAction \"id:2,phase:5,pass,nolog,setvar:tx.n=+1\"",
            "GET /",
            "n=2",
        ),
        (
            "names made at run time are read by pattern, as first written",
            "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,nolog,setvar:tx.Count_%{MATCHED_VAR_NAME}=+1\"\nSecRule TX:/^count_/ \"@gt 1\" \"id:2,phase:1,pass,setvar:tx.name=%{MATCHED_VAR_NAME}\"",
            "GET /?Foo=1&b=2&foo=3",
            "2 name=TX:Count_ARGS:Foo",
        ),
        (
            "the environment",
            "SecAction \"id:1,phase:1,pass,nolog,setenv:Mode=%{REQUEST_METHOD}x\"\nSecRule ENV:mode \"@streq GETx\" \"id:2,phase:1,pass,setenv:!Mode=\"\nSecAction \"id:3,phase:1,pass,nolog,setvar:env.other=1\"\nSecRule ENV:other \"@eq 1\" \"id:4,phase:1,pass,nolog,setvar:!env.other\"\nSecRule &ENV:other \"@eq 0\" \"id:5,phase:1,pass\"",
            "GET /",
            "2 5",
        ),
    ]);
}

#[test]
fn persistent_collections() {
    let store = Arc::new(Store::default());
    let rules = |text: &str| load(builder(text).store(Arc::clone(&store)));
    let count = rules(
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},initcol:global=all\"\n\
         SecAction \"id:2,phase:1,pass,nolog,setvar:ip.hits=+1,setvar:global.Hits=+2,setvar:ip.last=%{REQUEST_BASENAME}\"\n\
         SecRule IP:HITS \"@ge 3\" \"id:3,phase:1,deny,status:429\"\n\
         SecAction \"id:4,phase:1,pass,nolog,setvar:tx.hits=%{ip.hits},setvar:tx.all=%{GLOBAL.hits},setvar:tx.last=%{ip.last}\"",
    );
    let request = Exchange::parse("GET /page");
    judge("first", &play(&count, &request), "hits=1 all=2 last=page");
    judge("second", &play(&count, &request), "hits=2 all=4");
    judge("third", &play(&count, &request), "3 !hits deny:429@1");

    // Another rule set, the same store; another key is another collection.
    let other = rules(
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=elsewhere,initcol:ip=%{REMOTE_ADDR},initcol:GLOBAL=all\"\n\
         SecAction \"id:2,phase:1,pass,nolog,setvar:tx.hits=[%{ip.hits}],setvar:tx.all=%{global.hits},setvar:tx.n=%{ip.missing}\"\n\
         SecAction \"id:3,phase:1,pass,nolog,setvar:!global.hits\"\n\
         SecRule &GLOBAL:hits \"@eq 0\" \"id:4,phase:1,pass,nolog,setvar:tx.gone=1\"",
    );
    judge(
        "the first key stands",
        &play(&other, &request),
        "hits=[] all=6 n= gone=1",
    );
}

#[test]
fn identities_open_collections() {
    check(
        "setuid, setsid, setrsc",
        "SecAction \"id:1,phase:1,pass,nolog,setuid:%{ARGS.user},setsid:%{REQUEST_COOKIES.sid},setrsc:%{REQUEST_FILENAME}\"\n\
         SecAction \"id:2,phase:1,pass,nolog,setvar:user.a=1,setvar:session.a=2,setvar:resource.a=3\"\n\
         SecAction \"id:3,phase:1,pass,nolog,setvar:tx.x=%{USERID}/%{SESSIONID}/%{user.a}%{session.a}%{resource.a}\"\n\
         SecAction \"id:4,phase:1,pass,nolog,setvar:ip.never=1\"\nSecRule &IP \"@eq 0\" \"id:5,phase:1,pass\"",
        "GET /?user=ann\nCookie: sid=s1",
        "5 x=ann/s1/123",
    );
}

/// No test waits: what expires at once is gone, what expires later is there.
#[test]
fn expiry_and_decay() {
    check_all(&[
        (
            "expirevar",
            "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=x,setvar:ip.a=1,setvar:ip.b=1,setvar:tx.s=0,expirevar:ip.a=%{tx.s},expirevar:IP.B=3600\"\n\
             SecRule &IP:a \"@eq 0\" \"id:2,phase:1,pass\"\nSecRule IP:b \"@eq 1\" \"id:3,phase:1,pass\"",
            "GET /",
            "2 3",
        ),
        (
            "deprecatevar lowers only with time",
            "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=x,setvar:ip.a=60,deprecatevar:ip.a=60/3600\"\nSecRule IP:a \"@eq 60\" \"id:2,phase:1,pass\"",
            "GET /",
            "2",
        ),
        (
            "without initcol nothing happens",
            "SecAction \"id:1,phase:1,pass,nolog,setvar:ip.a=1,expirevar:ip.a=0,deprecatevar:ip.a=1/1\"\nSecRule &IP:a \"@eq 0\" \"id:2,phase:1,pass\"",
            "GET /",
            "2",
        ),
    ]);
}
