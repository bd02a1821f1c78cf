//! The rules of policies as a configuration loads them: the CRS as it is, and problems with their places.

use drawbridge::config::Loaded;
use support::materials;

use super::SAMPLE;
use super::folder::Folder;

#[test]
fn the_crs_loads_unmodified_with_the_documented_variables() {
    let Some(crs) = materials::crs() else { return };
    let crs = crs.display();
    let rules = format!("{crs}/crs-setup.conf.example\", \"{crs}/rules/*.conf");
    let folder = Folder::new();
    let Loaded {
        config, warnings, ..
    } = folder.load(&SAMPLE.replace("@baseline", &rules)).unwrap();
    assert_eq!(warnings, []);
    let rules = config.policies["default"].rules.live().unwrap();
    assert!(rules.summaries().count() > 500);
}

#[test]
fn an_audit_that_nobody_writes_is_told() {
    let folder = Folder::new();
    let rules = SAMPLE.replace("@baseline", "rules/own.conf");
    let audited = rules.replace("[log]", "[log]\naudit = \"stdout\"");
    for (engine, diagnostics) in [
        ("On", true),
        ("RelevantOnly", true),
        ("Off", false),
        ("", false),
    ] {
        let directive = match engine {
            "" => String::new(),
            engine => format!("SecAuditEngine {engine}\n"),
        };
        let rule = "SecAction \"id:1,phase:1,pass,nolog\"\n";
        folder.write("rules/own.conf", format!("{directive}{rule}"));
        let expected = format!(
            "warning 20:11: the rules of policy \"default\" say SecAuditEngine {engine}, but nothing is recorded: \
             [log] audit is off"
        );
        let expected = if diagnostics {
            vec![expected]
        } else {
            Vec::new()
        };
        assert_eq!(folder.diagnostics(&rules), expected, "{engine}");
        assert_eq!(folder.diagnostics(&audited), [""; 0], "{engine}");
    }
}

#[test]
fn problems_of_rules_are_told_once_with_their_own_place() {
    let folder = Folder::new();
    folder.write(
        "rules/broken.conf",
        "SecAction \"id:1,phase:1,pass,nolog\"\nSecRuel ARGS x\n",
    );
    let two = format!(
        "{}\n[policies.two]\nmode = \"detect\"\nrules = [\"rules/broken.conf\"]\n",
        SAMPLE.replace("@baseline", "rules/broken.conf")
    );
    let diagnostics = folder.diagnostics(&two);
    assert!(
        diagnostics
            .iter()
            .any(|line| line.starts_with("error rules/broken.conf:2:1: ")),
        "{diagnostics:?}"
    );
    let broken = diagnostics
        .iter()
        .filter(|line| line.contains("broken.conf"));
    assert_eq!(broken.count(), 1, "{diagnostics:?}");
}
