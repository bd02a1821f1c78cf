//! `ctl:` options that are not about rules.

use super::harness::{Exchange, build, builder, check, check_all, judge, load, play};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\n\na=1&b=2";

#[test]
fn of_the_request_body() {
    let json = "POST /\nContent-Type: application/json\n\n{\"a\":1}";
    let form = format!("POST /\n{FORM}");
    check_all(&[
        (
            "a processor where the type names none",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\nSecRule ARGS:json.a \"@eq 1\" \"id:2,phase:2,pass\"\nSecRule REQBODY_PROCESSOR \"@streq JSON\" \"id:3,phase:2,pass\"",
            json,
            "2 3",
        ),
        (
            "no processor: neither arguments nor body",
            "SecRule ARGS|REQUEST_BODY \"@rx .\" \"id:2,phase:2,pass\"",
            json,
            "",
        ),
        (
            "another one than the type's",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=URLENCODED\"\nSecRule ARGS_NAMES \"@beginsWith {\" \"id:2,phase:2,pass\"",
            json,
            "2",
        ),
        (
            "RAW keeps it as REQUEST_BODY",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=RAW\"\nSecRule REQUEST_BODY \"@beginsWith {\" \"id:2,phase:2,pass\"",
            json,
            "2",
        ),
        (
            "forceRequestBodyVariable",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\nSecRule REQUEST_BODY \"@beginsWith {\" \"id:2,phase:2,pass\"",
            json,
            "2",
        ),
        (
            "and nothing where a processor reads it",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On,ctl:requestBodyProcessor=JSON\"\nSecRule &REQUEST_BODY \"@eq 0\" \"id:2,phase:2,pass\"",
            json,
            "2",
        ),
        (
            "an urlencoded body is both",
            "SecRule REQUEST_BODY \"@streq a=1&b=2\" \"id:2,phase:2,pass\"\nSecRule ARGS_POST:b \"@eq 2\" \"id:3,phase:2,pass\"",
            &form,
            "2 3",
        ),
        (
            "access off",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyAccess=Off\"\nSecRule ARGS|REQUEST_BODY \"@rx .\" \"id:2,phase:2,pass\"",
            &form,
            "",
        ),
        (
            "access on",
            "SecRequestBodyAccess Off\nSecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyAccess=On\"\nSecRule ARGS:b \"@eq 2\" \"id:2,phase:2,pass\"",
            &form,
            "2",
        ),
        (
            "the limit",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyLimit=5\"\nSecAction \"id:2,phase:2,pass\"",
            &form,
            "deny:413@2",
        ),
    ]);
}

#[test]
fn of_the_response_body() {
    check_all(&[
        (
            "access on",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:responseBodyAccess=On\"\nSecRule RESPONSE_BODY \"@contains hello\" \"id:2,phase:4,pass\"",
            "GET /",
            "2",
        ),
        (
            "access off, in phase 3",
            "SecResponseBodyAccess On\nSecAction \"id:1,phase:3,pass,nolog,ctl:responseBodyAccess=Off\"\nSecRule RESPONSE_BODY \"@contains hello\" \"id:2,phase:4,pass\"",
            "GET /",
            "",
        ),
        (
            "the limit",
            "SecResponseBodyAccess On\nSecResponseBodyLimitAction ProcessPartial\nSecAction \"id:1,phase:1,pass,nolog,ctl:responseBodyLimit=5\"\nSecRule RESPONSE_BODY \"@streq <p>he\" \"id:2,phase:4,pass\"\nSecRule OUTBOUND_DATA_ERROR \"@eq 1\" \"id:3,phase:4,pass\"",
            "GET /",
            "2 3",
        ),
    ]);
}

/// What they change is read by the audit record; here they only must be taken.
#[test]
fn of_the_audit_log() {
    for control in [
        "auditEngine=On",
        "auditEngine=RelevantOnly",
        "auditLogParts=+E",
        "auditLogParts=-C",
        "auditLogParts=ABZ",
    ] {
        check(
            control,
            &format!("SecAction \"id:1,phase:1,pass,ctl:{control}\""),
            "GET /",
            "1",
        );
    }
}

#[test]
fn what_a_front_door_adds() {
    let json =
        Exchange::parse("POST /\nContent-Type: application/json; charset=utf-8\n\n{\"a\":1}");
    let xml = Exchange::parse("POST /\nContent-Type: application/soap+xml\n\n<a b=\"1\">2</a>");
    let text = "SecRule ARGS:json.a \"@eq 1\" \"id:1,phase:2,pass\"\nSecRule XML:/* \"@streq 2\" \"id:2,phase:2,pass\"\nSecRule XML://@* \"@streq 1\" \"id:3,phase:2,pass\"";
    let front = load(builder(text).front_door());
    judge("JSON", &play(&front, &json), "1");
    judge("XML", &play(&front, &xml), "2 3");
    let plain = build(text);
    judge("JSON without", &play(&plain, &json), "");
    let off = load(builder(&format!("SecRequestBodyAccess Off\n{text}")).front_door());
    judge("what the rules say counts", &play(&off, &json), "");
}

#[test]
fn what_could_not_be_inspected() {
    let bad = Exchange::parse("POST /\nContent-Type: application/json\n\n{\"a\":");
    let big =
        Exchange::parse("POST /\nContent-Type: application/x-www-form-urlencoded\n\na=123456789");
    let many = Exchange::parse("GET /?a=1&b=2&c=3");
    let base = "SecArgumentsLimit 2\nSecRequestBodyLimit 8\n";
    let judge_it = "SecRule REQBODY_ERROR \"!@eq 0\" \"id:1,phase:2,pass,setvar:tx.said=1\"\n";
    let strict = |more: &str| {
        load(
            builder(&format!("{base}{more}{judge_it}"))
                .front_door()
                .block_uninspected(true),
        )
    };
    let lax = load(builder(&format!("{base}{judge_it}")).front_door());
    judge("an error", &play(&strict(""), &bad), "1 said=1 deny:400@2");
    judge("an error, not refused", &play(&lax, &bad), "1");
    judge("over the limit", &play(&strict(""), &big), "deny:413@2");
    judge(
        "over the limit, refused by default",
        &play(&lax, &big),
        "deny:413@2",
    );
    judge(
        "the rules said partial",
        &play(&strict("SecRequestBodyLimitAction ProcessPartial\n"), &big),
        "",
    );
    judge(
        "too many arguments in a query",
        &play(&strict(""), &many),
        "1 deny:400@2",
    );
    judge("not refused", &play(&lax, &many), "1");
    let allow = "SecAction \"id:2,phase:1,allow\"\n";
    judge("what the rules allowed", &play(&strict(allow), &many), "2");
    let detect = load(
        builder(&format!("{base}{judge_it}"))
            .engine(waf::EngineMode::DetectionOnly)
            .front_door()
            .block_uninspected(true),
    );
    for exchange in [&bad, &big, &many] {
        assert!(
            play(&detect, exchange).interruption().is_none(),
            "nothing is blocked in detection"
        );
    }
}
