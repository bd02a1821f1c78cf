//! What people bring along loads as it is: ModSecurity's recommended settings, exclusions of plugins, lists of none.

use std::fs;

use tempfile::TempDir;
use waf::{AuditEngine, EngineMode, RuleSet};

use super::harness::{Exchange, build, builder, check, check_all, ids, load, play, run, verdict};

/// What ModSecurity's `modsecurity.conf-recommended` says, versions 2 and 3 together, without its comments.
const RECOMMENDED: &str = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" \
     "id:'200000',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" \
     "id:'200001',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "^application/[a-z0-9.-]+[+]json" \
     "id:'200006',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyInMemoryLimit 131072
SecRequestBodyLimitAction Reject
SecRequestBodyJsonDepthLimit 512
SecArgumentsLimit 1000
SecRule &ARGS "@ge 1000" \
"id:'200007', phase:2,t:none,log,deny,status:400,msg:'too many arguments',severity:2"
SecRule REQBODY_ERROR "!@eq 0" \
"id:'200002', phase:2,t:none,log,deny,status:400,msg:'unreadable body',logdata:'%{reqbody_error_msg}',severity:2"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
"id:'200003',phase:2,t:none,log,deny,status:400, \
msg:'unclear multipart body: \
PE %{REQBODY_PROCESSOR_ERROR}, \
BQ %{MULTIPART_BOUNDARY_QUOTED}, \
FL %{MULTIPART_FILE_LIMIT_EXCEEDED}'"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" \
    "id:'200004',phase:2,t:none,log,deny,msg:'a boundary that is none'"
SecPcreMatchLimit 1000
SecPcreMatchLimitRecursion 1000
SecRule TX:/^MSC_/ "!@streq 0" \
    "id:'200005',phase:2,t:none,log,deny,msg:'internal error: %{MATCHED_VAR_NAME}'"
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial
SecTmpDir /tmp/
SecDataDir /tmp/
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus "^(?:5|4(?!04))"
SecAuditLogParts ABIJDEFHZ
SecAuditLogType Serial
SecAuditLog /var/log/modsec_audit.log
SecArgumentSeparator &
SecCookieFormat 0
SecUnicodeMapFile unicode.mapping 20127
SecStatusEngine Off
SecXmlExternalEntity Off
SecParseXmlIntoArgs Off
SecHashEngine Off
"#;

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            fs::write(folder.0.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn rules(&self) -> waf::RuleSetBuilder {
        let rules = RuleSet::builder().engine(EngineMode::On);
        rules.file(self.0.path().join("rules.conf"))
    }
}

fn status(code: u16) -> Exchange {
    Exchange::parse(&format!(
        "GET /\n---\n{code}\nContent-Type: text/plain\n\nx"
    ))
}

#[test]
fn the_code_page_may_have_a_line_of_its_own() {
    let map: &[u8] = b"1250 (Central Europe)\n00e9:61\n\n20127 (US-ASCII)\n00e9:65\n";
    for lines in [
        "SecUnicodeCodePage 1250\nSecUnicodeMapFile unicode.mapping",
        "SecUnicodeMapFile unicode.mapping\nSecUnicodeCodePage 1250",
        "SecUnicodeMapFile unicode.mapping 20127\nSecUnicodeCodePage 1250",
        "SecUnicodeCodePage 20127\nSecUnicodeMapFile unicode.mapping 1250",
    ] {
        let rule = "SecRule ARGS \"@streq a\" \"id:1,phase:1,pass,t:urlDecodeUni\"";
        let rules = format!("{lines}\n{rule}\n");
        let folder = Folder::new(&[("rules.conf", rules.as_bytes()), ("unicode.mapping", map)]);
        let rules = load(folder.rules());
        let t = play(&rules, &Exchange::parse("GET /?a=%25u00e9"));
        assert_eq!(ids(&t), [1], "{lines}");
    }
}

#[test]
fn the_recommended_settings_load_and_mean_what_they_say() {
    let map: &[u8] = b"\xef\xbb\xbf20127 (US-ASCII)\n00e9:65\n";
    let rules = format!("\u{feff}{RECOMMENDED}");
    let folder = Folder::new(&[("rules.conf", rules.as_bytes()), ("unicode.mapping", map)]);
    let rules = RuleSet::builder()
        .file(folder.0.path().join("rules.conf"))
        .build();
    let rules = rules.expect("loads");
    assert_eq!(rules.warnings(), []);
    let recorded = |code| play(&rules, &status(code)).audit_record().is_some();
    let codes = [200, 302, 400, 403, 404, 405, 500, 503];
    let recorded = codes.map(recorded);
    assert_eq!(
        recorded,
        [false, false, true, true, false, true, true, true]
    );
}

#[test]
fn an_audit_log_that_is_wanted_records_what_the_recommended_settings_say() {
    let rule = "SecRule ARGS:a \"@streq x\" \"id:1,phase:1,pass,log\"\n";
    let own = load(builder(rule).audited(true));
    assert_eq!(own.audit_engine(), AuditEngine::RelevantOnly);
    assert_eq!(own.audit_parts(), "ABIJDEFHZ");
    assert!(play(&own, &status(500)).audit_record().is_some());
    assert!(play(&own, &status(404)).audit_record().is_none());
    assert!(
        play(&own, &Exchange::parse("GET /?a=x"))
            .audit_record()
            .is_some()
    );
    let off = load(builder(&format!("SecAuditEngine Off\n{rule}")).audited(true));
    assert_eq!(off.audit_engine(), AuditEngine::Off);
    let parts = load(builder(&format!("SecAuditLogParts AHZ\n{rule}")).audited(true));
    assert_eq!(parts.audit_parts(), "AHZ");
    assert_eq!(load(builder(rule)).audit_engine(), AuditEngine::Off);
}

#[test]
fn patterns_outside_of_rules_may_look_around() {
    let rule = "SecRule ARGS:a \"@streq x\" \"id:1,phase:2,pass,msg:'old news',tag:'attack-sqli'\"\n\
                SecRule ARGS:a \"@streq x\" \"id:2,phase:2,pass,msg:'new news',tag:'attack-xss'\"\n";
    for (directive, expected) in [
        ("SecRuleRemoveByTag \"attack-(?!sqli)\"", "1"),
        ("SecRuleRemoveByMsg \"^(?!new)\"", "2"),
        (
            "SecRuleUpdateTargetByTag \"(?<=attack-)xss\" \"!ARGS\"",
            "1",
        ),
        (
            "SecRuleUpdateTargetByMsg \"(?<!new) news\" \"!ARGS:/^(?!b)/\"",
            "2",
        ),
    ] {
        check(
            directive,
            &format!("{rule}{directive}"),
            "GET /?a=x",
            expected,
        );
    }
    for (control, expected) in [
        ("ruleRemoveByTag=attack-(?!sqli)", "9 1"),
        ("ruleRemoveByMsg=^(?!new)", "9 2"),
        ("ruleRemoveTargetByTag=attack-(?=x);ARGS", "9 1"),
        ("ruleRemoveTargetByMsg=old(?!er);ARGS:/^(?!b)/", "9 2"),
    ] {
        let rules = format!("SecAction \"id:9,phase:1,pass,ctl:{control}\"\n{rule}");
        check(control, &rules, "GET /?a=x", expected);
    }
}

const XML: &str = "POST /\nContent-Type: text/xml\n\n<a b='calendar'>calendar</a>";

/// Rules 3 and 4 match the document's text and its attributes, unless one is taken away.
fn xml(directive: &str, control: &str) -> Vec<u64> {
    let rules = format!(
        "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecAction \"id:2,phase:1,pass,nolog{control}\"\n\
         SecRule ARGS|XML:/* \"@contains calendar\" \"id:3,phase:2,pass,msg:'m',tag:'t'\"\n\
         SecRule ARGS|XML://@* \"@contains calendar\" \"id:4,phase:2,pass,msg:'m',tag:'t'\"\n{directive}"
    );
    ids(&run(&rules, XML))
}

#[test]
fn an_exclusion_without_a_selector_takes_all_of_a_collection() {
    assert_eq!(xml("", ""), [3, 4]);
    for (control, left) in [
        ("ById=3;XML", vec![4]),
        ("ById=3-4;XML", vec![]),
        ("ByTag=t;XML", vec![]),
        ("ByMsg=m;XML", vec![]),
        ("ById=3;XML:/*", vec![4]),
        ("ById=3;XML://@*", vec![3, 4]),
        ("ById=4;XML://@*", vec![3]),
        ("ByTag=t;XML:/*", vec![4]),
    ] {
        assert_eq!(
            xml("", &format!(",ctl:ruleRemoveTarget{control}")),
            left,
            "{control}"
        );
    }
    for (directive, left) in [
        ("SecRuleUpdateTargetById 3 \"!XML\"", vec![4]),
        ("SecRuleUpdateTargetById 3 \"!XML:/*\"", vec![4]),
        ("SecRuleUpdateTargetByTag t \"!XML\"", vec![]),
        ("SecRuleUpdateTargetByMsg m \"!ARGS|!XML\"", vec![]),
        (
            "SecRule XML:/*|!XML \"@contains cal\" \"id:5,phase:2,pass\"",
            vec![3, 4],
        ),
    ] {
        assert_eq!(xml(directive, ""), left, "{directive}");
    }
}

#[test]
fn every_collection_can_be_excluded_whole() {
    let request = "POST /?q=x\nContent-Type: application/x-www-form-urlencoded\nCookie: c=x\n\na=x";
    for name in [
        "ARGS",
        "ARGS_GET",
        "ARGS_POST",
        "ARGS_NAMES",
        "REQUEST_HEADERS",
        "REQUEST_HEADERS_NAMES",
        "REQUEST_COOKIES",
        "REQUEST_COOKIES_NAMES",
        "TX",
        "ENV",
    ] {
        let rules = format!(
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.t=x,setenv:e=x,ctl:ruleRemoveTargetById=2;{name}\"\n\
             SecRule {name} \"@rx .\" \"id:2,phase:2,pass\"\nSecRule {name} \"@rx .\" \"id:3,phase:2,pass\"\n\
             SecRule {name}|!{name} \"@rx .\" \"id:4,phase:2,pass\""
        );
        let mut found = ids(&run(&rules, request));
        found.dedup();
        assert_eq!(found, [3], "{name}");
    }
}

#[test]
fn a_list_without_an_entry_matches_nothing() {
    let rules = "SecRule REQUEST_HEADERS:User-Agent \"@pmFromFile empty.data\" \"id:1,phase:1,deny\"\n\
                 SecRule REQUEST_HEADERS:User-Agent \"!@pmFromFile comments.data\" \"id:2,phase:1,pass\"\n\
                 SecRule REMOTE_ADDR \"@ipMatchFromFile empty.data comments.data\" \"id:3,phase:1,deny\"\n\
                 SecRule REMOTE_ADDR \"!@ipMatchFromFile comments.data\" \"id:4,phase:1,pass\"\n\
                 SecRule REQUEST_HEADERS:User-Agent \"@pmf comments.data marked.data\" \"id:5,phase:1,pass\"\n\
                 SecRule REMOTE_ADDR \"@ipMatchF nets.data\" \"id:6,phase:1,pass\"\n";
    let folder = Folder::new(&[
        ("rules.conf", rules.as_bytes()),
        ("empty.data", b""),
        (
            "comments.data",
            b"\xef\xbb\xbf# filled at night\r\n\r\n  # by a job\n",
        ),
        ("marked.data", b"\xef\xbb\xbfcurl\nwget\n"),
        ("nets.data", b"\xef\xbb\xbf192.0.2.0/24 # test\n"),
    ]);
    let rules = load(folder.rules());
    let told: Vec<_> = rules
        .warnings()
        .iter()
        .map(|w| w.message.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "empty.data has no entry, so nothing matches it",
            "comments.data has no entry, so nothing matches it",
            "each of empty.data, comments.data has no entry, so nothing matches it",
            "comments.data has no entry, so nothing matches it",
            "comments.data has no entry, so nothing matches it",
        ]
    );
    let found = play(&rules, &Exchange::parse("GET /\nUser-Agent: curl/8"));
    assert_eq!(
        (ids(&found), verdict(&found).as_str()),
        (vec![2, 4, 5, 6], "")
    );

    fs::write(folder.0.path().join("marked.data"), b"\xff\xfec\0u\0r\0l\0").unwrap();
    let problems = folder.rules().build().expect_err("UTF-16 must not load");
    let errors = problems.0.iter().filter(|d| d.is_error());
    let told: Vec<_> = errors
        .map(|d| (d.location.line, d.message.as_str()))
        .collect();
    assert_eq!(told, [(5, "marked.data is UTF-16")]);
}

#[test]
fn rx_global_captures_every_occurrence() {
    check_all(&[
        (
            "two groups of two occurrences",
            "SecRule ARGS:a \"@rxGlobal (\\d)[a-z]\" \"id:1,phase:1,pass,capture,setvar:'tx.all=%{tx.0}/%{tx.1}/%{tx.2}/%{tx.3}'\"",
            "GET /?a=1x.2y",
            "1 all=1x/1/2y/2 !4",
        ),
        (
            "what it finds none of does not match",
            "SecRule ARGS:a \"@rxGlobal \\d\" \"id:1,phase:1,pass\"\nSecRule ARGS:a \"!@rxGlobal \\d\" \"id:2,phase:1,pass\"",
            "GET /?a=x",
            "2",
        ),
        (
            "occurrences of nothing end",
            "SecRule ARGS:a \"@rxglobal x*\" \"id:1,phase:1,pass,capture,setvar:'tx.all=%{tx.0}/%{tx.1}/%{tx.2}'\"",
            "GET /?a=axb",
            "1 all=/x/",
        ),
        (
            "look-around",
            "SecRule ARGS:a \"@rxGlobal a(?=b)\" \"id:1,phase:1,pass,capture,setvar:'tx.all=%{tx.0}/%{tx.1}'\"",
            "GET /?a=abacab",
            "1 all=a/a",
        ),
    ]);
}

#[test]
fn users_and_sessions_are_those_of_an_application() {
    let rules = |application: &str| {
        builder(&format!(
            "SecWebAppId {application}\nSecAction \"id:1,phase:1,pass,nolog,setuid:u,initcol:global=g,setvar:user.n=+1,setvar:global.n=+1,\
             setvar:'tx.user=%{{user.n}}',setvar:'tx.global=%{{global.n}}'\""
        ))
    };
    let first = load(rules("one"));
    let second = load(rules("two").store(first.store()));
    let counts = |rules| {
        let t = play(rules, &Exchange::parse("GET /"));
        let count = |name| t.tx(name).map(|v| String::from_utf8(v).unwrap()).unwrap();
        (count("user"), count("global"))
    };
    assert_eq!(counts(&first), ("1".to_owned(), "1".to_owned()));
    assert_eq!(counts(&second), ("1".to_owned(), "2".to_owned()));
    assert_eq!(counts(&first), ("2".to_owned(), "3".to_owned()));
}

#[test]
fn a_selector_that_gives_up_excludes_nothing() {
    // The pattern takes too many steps on the name, whichever way it is used.
    let name = "a".repeat(20_000);
    let rules = build("SecRule ARGS|!ARGS:/^(?=a)(?:a|aa)*$/ \"@streq x\" \"id:1,phase:1,pass\"");
    let found = play(&rules, &Exchange::parse(&format!("GET /?{name}=x")));
    assert_eq!(ids(&found), [1]);
}
