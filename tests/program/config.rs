//! Whole configuration files: the sample that the README shows, and broken ones with everything that is
//! wrong with them, each with its place.

mod changes;
mod folder;
mod openid;
mod otlp;
mod rules;
mod shadow;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dev_pki::{Authority, LeafOptions};
use drawbridge::config::{
    self, AccessFormat, ListenerKind, Loaded, LogSink, OffAnswer, OnUninspected, PolicyMode,
    SniPolicy, Stream,
};
use drawbridge::route::Lookup;

use folder::Folder;

const SAMPLE: &str = r#"
[listeners.public]
bind = ["127.0.0.1:8443"]
certificates = [{ chain = "certs/public/api.pem", key = "certs/public/api.key" }]

[listeners.plain]
bind = ["127.0.0.1:8080"]
redirect_to_https = "public"        # 308 to that listener's port, for hosts some route of it names; others 404

[log]
access = "stdout"                   # stdout | off | a file

[trust.onprem]
ca = ["certs/onprem-ca.pem"]

[upstreams.orders]
servers = ["127.0.0.1:9443"]
tls = { server_name = "orders.corp.test", trust = "onprem" }     # client_certificate = { chain = "...", key = "..." } where the gateway asks for one

[policies.default]
mode = "block"                      # block | detect | off; must be written
rules = ["@baseline"]               # compiled into the binary from rules/baseline/; or files and globs: the CRS, own rules
crs = { paranoia_level = 1, inbound_anomaly_score_threshold = 5 }   # sets the tx.* variables the CRS documents

[[routes]]
name = "orders"
hosts = ["api.demo.test"]           # exact, or "*.example.com", or "*": any Host or none
paths = ["/orders/"]                # a trailing slash is a prefix at a segment boundary; without it the path is exact
methods = ["GET", "POST"]            # left out: all but CONNECT and TRACE
listeners = ["public"]
upstream = "orders"
policy = "default"
"#;

/// Its one exposure.
const EXPOSURE: &str = r#"[exposures.public]
routes = ["orders"]
listeners = ['public']
owner = "orders team"
"#;

#[test]
fn logs_go_to_syslog_over_tls_if_the_receiver_is_verified() {
    let folder = Folder::new();
    let log = "access = \"syslog+tls://[::1]:6514\"\naudit = \"syslog+tcp://Logs.test:601\"\nsyslog_trust = \"onprem\"\nformat = \"ecs\"";
    let Loaded { config, .. } = folder
        .load(&SAMPLE.replace("access = \"stdout\"", log))
        .unwrap();
    assert_eq!(config.log.format, AccessFormat::Ecs);
    let LogSink::Syslog(access) = &config.log.access else {
        panic!("{:?}", config.log.access);
    };
    let trust = access.trust.as_ref().unwrap();
    assert_eq!(
        (&*access.host, access.port, &*trust.name),
        ("::1", 6514, "onprem")
    );
    let LogSink::Syslog(audit) = &config.log.audit else {
        panic!("{:?}", config.log.audit);
    };
    assert_eq!(
        (&*audit.host, audit.port, &audit.trust),
        ("logs.test", 601, &None)
    );
}

#[test]
fn exposures_name_what_exists_and_each_pair_once() {
    let folder = Folder::new();
    let sample = format!("state_dir = \"state\"{SAMPLE}{EXPOSURE}");
    let Loaded { config, .. } = folder.load(&sample).unwrap();
    let exposure = config.exposures.of("orders", "public").unwrap();
    assert_eq!(
        (&*exposure.name, &*exposure.owner),
        ("public", "orders team")
    );
    assert_eq!(exposure.off, OffAnswer::Unavailable);
    assert!(config.state_dir.unwrap().ends_with("state"));

    let line = |text: &str| {
        let before = sample.split(text).next().unwrap();
        before.matches('\n').count() + 1
    };
    let table = line("[exposures.public]");
    for (old, new, expected) in [
        (
            "routes = [\"orders\"]",
            "routes = [\"order\"]",
            format!("error {}:11: there is no route \"order\"", table + 1),
        ),
        (
            "listeners = ['public']\nowner",
            "listeners = [\"publik\"]\nowner",
            format!("error {}:14: there is no listener \"publik\"", table + 2),
        ),
        (
            "owner = \"orders team\"",
            "owner = \" \"",
            format!("error {}:9: \"owner\" must not be empty", table + 3),
        ),
        (
            "owner = \"orders team\"",
            "owner = \"a\"\noff = \"500\"",
            format!(
                "error {}:7: \"off\" must be \"503\" or \"404\" or \"close\"",
                table + 4
            ),
        ),
        (
            "listeners = ['public']\nowner",
            "listeners = ['public', \"plain\"]\nowner",
            format!(
                "warning {}:24: listener \"plain\" only redirects: there is nothing to switch",
                table + 2
            ),
        ),
        (
            "owner = \"orders team\"",
            "owner = \"a\"\n[exposures.again]\nroutes = [\"orders\"]\nlisteners = ['public']\nowner = \"b\"",
            format!(
                "error {}:12: exposure \"again\" claims route \"orders\" on listener \"public\", which exposure \"public\" at drawbridge.toml:{table}:12 claims",
                table + 4
            ),
        ),
        (
            EXPOSURE,
            "",
            format!(
                "warning {}:8: route \"orders\" on listener \"public\" has no owner: no exposure names it",
                line("name = \"orders\"")
            ),
        ),
        (
            "state_dir = \"state\"",
            "",
            format!(
                "warning {table}:12: there is no \"state_dir\": an exposure that is switched off is on again after a restart"
            ),
        ),
    ] {
        let text = sample.replace(old, new);
        assert_ne!(text, sample, "{old}");
        let diagnostics = folder.diagnostics_with_owners(&text);
        assert_eq!(
            diagnostics.first(),
            Some(&expected),
            "{new}: {diagnostics:?}"
        );
    }
}

#[test]
fn events_need_a_folder_and_settings_that_make_sense() {
    let folder = Folder::new();
    let lines = SAMPLE.matches('\n').count();
    let load = |top: &str, keys: &str| folder.load(&format!("{top}{SAMPLE}[events]\n{keys}"));
    let Loaded { config, .. } = load("state_dir = \"state\"", "max_age = \"7d\"").unwrap();
    let events = config.events.unwrap();
    assert_eq!(events.max_age, Duration::from_secs(7 * 24 * 60 * 60));
    assert!(!events.replica.is_empty());
    let told =
        |top: &str, keys: &str| folder.diagnostics(&format!("{top}{SAMPLE}[events]\n{keys}"));
    assert_eq!(
        told(
            "",
            "sample = 1.5\nmax_age = \"10s\"\nmax_bytes = \"1KiB\"\npayload = \"open\"\nreplica = \"..\"\nbody_bytes = \"9MiB\""
        ),
        [
            format!("error {}:10: \"sample\" must be 0 to 1", lines + 2),
            format!(
                "error {}:11: \"max_age\" must be a number and a unit (d, h, m), like \"10h\": \"10s\"",
                lines + 3
            ),
            format!(
                "error {}:13: \"max_bytes\" must be at least 1048576 bytes",
                lines + 4
            ),
            format!(
                "error {}:11: \"payload\" must be \"masked\" or \"plain\" or \"sealed\"",
                lines + 5
            ),
            format!(
                "error {}:11: \"replica\" must not begin with \".\"",
                lines + 6
            ),
            format!(
                "error {}:14: \"body_bytes\" must be at most 8388608 bytes",
                lines + 7
            ),
        ]
    );
    assert_eq!(
        told("", "max_age = \"30m\""),
        [format!(
            "error {}:11: \"max_age\" must be 1h to 3650d",
            lines + 2
        )]
    );
    let top = "state_dir = \"state\"";
    assert_eq!(
        told(top, "payload = \"sealed\""),
        [format!(
            "error {}:1: payload = \"sealed\" needs a \"recipient\"",
            lines + 1
        )]
    );
    assert_eq!(
        told(top, "payload = \"sealed\"\nrecipient = \"age1abc\""),
        [format!(
            "error {}:13: \"recipient\" is no recipient of age: write the public key that age-keygen shows, \"age1...\"",
            lines + 3
        )]
    );
    assert_eq!(
        told("", "sample = 0"),
        [format!(
            "error {}:1: [events] keeps requests in the \"state_dir\", and there is none",
            lines + 1
        )]
    );
}

#[test]
fn the_sample_loads_as_it_stands() {
    let folder = Folder::new();
    let Loaded {
        config, warnings, ..
    } = folder.load(SAMPLE).unwrap();
    assert_eq!(warnings, []);
    let names: Vec<_> = config.listeners.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["plain", "public"]);
    let ListenerKind::Redirect { listener, port } = &config.listeners[0].kind else {
        panic!("not a redirect");
    };
    assert_eq!((listener.as_str(), *port), ("public", 8443));
    let ListenerKind::Tls {
        certificates, sni, ..
    } = &config.listeners[1].kind
    else {
        panic!("no TLS");
    };
    assert_eq!(*sni, SniPolicy::Strict);
    assert_eq!(certificates[0].names, ["api.demo.test"]);
    let upstream = &config.upstreams["orders"];
    assert_eq!(upstream.tls.server_name, "orders.corp.test");
    assert!(Arc::ptr_eq(&upstream.tls.trust, &config.trust["onprem"]));
    assert_eq!(upstream.connect_timeout, Duration::from_secs(5));
    assert_eq!(upstream.read_timeout, Duration::from_secs(60));
    let policy = &config.policies["default"];
    assert_eq!(policy.mode, PolicyMode::Block);
    assert_eq!(policy.request_body_limit, 13_107_200);
    let found = config
        .routes
        .find("public", Some(b"api.demo.test:8443"), b"/orders/1", b"GET");
    let Lookup::Found(route) = found else {
        panic!("{found:?}");
    };
    assert_eq!(route.name, "orders");
    assert!(Arc::ptr_eq(route.upstream().unwrap(), upstream));
}

#[test]
fn every_problem_of_a_file_is_told_at_once_and_in_order() {
    let folder = Folder::new();
    let diagnostics = folder.diagnostics(
        r#"
include = ["conf.d/*.toml", "missing.toml"]
shutdown_timout = "10s"

[listeners.public]
bind = ["127.0.0.1:8443", "localhost:80", "127.0.0.1:8443"]
certificates = [{ chain = "certs/public/api.pem", key = "certs/onprem-ca.pem" }]
sni = "stict"
limits = { head_timeout = 10, connectons = 5, head_bytes = "64KB" }
trusted_proxies = ["10.0.0.1/8"]

[listeners.plain]
bind = "0.0.0.0:8080"
redirect_to_https = "publc"

[upstreams.orders]
servers = []
tls = { server_name = "", trust = "onpremm" }

[policies.default]
rules = ["@basline", "none.conf"]
crs = { paranoia_levle = 1, blocking_paranoia_level = 5 }

[[routes]]
name = "orders"
hosts = ["api.demo.test:443"]
paths = ["orders"]
method = ["GET"]
listeners = ["public"]
upstream = "order"
"#,
    );
    assert_eq!(
        diagnostics,
        [
            "warning 2:12: \"conf.d/*.toml\" names no file",
            "error 2:29: \"missing.toml\" names no file",
            "error 3:1: unknown key \"shutdown_timout\" in the configuration",
            "error 6:27: \"localhost:80\" cannot be bound: write an address of this machine and a port, like \"0.0.0.0:443\"",
            "error 6:43: \"127.0.0.1:8443\" is already bound by \"127.0.0.1:8443\" at drawbridge.toml:6:9",
            "error 7:57: certs/onprem-ca.pem holds a certificate and no key",
            "error 8:7: \"sni\" must be \"strict\" or \"any\"",
            "error 9:27: \"head_timeout\" must be a string with a unit, like \"10s\" or \"500ms\"",
            "error 9:31: unknown key \"connectons\" in \"limits\" of listener \"public\"",
            "error 9:60: \"head_bytes\" must be a number of bytes or a number and a unit (KiB, MiB, GiB): \"64KB\"",
            "error 10:20: \"10.0.0.1/8\" is no network: it begins at 10.0.0.0, so write \"10.0.0.0/8\"",
            "error 13:8: \"bind\" must be an array",
            "error 14:21: there is no listener \"publc\"",
            "error 17:11: \"servers\" must not be empty",
            "error 18:23: \"server_name\" must not be empty: without a name nothing could be verified",
            "error 18:35: there is no trust \"onpremm\"",
            "error 20:11: policy \"default\" has no \"mode\"",
            "warning 20:11: nothing uses policy \"default\"",
            "error 21:10: there are no compiled-in rules \"@basline\"",
            "error 21:22: there is no rule file \"none.conf\"",
            "error 22:9: the CRS documents no variable \"paranoia_levle\"",
            "error 22:55: \"blocking_paranoia_level\" must be 1 to 4",
            "error 24:1: route \"orders\" has no \"policy\"",
            "error 26:10: \"api.demo.test:443\" is not a host: leave out scheme and port, which belong to the listener",
            "error 27:10: \"orders\" is not a path: a path begins with a slash",
            "error 28:1: unknown key \"method\" in route \"orders\"",
            "error 30:12: there is no upstream \"order\"",
        ]
    );
}

#[test]
fn what_routes_answer_and_change_is_checked() {
    let folder = Folder::new();
    let wrong = r#"
redirect_hosts = ["*", "*.partner.test"]

[[routes]]
name = "both"
hosts = ["api.demo.test"]
paths = ["/both/"]
listeners = ["public"]
policy = "default"
upstream = "orders"
redirect = { to = "/orders/" }

[[routes]]
name = "moved"
hosts = ["*"]
paths = ["/moved/"]
path_regex = "/moved/(?<id>[0-9]+"
listeners = ["public"]
policy = "default"
redirect = { to = "https://{host}{path}", status = 301 }

[[routes]]
name = "gone"
hosts = ["api.demo.test"]
paths = ["/gone/"]
listeners = ["public"]
policy = "default"
respond = { status = 204, body = "gone", headers = { Content-Length = "4" } }
request_headers = { set = { Host = "x", X-A = "{nope}", X-B = " b" }, remove = ["a b"], sett = {} }
response_headers = { add = { X-Id = "{path.id}" } }

[[routes]]
name = "away"
hosts = ["api.demo.test"]
paths = ["/away/"]
stream = "sse"
listeners = ["public"]
policy = "default"
redirect = { to = "https://www.stranger.test{path}" }

[[routes]]
name = "kept"
hosts = ["api.demo.test"]
paths = ["/kept/"]
listeners = ["public"]
policy = "default"
redirect = { to = "https://www.partner.test{path}", status = 304 }
"#;
    let (top, routes) = wrong.split_once("\n\n").unwrap();
    let text = format!("{}{SAMPLE}{routes}", top.trim_start());
    assert_eq!(
        folder.diagnostics(&text),
        [
            "error 1:19: name the hosts: \"*\" would let redirects lead anywhere",
            "error 40:12: a route has one of \"upstream\", \"redirect\" and \"respond\"",
            "error 46:14: this is no regular expression: unclosed group",
            "error 49:19: the route takes any host, so {host} could lead anywhere",
            "error 57:34: an answer with status 204 has no body",
            "error 57:54: the field Content-Length cannot be changed here: it frames the answer",
            "error 58:29: the field Host cannot be changed here: it is for the hop to us (RFC 9110, 7.6.1); we write our own where one is needed",
            "error 58:47: there is no variable {nope}; there are path, query, below, host, path.NAME, client, request_id, method, route, listener, claim.NAME, tls.version, tls.cipher, tls.sni, tls.client_subject, tls.client_sha256",
            "error 58:63: \"X-B\" must have 1 to 8192 characters and no blank at an end",
            "error 58:81: \"a b\" is no name of a header field",
            "error 58:89: unknown key \"sett\" in \"request_headers\"",
            "error 59:20: {path.id} needs a \"path_regex\" with a group id",
            "error 65:10: \"stream\" is for routes with an \"upstream\"",
            "error 68:19: no route names the host \"www.stranger.test\", and \"redirect_hosts\" does not either",
            "error 76:62: \"status\" of a redirect must be 301, 302, 303, 307 or 308",
        ]
    );
}

#[test]
fn routes_that_claim_the_same_are_both_named() {
    let folder = Folder::new();
    let second = r#"
[[routes]]
name = "again"
hosts = ["API.demo.test."]
paths = ["/x", "/%6Frders/"]
methods = ["POST", "PUT"]
listeners = ["public"]
upstream = "orders"
policy = "default"

[[routes]]
name = "orders"
hosts = ["api.demo.test"]
paths = ["/orders/"]
methods = ["DELETE"]
listeners = ["public"]
upstream = "orders"
policy = "default"
"#;
    assert_eq!(
        folder.diagnostics(&format!("{SAMPLE}{second}")),
        [
            "error 35:8: route \"again\" claims what route \"orders\" at drawbridge.toml:26:8 claims: host \"api.demo.test\", path \"/%6Frders/\" on listener \"public\"",
            "error 44:8: route \"orders\" is already there at drawbridge.toml:26:8",
        ]
    );
}

#[test]
fn what_is_not_toml_is_told_and_the_rest_is_still_read() {
    let folder = Folder::new();
    let text = SAMPLE.replace("policy = \"default\"", "policy = \nupstrem = \"x\"");
    assert_eq!(
        folder.diagnostics(&text),
        [
            "error 32:10: string values must be quoted, expected literal string",
            "error 33:1: unknown key \"upstrem\" in route \"orders\"",
        ]
    );
    assert_eq!(
        folder.diagnostics("[listeners.public\nbind = [\"127.0.0.1:8443\"]\n"),
        ["error 1:18: unclosed table, expected `]`"]
    );
    folder.write("drawbridge.toml", b"\xff");
    let diagnostics = config::load(&folder.path("drawbridge.toml")).unwrap_err();
    assert!(diagnostics[0].message.contains("not UTF-8"));
    let diagnostics = config::load(Path::new("/nowhere/drawbridge.toml")).unwrap_err();
    assert_eq!(
        diagnostics[0].message,
        "cannot read the configuration: there is no such file"
    );
}

#[test]
fn a_configuration_can_stand_in_several_files() {
    let folder = Folder::new();
    let cut = SAMPLE.find("[trust.onprem]").unwrap();
    let (main, rest) = SAMPLE.split_at(cut);
    let main = format!("include = [\"conf.d/*.toml\"]\n{main}");
    folder.write("conf.d/50-orders.toml", rest.replace("certs/", "../certs/"));
    assert_eq!(folder.diagnostics(&main), [""; 0]);

    folder.write(
        "conf.d/60-more.toml",
        "include = [\"x\"]\n[log]\naccess = \"off\"\n[trust.onprem]\nca = [\"../certs/onprem-ca.pem\"]\n",
    );
    assert_eq!(
        folder.diagnostics(&main),
        [
            "error conf.d/60-more.toml:1:1: only the main file includes others",
            "error conf.d/60-more.toml:2:2: \"log\" is already set at drawbridge.toml:11:2",
            "error conf.d/60-more.toml:4:8: trust \"onprem\" is already there at conf.d/50-orders.toml:1:8",
        ]
    );
}

#[test]
fn every_key_is_read() {
    let folder = Folder::new();
    let onprem = Authority::new("Clients", 30).unwrap();
    let client = onprem.leaf(&["front"], &LeafOptions::default()).unwrap();
    client
        .write(
            &folder.path("certs/front.pem"),
            &folder.path("certs/front.key"),
        )
        .unwrap();
    folder.write("rules/own.conf", "SecAction \"id:1,phase:1,pass,nolog\"\n");
    let text = SAMPLE
        .replace(
            "[listeners.plain]",
            r#"sni = "any"
limits = { head_timeout = "5s", head_bytes = "32KiB", body_timeout = "1m", body_min_rate = 2048, body_rate_grace = "3s", handshake_timeout = "4s", idle_timeout = "30s", connections = 100, connections_per_address = 10, h2_streams = 50 }
trusted_proxies = ["10.0.0.0/8", "::1"]
[listeners.plain]"#,
        )
        .replace(
            "trust = \"onprem\" }",
            r#"trust = "onprem", client_certificate = { chain = "certs/front.pem", key = "certs/front.key" } }
connect_timeout = "1s"
read_timeout = "2s"
write_timeout = "3s"
idle_timeout = "4s"
attempts = 2"#,
        )
        .replace(
            "[[routes]]",
            r#"request_body_limit = "1MiB"
on_uninspected = "detect"
unparsed_bodies = "pass"
waf_budget_ms = 50
[policies.same]
mode = "block"
rules = ["@baseline"]
crs = { inbound_anomaly_score_threshold = 5, paranoia_level = 1 }
request_body_limit = 1048576
[policies.own]
mode = "detect"
rules = ["@baseline", "rules/*.conf"]
[[routes]]
name = "same"
hosts = ["*"]
paths = ["/same"]
listeners = ["public"]
upstream = "orders"
policy = "same"
[[routes]]
name = "own"
hosts = ["*"]
paths = ["/own"]
listeners = ["public"]
upstream = "orders"
policy = "own"
stream = "sse"
encoded_slashes = "pass"
[[routes]]"#,
        )
        .replace("[log]", "[limits]\nbody_memory = \"64MiB\"\n[log]\naudit = \"audit.log\"");
    let text = format!("shutdown_timeout = \"7s\"\n{text}");
    let Loaded {
        config, warnings, ..
    } = folder.load(&text).unwrap();
    assert_eq!(warnings, []);
    let public = &config.listeners[1];
    let limits = &public.limits;
    let seconds = Duration::from_secs;
    assert_eq!(
        (limits.head_timeout, limits.head_bytes),
        (seconds(5), 32 << 10)
    );
    assert_eq!(
        (limits.body_timeout, limits.body_min_rate),
        (seconds(60), 2048)
    );
    assert_eq!(
        (limits.body_rate_grace, limits.handshake_timeout),
        (seconds(3), seconds(4))
    );
    assert_eq!((limits.idle_timeout, limits.h2_streams), (seconds(30), 50));
    assert_eq!(
        (limits.connections, limits.connections_per_address),
        (100, 10)
    );
    assert!(public.trusted_proxies[0].contains("10.9.9.9".parse().unwrap()));
    assert!(public.trusted_proxies[1].contains("::1".parse().unwrap()));
    let upstream = &config.upstreams["orders"];
    assert!(upstream.tls.client_certificate.is_some());
    assert_eq!(
        (upstream.connect_timeout, upstream.read_timeout),
        (seconds(1), seconds(2))
    );
    assert_eq!(
        (upstream.write_timeout, upstream.idle_timeout),
        (seconds(3), seconds(4))
    );
    assert_eq!(upstream.attempts, 2);
    let rules = |name: &str| config.policies[name].rules.live().unwrap();
    assert!(!Arc::ptr_eq(rules("default"), rules("own")));
    assert_eq!(config.policies["default"].request_body_limit, 1 << 20);
    assert_eq!(
        config.policies["default"].on_uninspected,
        OnUninspected::Detect
    );
    let budget = Some(Duration::from_millis(50));
    assert_eq!(rules("default").budget(), budget);
    assert_eq!(rules("own").budget(), None);
    assert_eq!(config.policies["own"].mode, PolicyMode::Detect);
    let Lookup::Found(own) = config.routes.find("public", None, b"/own", b"PUT") else {
        panic!("no route");
    };
    assert_eq!(own.stream, Some(Stream::Sse));
    assert!(own.pass_encoded_slashes);
    assert_eq!(config.log.audit, LogSink::File(folder.path("audit.log")));
    assert_eq!(
        (config.body_memory, config.shutdown_timeout),
        (64 << 20, seconds(7))
    );
}

#[test]
fn looks_of_answers_are_checked() {
    let folder = Folder::new();
    folder.write("sound.html", "{{status}}");
    folder.write("wrong.html", "<p>\n {{nope}}");
    folder.write("wrong.json", "[]");
    let wrong = r#"
[security_headers.house]
hsts = { days = 30, subdomains = true, preload = true }
csp = "default-src 'none'; scriptsrc 'self'"
frame = "SAMEORIGIN"
permissions = "a\tb"
[error_pages.house]
html = { default = "sound.html", 200 = "sound.html", waff = "sound.html", 403 = "none.html" }
[error_pages.broken]
html = { 404 = "wrong.html" }
json = { default = "wrong.json" }
[error_pages.empty]
"#;
    let named = SAMPLE.replacen(
        "[listeners.public]",
        "[listeners.public]\nsecurity_headers = \"house\"\nerror_pages = \"hose\"",
        1,
    );
    let said = folder.diagnostics(&format!("{named}{wrong}"));
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    for expected in [
        "there is no set of error pages \"hose\"",
        "\"preload\" needs subdomains = true and 365 days or more: no browser lists the host otherwise",
        "CSP has no directive \"scriptsrc\"",
        "\"frame\" must be \"deny\" or \"same-origin\"",
        "\"permissions\" must have 1 to 8192 printable characters of ASCII and no blank at an end",
        "\"200\" is no refusal: write a status from 400 to 599, 4xx, 5xx, default, or one of body_too_large, client_certificate, \
         exposure_off, insufficient_scope, rate_limited, unauthenticated, upstream, waf",
        "\"waff\" is no refusal",
        "there is no variable {{nope}}; a page has {{status}}, {{title}} and {{request_id}}",
        "the page is no JSON object: ",
        "error pages \"empty\" have no page",
    ] {
        let found = said.iter().filter(|line| line.contains(expected));
        assert_eq!(found.count(), 1, "{expected}\n{}", said.join("\n"));
    }
}
