//! The shadow of a policy: what is wrong with it, with its place, and what it takes over from the policy.

use super::SAMPLE;
use super::folder::Folder;

const RULES: &str = "rules = [\"@baseline\"] ";
const RULE: &str = "SecRule ARGS \"@rx a\" \"id:1,phase:2,deny\"\n";

/// The sample with a shadow in line 24.
fn with_shadow(shadow: &str) -> String {
    let sample = SAMPLE.replace(RULES, &format!("shadow = {shadow}\n{RULES}"));
    assert_ne!(sample, SAMPLE);
    sample
}

#[test]
fn what_is_wrong_with_a_shadow_is_told_where_it_stands() {
    let folder = Folder::new();
    folder.write("rules/own.conf", RULE);
    folder.write("rules/empty.conf", "");
    folder.write("rules/broken.conf", "SecRul x");
    let line = with_shadow("{}")
        .split("shadow = ")
        .next()
        .unwrap()
        .matches('\n')
        .count()
        + 1;
    for (shadow, expected) in [
        ("{ rules = [\"rules/own.conf\"] }", None),
        ("{ crs = { paranoia_level = 2 }, sample = 0 }", None),
        (
            "7",
            Some("error :10: \"shadow\" must be a table, not an integer"),
        ),
        (
            "{ sample = 0.5 }",
            Some(
                "error :10: the shadow of policy \"default\" has neither \"rules\" nor \"crs\": nothing could differ",
            ),
        ),
        (
            "{ rules = [\"rules/own.conf\"], sample = 2 }",
            Some("error :49: \"sample\" must be 0 to 1"),
        ),
        (
            "{ rules = [\"rules/own.conf\"], mode = \"block\" }",
            Some("error :40: unknown key \"mode\" in the shadow of policy \"default\""),
        ),
        (
            "{ crs = { paranoia = 2 } }",
            Some("error :20: the CRS documents no variable \"paranoia\""),
        ),
        (
            "{ rules = [\"rules/none.conf\"] }",
            Some("error :21: there is no rule file \"rules/none.conf\""),
        ),
        (
            "{ rules = [\"rules/empty.conf\"] }",
            Some("error :10: the shadow of policy \"default\" contains no rule"),
        ),
        (
            "{ rules = [\"@baseline\"] }",
            Some(
                "warning :10: the shadow of policy \"default\" has the policy's own rules and variables: nothing can differ",
            ),
        ),
        (
            "{ rules = [\"rules/broken.conf\"] }",
            Some("error rules/broken.conf:1:1: "),
        ),
    ] {
        let said = folder.diagnostics(&with_shadow(shadow));
        let expected = expected.map(|text| text.replace(" :", &format!(" {line}:")));
        match (expected, &said[..]) {
            (None, []) => {}
            (Some(text), [one]) => assert!(one.starts_with(&text), "{shadow}: {said:?}"),
            (expected, _) => panic!("{shadow}: expected {expected:?}, told {said:?}"),
        }
    }
}

#[test]
fn a_shadow_has_what_the_policy_has() {
    let folder = Folder::new();
    folder.write("rules/own.conf", RULE);
    let load = |shadow: &str| folder.load(&with_shadow(shadow)).unwrap().config;
    let config = load("{ rules = [\"rules/own.conf\"] }");
    let shadow = config.policies["default"].shadow.as_ref().unwrap();
    let ids: Vec<u64> = shadow.rules.summaries().map(|rule| rule.id).collect();
    assert_eq!(ids, [1]);
    assert_eq!(shadow.sample, 0.1);
    assert_ne!(shadow.rules_digest, config.policies["default"].rules_digest);

    let config = load("{ crs = { paranoia_level = 2 } }");
    let policy = &config.policies["default"];
    let count = |rules: &waf::RuleSet| rules.summaries().count();
    let shadow = policy.shadow.as_ref().unwrap();
    assert_eq!(count(&shadow.rules), count(policy.rules.live().unwrap()));
    assert_ne!(shadow.rules_digest, policy.rules_digest);
    // A shadow counts requests that it only sees; the policy's counters must not.
    assert!(!std::sync::Arc::ptr_eq(
        &shadow.rules.store(),
        &config.collections
    ));
}

#[test]
fn the_shadow_of_a_policy_that_is_off_sees_nothing() {
    let folder = Folder::new();
    folder.write("rules/own.conf", RULE);
    let text = with_shadow("{ rules = [\"rules/own.conf\"] }")
        .replace("mode = \"block\"", "mode = \"off\"");
    let loaded = folder.load(&text).unwrap();
    assert!(loaded.config.policies["default"].shadow.is_none());
    let warnings = loaded
        .warnings
        .iter()
        .map(|warning| warning.message.as_str());
    let expected = "policy \"default\" is off: its shadow sees nothing";
    assert!(
        warnings.clone().any(|warning| warning == expected),
        "{:?}",
        loaded.warnings
    );
}
