//! `[console.openid]`: what it means, and what is wrong with it.

use drawbridge::config::Loaded;
use drawbridge::role::Role;

use super::SAMPLE;
use super::folder::Folder;

const WHOLE: &str = r#"
[console]
bind = "127.0.0.1:9901"
hosts = ["console.test"]
[console.openid]
issuer = "https://login.test/realms/staff/"
client_id = "drawbridge"
client_secret = "secret"
redirect = "https://console.test:9901"
scopes = ["groups", "openid"]
trust = "onprem"
timeout = "3s"
[console.openid.roles]
security = { claim = "groups", values = ["waf", "soc"] }
viewer = { claim = "realm_access.roles", values = ["staff"] }
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path("secret"), "hidden\n").unwrap();
    folder
}

#[test]
fn a_provider_has_its_addresses_its_secret_and_its_roles() {
    let loaded = folder().load(&format!("{SAMPLE}{WHOLE}"));
    let Loaded { config, .. } = loaded.unwrap();
    let openid = config.console_openid.unwrap();
    assert_eq!(openid.issuer, "https://login.test/realms/staff/");
    assert_eq!(
        openid.discovery.url().to_string(),
        "https://login.test/realms/staff/.well-known/openid-configuration"
    );
    assert_eq!(
        openid.redirect,
        "https://console.test:9901/login/openid/callback"
    );
    assert_eq!(openid.scopes, "openid groups");
    let roles: Vec<_> = openid
        .roles
        .iter()
        .map(|given| (given.role, given.claim.as_str(), given.values.len()))
        .collect();
    let expected = [
        (Role::Security, "groups", 2),
        (Role::Viewer, "realm_access.roles", 1),
    ];
    assert_eq!(roles, expected);
    let shown = format!("{openid:?}");
    assert!(!shown.contains("hidden"), "secrets are never shown");
}

#[test]
fn each_mistake_of_a_provider_has_its_place_and_what_to_do() {
    for (old, new, expected) in [
        ("https://login.test", "login.test", "must be a URL like"),
        (
            "https://login.test",
            "http://login.test",
            "must be \"https://\"",
        ),
        ("/staff/", "/staff/?a=b", "must have no \"?\""),
        (
            "trust = \"onprem\"\ntimeout",
            "timeout",
            "needs a trust bundle",
        ),
        ("client_id = \"drawbridge\"", "", "no \"client_id\""),
        (
            "client_id = \"drawbridge\"",
            "client_id = \"a b\"",
            "without a blank",
        ),
        (
            "client_secret = \"secret\"",
            "client_secret = \"none\"",
            "cannot use",
        ),
        (
            "https://console.test:9901",
            "https://console.test/x",
            "without a path",
        ),
        (
            "https://console.test:9901",
            "http://console.test",
            "must be \"https://\"",
        ),
        (
            "https://console.test:9901",
            "https://other.test",
            "add \"other.test\" to \"hosts\"",
        ),
        ("[\"waf\", \"soc\"]", "[]", "at least one"),
        ("security = {", "root = {", "unknown key \"root\""),
        (
            "claim = \"groups\"",
            "clam = \"groups\"",
            "unknown key \"clam\"",
        ),
    ] {
        let written = WHOLE.replace(old, new);
        assert_ne!(written, WHOLE, "{old}");
        let found = folder().load(&format!("{SAMPLE}{written}")).unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let found = found.join("\n");
        assert!(found.contains(expected), "{new}: {found}");
        assert!(!found.contains("hidden"), "{found}");
    }
}
