//! `drawbridge check` as a user runs it: what it says, where, and how it exits.

use std::fs;
use std::process::{Command, Output};

use dev_pki::{Authority, LeafOptions};
use tempfile::TempDir;

use support::materials;

pub(super) const GOOD: &str = r#"state_dir = "state"
[listeners.public]
bind = ["127.0.0.1:8443"]
certificates = [{ chain = "api.pem", key = "api.key" }]
[trust.onprem]
ca = ["ca.pem"]
[upstreams.orders]
servers = ["127.0.0.1:9443"]
tls = { server_name = "orders.corp.test", trust = "onprem" }
[policies.default]
mode = "detect"
rules = ["@baseline"]
[[routes]]
name = "orders"
hosts = ["api.demo.test"]
paths = ["/orders/"]
listeners = ["public"]
upstream = "orders"
policy = "default"
[exposures.public]
routes = ["orders"]
listeners = ["public"]
owner = "orders team"
"#;

#[test]
fn exit_codes_and_streams() {
    let folder = Folder::new("exit");
    folder.write("good.toml", GOOD);
    folder.write("warned.toml", &GOOD.replace("\"detect\"", "\"off\""));
    folder.write(
        "bad.toml",
        &GOOD.replace("upstream = \"orders\"", "upstream = \"order\""),
    );
    for (arguments, code, out, err) in [
        (&["--config", "good.toml"][..], 0, "good.toml: ok\n", ""),
        (
            &["--config", "warned.toml"],
            0,
            "warned.toml: ok, 1 warning\n",
            "warned.toml:11:8: warning: policy \"default\" is off: nothing is inspected\n11 | mode = \"off\"\n   |        ^^^^^\n",
        ),
        (
            &["--config", "bad.toml"],
            1,
            "bad.toml: 1 error\n",
            "bad.toml:18:12: error: there is no upstream \"order\"\n18 | upstream = \"order\"\n   |            ^^^^^^^\n  help: did you mean \"orders\"?\n",
        ),
        (
            &["--config", "none.toml"],
            1,
            "none.toml: 1 error\n",
            "none.toml:1:1: error: cannot read the configuration: there is no such file\n",
        ),
    ] {
        let output = folder.check(arguments);
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            err,
            "{arguments:?}"
        );
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            out,
            "{arguments:?}"
        );
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    for usage in [&["--config"][..], &["--confg", "good.toml"]] {
        assert_eq!(folder.check(usage).status.code(), Some(2), "{usage:?}");
    }
}

#[test]
fn machines_read_json() {
    let folder = Folder::new("json");
    folder.write("bad.toml", &GOOD.replace("mode", "mod"));
    let output = folder.check(&["--config", "bad.toml", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["errors"], 2);
    let problem = &report["problems"][1];
    assert_eq!(problem["file"], "bad.toml");
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&11.into(), &1.into())
    );
    assert_eq!(
        problem["message"],
        "unknown key \"mod\" in policy \"default\""
    );
    assert_eq!(problem["help"], "did you mean \"mode\"?");
}

#[test]
fn the_configuration_is_found_without_being_named() {
    let folder = Folder::new("found");
    let output = folder.check(&["--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let told = report["error"].as_str().unwrap();
    assert!(
        told.contains("--config") && told.contains("/etc/drawbridge/drawbridge.toml"),
        "{told}"
    );

    folder.write("other.toml", GOOD);
    folder.write("drawbridge.toml", GOOD);
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said(&folder.check(&[])), "drawbridge.toml: ok\n");
    assert_eq!(
        said(&folder.check(&["-c", "other.toml"])),
        "other.toml: ok\n"
    );
    let by_environment = folder
        .command(&["check"])
        .env("DRAWBRIDGE_CONFIG", "other.toml")
        .output()
        .unwrap();
    assert_eq!(said(&by_environment), "other.toml: ok\n");
}

#[test]
fn arguments_that_are_no_text_are_wrong_usage() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new("bytes");
    let strange = std::ffi::OsStr::from_bytes(b"--\xff");
    let output = folder.command(&["check"]).arg(strange).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// Each verb that shows JSON shows JSON where it fails, wrong usage included, and nothing else.
#[test]
fn failures_are_json_where_json_is_asked_for() {
    let folder = Folder::new("failures");
    folder.write("broken.toml", "[listeners");
    folder.write("drawbridge.toml", GOOD);
    for (arguments, code) in [
        (&["check", "-c", "none.toml"][..], 1),
        (&["diff", "none.toml", "drawbridge.toml"], 2),
        (&["diff", "drawbridge.toml"], 2),
        (&["doctor", "upstream", "order"], 1),
        (&["doctor", "upstream", "orders", "-c", "broken.toml"], 1),
        (&["expose", "status"], 1),
        (&["expose", "off", "public"], 1),
        (&["expose", "off", "--all"], 1),
        (&["reload"], 1),
        (&["status"], 1),
        (&["healthcheck"], 1),
        (&["version", "--nonsense"], 2),
        (&["version", "--json", "--nonsense"], 2),
        (&["certs", "list", "-c", "broken.toml"], 1),
        (&["certs", "rehearse", "--trust", "onprm", "ca.pem"], 1),
        (&["certs", "rehearse", "--trust", "onprem", "none.pem"], 1),
        (&["rules", "list", "--policy", "none"], 1),
        (&["rules", "list", "--route", "none"], 1),
        (&["rules", "list", "--rules", "none.conf"], 1),
        (&["rules", "explain", "none.http"], 1),
        (&["rules", "test", "none"], 1),
        (&["rules", "replay", "--requests", "."], 2),
        (
            &[
                "rules",
                "replay",
                "--crs",
                "paranoia_levl=2",
                "--requests",
                ".",
            ],
            2,
        ),
        (
            &[
                "rules",
                "replay",
                "--crs",
                "paranoia_level=2",
                "--requests",
                ".",
            ],
            1,
        ),
        (&["rules", "check", "none.conf"], 1),
        (&["rules", "list", "--nonsense"], 2),
        (&["doctor", "upstream"], 2),
    ] {
        let output = folder
            .command(arguments)
            .args(["--output", "json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
        assert_eq!(report["ok"], false, "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn version_says_what_is_compiled_in() {
    let folder = Folder::new("version");
    let version = |arguments: &[&str]| {
        let output = folder.run(&[&["version"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json = version(&["--json"]);
    assert_eq!(json, version(&["--output", "json"]));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["engine"], waf::VERSION);
    assert!(report["openssl"].as_str().unwrap().starts_with("OpenSSL "));
    let human = version(&[]);
    for key in ["version", "engine", "pingora", "openssl", "target"] {
        let value = report[key].as_str().unwrap();
        assert!(human.contains(value), "{key}: {human}");
    }
}

/// What a shell gets when it asks this program for words.
#[test]
fn names_of_the_configuration_are_completed() {
    let folder = Folder::new("complete");
    folder.write("drawbridge.toml", GOOD);
    folder.write("other.toml", &GOOD.replace("orders", "billing"));
    for (words, expected) in [
        (&["doctor", "upstream", ""][..], "orders"),
        (&["doctor", "upstream", "-c", "other.toml", ""], "billing"),
        (&["expose", "off", ""], "public"),
        (&["rules", "list", "--policy", ""], "default"),
        (&["rules", "list", "--route", ""], "orders"),
        (&["certs", "rehearse", "--trust", ""], "onprem"),
        (&["rel"], "reload"),
    ] {
        let output = folder
            .command(&["--", "drawbridge"])
            .args(words)
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_IFS", "\n")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.lines().any(|line| line == expected),
            "{words:?}: {said}"
        );
    }
}

pub(super) struct Folder(pub(super) TempDir);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let folder = Self(tempfile::Builder::new().prefix(name).tempdir().unwrap());
        let authority = Authority::new("CA", 30).unwrap();
        let leaf = authority.leaf(&["api.demo.test"], &LeafOptions::default());
        leaf.unwrap()
            .write(
                &folder.0.path().join("api.pem"),
                &folder.0.path().join("api.key"),
            )
            .unwrap();
        fs::write(
            folder.0.path().join("ca.pem"),
            authority.certificate_pem().unwrap(),
        )
        .unwrap();
        folder
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> Output {
        self.run(&[&["check"], arguments].concat())
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What `rules explain` says of the request in the file `call`, and what it writes to standard error.
    fn explain_call(&self) -> (serde_json::Value, Vec<u8>) {
        let config = ["--config", "drawbridge.toml"];
        let explain = ["rules", "explain", "--output", "json", "call"];
        let output = self.run(&[&explain[..], &config[..]].concat());
        let found = serde_json::from_slice(&output.stdout).unwrap();
        (found, output.stderr)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command
            .args(arguments)
            .current_dir(&self.0)
            .env_remove("DRAWBRIDGE_CONFIG");
        command
    }
}

/// What `check` says of a configuration, warnings too, without the lines shown.
fn reported(folder: &Folder, text: &str) -> Vec<String> {
    folder.write("drawbridge.toml", text);
    let output = folder.check(&["--config", "drawbridge.toml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_told = |line: &&str| {
        let shown = line.split('|').next().unwrap_or_default().trim();
        !shown.is_empty() && !shown.bytes().all(|b| b.is_ascii_digit())
    };
    text.lines().filter(is_told).map(str::to_owned).collect()
}

fn with_rules(rules: &str) -> String {
    GOOD.replace("[\"@baseline\"]", rules)
}

#[test]
fn what_a_pattern_names_and_cannot_be_read_is_an_error() {
    let folder = Folder::new("globs");
    for name in ["r/sub.conf", "r[1]", "r1", "links", "conf.d/folder.toml"] {
        fs::create_dir_all(folder.0.path().join(name)).unwrap();
    }
    folder.write("r/a.conf", "SecAction \"id:1,phase:1,pass,nolog\"\n");
    folder.write("r[1]/a.conf", "SecAction \"id:11,phase:1,pass,nolog\"\n");
    folder.write("r1/a.conf", "SecAction \"id:12,phase:1,pass,nolog\"\n");
    let link =
        |to: &str, at: &str| std::os::unix::fs::symlink(to, folder.0.path().join(at)).unwrap();
    link("nowhere.conf", "links/b.conf");
    link("nowhere.toml", "conf.d/link.toml");
    link("nowhere", "current");
    for (rules, expected) in [
        (
            "[\"r/*.conf\"]",
            "drawbridge.toml:12:10: error: \"r/*.conf\" names r/sub.conf, and it is a folder",
        ),
        (
            "[\"@baseline\", \"links/*.conf\"]",
            "drawbridge.toml:12:23: error: \"links/*.conf\" names links/b.conf, and links/b.conf is a link to nothing",
        ),
        (
            "[\"links/b.conf\"]",
            "drawbridge.toml:12:10: error: cannot read the rule file \"links/b.conf\": links/b.conf is a link to nothing",
        ),
        (
            "[\"@baseline\", \"current/*.conf\"]",
            "drawbridge.toml:12:23: error: cannot list \"current/*.conf\": current is a link to nothing",
        ),
        (
            "[\"@baseline\", \"r[2]/a.conf\"]",
            "drawbridge.toml:12:23: error: there is no rule file \"r[2]/a.conf\"",
        ),
    ] {
        assert_eq!(reported(&folder, &with_rules(rules)), [expected], "{rules}");
    }
    for rules in ["[\"r[1]/a.conf\"]", "[\"r[1]/*.conf\"]", "[\"?[1]/a.*\"]"] {
        assert_eq!(reported(&folder, &with_rules(rules)), [""; 0], "{rules}");
        let list = folder.run(&["rules", "list", "--config", "drawbridge.toml"]);
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(
            list.contains("r[1]/a.conf:1") && !list.contains("r1/"),
            "{list}"
        );
    }
    let included = format!("include = [\"conf.d/*.toml\", \"conf.d/link.toml\"]\n{GOOD}");
    let expected = [
        "drawbridge.toml:1:12: error: \"conf.d/*.toml\" names conf.d/folder.toml, and it is a folder",
        "drawbridge.toml:1:12: error: \"conf.d/*.toml\" names conf.d/link.toml, and conf.d/link.toml is a link to nothing",
        "drawbridge.toml:1:29: error: \"conf.d/link.toml\" names no file: conf.d/link.toml is a link to nothing",
    ];
    assert_eq!(reported(&folder, &included), expected);
}

#[test]
fn plugins_that_are_not_there_are_no_news() {
    let folder = Folder::new("plugins");
    let rules = "[\"plugins/*-config.conf\", \"crs/plugins/*-before.conf\", \"@baseline\"]";
    assert_eq!(reported(&folder, &with_rules(rules)), [""; 0]);
    let own = "[\"own/*.conf\", \"@baseline\"]";
    let expected = ["drawbridge.toml:12:10: warning: \"own/*.conf\" names no file"];
    assert_eq!(reported(&folder, &with_rules(own)), expected);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let folder = Folder::new("bom");
    assert_eq!(reported(&folder, &format!("\u{feff}{GOOD}")), [""; 0]);
    let broken = format!("\u{feff}what = 1\n{GOOD}");
    assert!(reported(&folder, &broken)[0].starts_with("drawbridge.toml:1:1: error: unknown key"));
}

#[test]
fn tables_and_lists_are_told_apart() {
    let folder = Folder::new("tables");
    let route = GOOD.replace("[[routes]]\nname = \"orders\"", "[routes.orders]");
    let told_of_route = reported(&folder, &route).join("\n");
    for text in [
        "drawbridge.toml:13:2: error: \"routes\" is a list of tables, not a table",
        "help: write [[routes]] once for each, with its name inside: name = \"NAME\"",
    ] {
        assert!(told_of_route.contains(text), "{told_of_route}");
    }
    let policy = GOOD.replace("[policies.default]", "[[policies]]\nname = \"default\"");
    let told_of_policy = reported(&folder, &policy).join("\n");
    for text in [
        "drawbridge.toml:10:3: error: \"policies\" are tables with names, not a list",
        "help: write [policies.NAME] instead of [[policies]]",
    ] {
        assert!(told_of_policy.contains(text), "{told_of_policy}");
    }
}

#[test]
fn rules_that_skip_compressed_answers_are_told_of_where_clients_may_ask_for_them() {
    let folder = Folder::new("encoding");
    let rules = "SecResponseBodyAccess On\n\
        SecRule RESPONSE_HEADERS:Content-Encoding \"@pm gzip\" \"id:950010,phase:4,pass,nolog,skipAfter:END\"\n\
        SecRule RESPONSE_BODY \"@rx x\" \"id:950011,phase:4,deny\"\nSecMarker END\n";
    folder.write("own.conf", rules);
    let own = with_rules("[\"own.conf\"]");
    assert_eq!(reported(&folder, &own), [""; 0]);
    let mode = "mode = \"detect\"";
    let client = own.replace(mode, "mode = \"detect\"\nresponse_encoding = \"client\"");
    let expected = "drawbridge.toml:12:21: warning: clients may ask for compressed answers, which are not inspected: rule 950010 skips the rules on answers";
    assert_eq!(reported(&folder, &client), [expected]);
    let wrong = own.replace(mode, "mode = \"detect\"\nresponse_encoding = \"gzip\"");
    let expected =
        "drawbridge.toml:12:21: error: \"response_encoding\" must be \"identity\" or \"client\"";
    assert_eq!(reported(&folder, &wrong), [expected]);
}

#[test]
fn grpc_under_rules_that_know_no_grpc_is_told_what_to_write() {
    let folder = Folder::new("grpc");
    // The CRS's, in short.
    let rules = "SecRule &TX:allowed_request_content_type \"@eq 0\" \"id:901162,phase:1,pass,nolog,\\\n\
        setvar:'tx.allowed_request_content_type=|text/xml| |application/json|'\"\n\
        SecRule REQUEST_HEADERS:Content-Type \"@rx ^[^;\\s]+\" \"id:920420,phase:1,deny,capture,setvar:'tx.content_type=|%{tx.0}|',chain\"\n\
        SecRule TX:content_type \"!@within %{tx.allowed_request_content_type}\" \"t:lowercase\"\n";
    folder.write("own.conf", rules);
    let own = with_rules("[\"own.conf\"]").replace("paths =", "stream = \"grpc\"\npaths =");
    let line = "crs = { allowed_request_content_type = \"|text/xml| |application/json| |application/grpc| |application/grpc+proto|\" }";
    let expected = [
        "drawbridge.toml:16:10: warning: rule 920420 of policy \"default\" refuses gRPC calls: it does not know their content type".to_owned(),
        format!("  help: in [policies.default]: {line}"),
    ];
    assert_eq!(reported(&folder, &own), expected);
    let told_what = own.replace("mode = \"detect\"", &format!("mode = \"detect\"\n{line}"));
    assert_eq!(reported(&folder, &told_what), [""; 0]);
    folder.write(
        "call",
        "POST /orders/List HTTP/1.1\nHost: api.demo.test\nContent-Type: application/grpc+proto\n\n",
    );
    for (text, status) in [(&own, Some(403)), (&told_what, None)] {
        folder.write("drawbridge.toml", &text.replace("\"detect\"", "\"block\""));
        let (found, said) = folder.explain_call();
        assert_eq!(found["verdict"]["status"].as_u64(), status, "{found}");
        assert!(said.is_empty(), "warnings are for `check` to tell");
    }
}

#[test]
fn collections_are_one_for_all_policies_and_go_on_over_reloads() {
    let folder = Folder::new("store");
    folder.write(
        "own.conf",
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=x,setvar:ip.n=+1\"\n",
    );
    let two = "[policies.two]\nmode = \"block\"\nrules = [\"own.conf\"]\n[policies.default]";
    let text = with_rules("[\"own.conf\"]").replace("[policies.default]", two);
    folder.write("drawbridge.toml", &text);
    let path = folder.0.path().join("drawbridge.toml");
    let store = |config: &drawbridge::config::Config, policy: &str| {
        config.policies[policy].rules.live().unwrap().store()
    };
    let first = drawbridge::config::load(&path).unwrap().config;
    assert!(std::sync::Arc::ptr_eq(
        &store(&first, "default"),
        &store(&first, "two")
    ));
    let renamed = text
        .replace("policies.two", "policies.three")
        .replace("\"own.conf\"", "\"own.conf\", \"@baseline\"");
    folder.write("drawbridge.toml", &renamed);
    let (second, ..) = drawbridge::config::load_next(&path, &first);
    let second = second.unwrap().config;
    for policy in ["default", "three"] {
        assert!(std::sync::Arc::ptr_eq(
            &store(&first, "two"),
            &store(&second, policy)
        ));
    }
}

/// A policy's rules: the CRS as it comes, if it is there.
fn core_rule_set(name: &str) -> Option<String> {
    let crs = materials::shared(name)?;
    let crs = crs.display();
    Some(format!(
        "[\"{crs}/crs-setup.conf.example\", \"{crs}/plugins/*-config.conf\", \"{crs}/plugins/*-before.conf\", \
         \"{crs}/rules/*.conf\", \"{crs}/plugins/*-after.conf\"]"
    ))
}

#[test]
fn grpc_passes_the_core_rule_set_once_what_check_says_is_written() {
    let Some(rules) = core_rule_set("crs") else {
        return;
    };
    let folder = Folder::new("grpc-crs");
    let own = with_rules(&rules).replace("paths =", "stream = \"grpc\"\npaths =");
    let own = own.replace("\"detect\"", "\"block\"");
    let told_first = reported(&folder, &own);
    assert!(told_first[0].contains("rule 920420"), "{told_first:?}");
    let line = told_first[1].split_once("[policies.default]: ").unwrap().1;
    let mended = own.replace("mode = ", &format!("{line}\nmode = "));
    assert_eq!(reported(&folder, &mended), [""; 0]);
    let call = "POST /orders/List HTTP/1.1\nHost: api.demo.test\nContent-Type: application/grpc\nTE: trailers\n\
        User-Agent: grpc-go/1.70\nContent-Length: 0\n\n";
    folder.write("call", call);
    for (text, stopped) in [(&own, true), (&mended, false)] {
        folder.write("drawbridge.toml", text);
        let (found, _) = folder.explain_call();
        let matches = found["matches"].as_array().unwrap();
        let refused = matches.iter().any(|m| m["rule_id"] == 920_420);
        let is_deny = found["verdict"]["action"] == "deny";
        assert_eq!((refused, is_deny), (stopped, stopped), "{found}");
    }
}

#[test]
fn the_core_rule_set_as_it_comes_gives_no_warning() {
    for name in ["crs", "crs-3.3"] {
        let Some(rules) = core_rule_set(name) else {
            continue;
        };
        let folder = Folder::new(name);
        assert_eq!(reported(&folder, &with_rules(&rules)), [""; 0], "{name}");
    }
}

/// A policy of mode `detect` stops nothing, but the replay asks what it would stop.
#[test]
fn a_replay_compares_a_policy_with_other_rules_and_with_another_configuration() {
    let folder = Folder::new("replay");
    folder.write("drawbridge.toml", GOOD);
    folder.write(
        "own.conf",
        "SecRule ARGS:a \"@streq b\" \"id:1,phase:1,deny,status:403,log,msg:'b'\"\n",
    );
    folder.write(
        "b.http",
        "GET /orders/?a=b HTTP/1.1\nHost: api.demo.test\n\n",
    );
    folder.write(
        "attack.http",
        "GET /orders/?a=1'+or+'1'='1 HTTP/1.1\nHost: api.demo.test\n\n",
    );
    let replay = |arguments: &[&str]| {
        let fixed = ["rules", "replay", "--requests", ".", "--output", "json"];
        let output = folder.run(&[&fixed[..], arguments].concat());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{report}");
        let count = |key: &str| report[key].as_u64().unwrap();
        (count("newly_blocked"), count("newly_allowed"))
    };
    assert_eq!(replay(&["--rules", "own.conf"]), (1, 1));
    assert_eq!(
        replay(&["--rules", "@baseline", "--rules", "own.conf"]),
        (1, 0)
    );
    assert_eq!(
        replay(&["--policy", "default", "--against", "own.conf"]),
        (1, 1)
    );
    let other = GOOD.replace("[\"@baseline\"]", "[\"@baseline\", \"own.conf\"]");
    folder.write("new.toml", &other);
    let configurations = ["-c", "new.toml", "--against-config", "drawbridge.toml"];
    assert_eq!(replay(&configurations), (1, 0));
}
