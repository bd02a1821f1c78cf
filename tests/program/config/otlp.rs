//! `[otlp]`: what it means, and what is wrong with it.

use drawbridge::config::{Loaded, LogSink};
use drawbridge::telemetry::otlp::Continue;

use super::SAMPLE;
use super::folder::Folder;

const WHOLE: &str = r#"
[otlp]
url = "https://collector.test:4318/base/"
trust = "onprem"
proxy = "http://proxy.test:3128"
proxy_credentials = "proxy"
authorization = "token"
timeout = "3s"
sample = 0.5
traceparent = "always"
service = "edge"
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path("proxy"), "me:hidden\n").unwrap();
    std::fs::write(folder.path("token"), "Bearer hidden\n").unwrap();
    std::fs::write(folder.path("empty"), "\n").unwrap();
    folder
}

#[test]
fn a_collector_has_its_trust_its_proxy_and_its_secrets() {
    let log = SAMPLE.replace("access = \"stdout\"", "access = \"otlp\"\naudit = \"otlp\"");
    let Loaded { config, .. } = folder().load(&format!("{log}{WHOLE}")).unwrap();
    assert_eq!(
        (&config.log.access, &config.log.audit),
        (&LogSink::Otlp, &LogSink::Otlp)
    );
    let otlp = config.otlp.unwrap();
    let traces = otlp.traces.as_ref().unwrap();
    assert_eq!(
        traces.url().to_string(),
        "https://collector.test:4318/base/v1/traces"
    );
    assert_eq!(
        otlp.logs.url().to_string(),
        "https://collector.test:4318/base/v1/logs"
    );
    let settings = traces.settings();
    assert_eq!(settings.trust.as_ref().unwrap().name, "onprem");
    assert_eq!(settings.limits.whole.as_secs(), 3);
    assert_eq!(
        settings.limits.connect.as_secs(),
        3,
        "not longer than all of it"
    );
    assert!(settings.proxy.is_some());
    assert_eq!((otlp.sample, otlp.continues), (0.5, Continue::Always));
    assert_eq!(otlp.service, "edge");
    assert!(
        !format!("{otlp:?}").contains("hidden"),
        "secrets are never shown"
    );
}

#[test]
fn each_mistake_has_its_place_and_what_to_do() {
    let faulty = |old: &str, new: &str| {
        let written = WHOLE.replace(old, new);
        assert_ne!(written, WHOLE, "{old}");
        let found = folder().load(&format!("{SAMPLE}{written}")).unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        found.join("\n")
    };
    for (old, new, expected) in [
        (
            "https://collector.test:4318/base/",
            "collector:4318",
            "must be a URL like",
        ),
        (
            "https://collector.test",
            "https://me:pw@collector.test",
            "must hold no user",
        ),
        (
            "https://collector.test:4318/base/",
            "https://collector.test:4318/base/?key=hidden",
            "must have no \"?\"",
        ),
        ("https://", "http://", "must be \"https://\""),
        ("trust = \"onprem\"", "", "needs a trust bundle"),
        (
            "trust = \"onprem\"",
            "trust = \"onpremise\"",
            "there is no trust \"onpremise\"",
        ),
        (
            "http://proxy.test:3128",
            "https://proxy.test",
            "\"proxy\" must be like",
        ),
        ("proxy = \"http://proxy.test:3128\"\n", "", "there is none"),
        (
            "proxy_credentials = \"proxy\"",
            "proxy_credentials = \"none\"",
            "cannot use",
        ),
        (
            "proxy_credentials = \"proxy\"",
            "proxy_credentials = \"empty\"",
            "cannot use",
        ),
        (
            "proxy_credentials = \"proxy\"",
            "proxy_credentials = \"token\"",
            "USER:PASSWORD",
        ),
        ("sample = 0.5", "sample = 2", "\"sample\" must be 0 to 1"),
        ("\"always\"", "\"sometimes\"", "\"traceparent\" must be"),
        (
            "service = \"edge\"",
            "service = \"\"",
            "\"service\" must be a name",
        ),
        ("service", "sevice", "unknown key \"sevice\""),
    ] {
        // `Bearer hidden` has no colon, so as credentials it is wrong.
        let found = faulty(old, new);
        assert!(found.contains(expected), "{new}: {found}");
        assert!(
            !found.contains("hidden") && !found.contains(":pw@"),
            "{found}"
        );
    }
}

#[test]
fn a_log_for_a_collector_needs_one() {
    let log = SAMPLE.replace("access = \"stdout\"", "access = \"otlp\"");
    let found = Folder::new().load(&log).unwrap_err();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found[0].contains("there is no such table"), "{found:?}");
}

#[test]
fn a_bundle_that_is_called_system_is_not_mistaken_for_the_systems() {
    let written = WHOLE.replace("\"onprem\"", "\"system\"");
    let both = format!("{SAMPLE}[trust.system]\nca = [\"certs/onprem-ca.pem\"]\n{written}");
    let found = folder().load(&both).unwrap_err();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        found
            .iter()
            .any(|found| found.contains("give that another name")),
        "{found:?}"
    );
}
