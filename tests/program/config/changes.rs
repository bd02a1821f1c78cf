//! The sample with one change at a time.

use super::SAMPLE;
use super::folder::Folder;

/// One change of the sample each, and all that is told then.
#[test]
fn each_change_that_breaks_the_sample_is_told_where_it_stands() {
    const BIND: &str = "bind = [\"127.0.0.1:8443\"]";
    const TLS: &str = "tls = { server_name = \"orders.corp.test\", trust = \"onprem\" }";
    const HOSTS: &str = "hosts = [\"api.demo.test\"]";
    const LISTENERS: &str = "listeners = [\"public\"]";
    const METHODS: &str = "methods = [\"GET\", \"POST\"]";
    const RULES: &str = "rules = [\"@baseline\"]";
    const CRS: &str = "paranoia_level = 1, inbound_anomaly_score_threshold = 5";
    const MODE: &str = "mode = \"block\"";
    const CHAIN: &str = "chain = \"certs/public/api.pem\"";
    let cases: &[(&str, &str, &[&str])] = &[
        // Listeners
        (
            BIND,
            "bind = [\"0.0.0.0:8080\"]",
            &[
                "error 7:9: \"127.0.0.1:8080\" is already bound by \"0.0.0.0:8080\" at drawbridge.toml:3:9",
            ],
        ),
        (
            BIND,
            "bind = [\"127.0.0.1:0\"]",
            &[
                "warning 3:9: with port 0, \"127.0.0.1:0\" gets another free port at every start",
                "error 8:21: listener \"public\" has no fixed port",
            ],
        ),
        (
            BIND,
            "",
            &["error 2:12: listener \"public\" has no \"bind\""],
        ),
        (
            BIND,
            "bind = []",
            &["error 3:8: \"bind\" must not be empty"],
        ),
        (
            BIND,
            "bind = [8443]",
            &["error 3:9: an entry of \"bind\" must be a string, not an integer"],
        ),
        (
            "redirect_to_https = \"public\"",
            "redirect_to_https = \"plain\"",
            &["error 8:21: listener \"plain\" has no TLS: it redirects as well"],
        ),
        (
            "redirect_to_https = \"public\"",
            "",
            &[
                "error 6:12: listener \"plain\" has no \"certificates\"",
                "warning 6:12: nothing uses listener \"plain\"",
            ],
        ),
        (
            BIND,
            "bind = [\"127.0.0.1:8443\"]\nredirect_to_https = \"plain\"",
            &["error 4:21: a listener has \"certificates\" or \"redirect_to_https\", not both"],
        ),
        (
            CHAIN,
            "chain = \"certs/none.pem\"",
            &["error 4:27: cannot read certs/none.pem: there is no such file"],
        ),
        (
            CHAIN,
            "chain = \"certs/onprem-ca.pem\"",
            &["error 4:56: the key does not fit the certificate of \"CN=Demo On-Premises CA\""],
        ),
        (
            CHAIN,
            "chian = \"x\"",
            &[
                "error 4:17: a certificate has no \"chain\"",
                "error 4:19: unknown key \"chian\" in a certificate",
            ],
        ),
        // Trust and upstreams
        (
            "certs/onprem-ca.pem",
            "certs/public/api.pem",
            &[
                "error 14:7: certs/public/api.pem: the certificate of \"CN=api.demo.test\" is no CA certificate",
            ],
        ),
        (
            TLS,
            "tls = { server_name = \"10.1.2.3\", trust = \"onprem\" }",
            &[
                "error 18:23: \"server_name\" is an address, \"10.1.2.3\": give the gateway's certificate a DNS name and write that name; \"servers\" may be addresses",
            ],
        ),
        (
            TLS,
            "tls = { trust = \"onprem\" }",
            &["error 18:7: \"tls\" of upstream \"orders\" has no \"server_name\""],
        ),
        (
            TLS,
            "tls = { server_name = \"orders.corp.test\", trust = \"onprem\", verify = false }",
            &["error 18:61: unknown key \"verify\" in \"tls\" of upstream \"orders\""],
        ),
        (
            TLS,
            "",
            &[
                "warning 13:8: nothing uses trust \"onprem\"",
                "error 16:12: upstream \"orders\" has no \"tls\"",
            ],
        ),
        (
            "\"127.0.0.1:9443\"",
            "\"127.0.0.1:99999\"",
            &["error 17:12: \"127.0.0.1:99999\" is no server: \"99999\" is no port (1 to 65535)"],
        ),
        (
            TLS,
            "tls = { server_name = \"orders.corp.test\", trust = \"onprem\" }\nattempts = 0\nread_timeout = \"never\"",
            &[
                "error 19:12: \"attempts\" must be 1 to 16",
                "error 20:16: \"read_timeout\" must be a number and a unit (ms, s, m, h), like \"10s\": \"never\"",
            ],
        ),
        // Policies
        (
            MODE,
            "mode = \"off\"",
            &["warning 21:8: policy \"default\" is off: nothing is inspected"],
        ),
        (
            MODE,
            "mode = \"on\"",
            &["error 21:8: \"mode\" must be \"block\" or \"detect\" or \"off\""],
        ),
        (
            RULES,
            "",
            &["error 20:11: policy \"default\" has no \"rules\""],
        ),
        (
            RULES,
            "rules = []",
            &["error 22:9: \"rules\" must not be empty"],
        ),
        (
            RULES,
            "rules = [\"@baseline\", \"none/*.conf\"]",
            &["warning 22:23: \"none/*.conf\" names no file"],
        ),
        (
            RULES,
            "rules = [\"none/*.conf\"]",
            &[
                "error 20:11: policy \"default\" contains no rule: nothing would be inspected",
                "warning 22:10: \"none/*.conf\" names no file",
            ],
        ),
        (
            RULES,
            "rules = [\"certs\"]",
            &["error 22:10: \"certs\" is a folder: write \"certs/*.conf\""],
        ),
        (
            CRS,
            "paranoia_level = \"1\", allowed_methods = true, sampling_percentage = 101",
            &[
                "error 23:26: \"paranoia_level\" must be a whole number, not a string",
                "error 23:49: \"allowed_methods\" must be a whole number or a string, not a boolean",
                "error 23:77: \"sampling_percentage\" must be 0 to 100",
            ],
        ),
        (
            CRS,
            "inbound_anomaly_score_threshold = 99999999999999999999",
            &["error 23:43: \"inbound_anomaly_score_threshold\" must be 1 to 9223372036854775807"],
        ),
        (
            MODE,
            "mode = \"block\"\nrequest_body_limit = \"1GiB\"",
            &[
                "warning 20:11: policy \"default\" allows bodies of 1073741824 bytes, but [limits] body_memory is 268435456 for all",
            ],
        ),
        // Routes
        (
            HOSTS,
            "hosts = []",
            &["error 27:9: \"hosts\" must not be empty"],
        ),
        (
            HOSTS,
            "hosts = [\"other.test\"]",
            &[
                "error 26:8: nothing can reach route \"orders\": no certificate of its listeners covers its hosts, and sni is \"strict\"",
            ],
        ),
        (
            HOSTS,
            "hosts = [\"api.demo.test\", \"x.demo.test\"]",
            &[
                "warning 27:27: no certificate of the route's listeners covers \"x.demo.test\", and sni is \"strict\"",
            ],
        ),
        (HOSTS, "hosts = [\"*.demo.test\"]", &[]),
        (HOSTS, "hosts = [\"*\"]", &[]),
        (
            LISTENERS,
            "listeners = [\"plain\"]",
            &[
                "error 26:8: nothing can reach route \"orders\": its listeners only redirect",
                "warning 30:14: listener \"plain\" only redirects, no route is served there",
            ],
        ),
        (
            LISTENERS,
            "listeners = [\"public\", \"plain\", \"public\"]",
            &[
                "warning 30:24: listener \"plain\" only redirects, no route is served there",
                "warning 30:33: listener \"public\" is named twice",
            ],
        ),
        (
            LISTENERS,
            "listeners = [\"publik\"]",
            &["error 30:14: there is no listener \"publik\""],
        ),
        (
            METHODS,
            "methods = [\"get\", \"CONNECT\"]",
            &[
                "error 29:12: \"get\" is no method: they are case-sensitive, write \"GET\"",
                "error 29:19: CONNECT asks for a tunnel, which no route allows",
            ],
        ),
        (
            METHODS,
            "methods = [\"GET\"]\nstream = \"grpc\"",
            &["error 30:10: a gRPC call begins with POST, which \"methods\" leaves out"],
        ),
        (
            METHODS,
            "stream = \"websockets\"",
            &["error 29:10: \"stream\" must be \"websocket\" or \"grpc\" or \"sse\""],
        ),
        (
            METHODS,
            "encoded_slashes = true",
            &["error 29:19: \"encoded_slashes\" must be a string, not a boolean"],
        ),
        // Logs and the rest
        (
            "access = \"stdout\"",
            "access = \"logs/a.log\"",
            &["error 11:10: there is no folder for the file \"logs/a.log\""],
        ),
        (
            "access = \"stdout\"",
            "access = \"syslog://logs.test:514\"",
            &[
                "error 11:10: \"syslog://logs.test:514\" is no target: write \"syslog+tcp://HOST:PORT\" or \"syslog+tls://HOST:PORT\"",
            ],
        ),
        (
            "access = \"stdout\"",
            "access = \"syslog+tcp://logs.test\"",
            &["error 11:10: \"logs.test\" is no server: write \"host:port\""],
        ),
        (
            "access = \"stdout\"",
            "access = \"syslog+tls://logs.test:6514\"",
            &[
                "error 11:10: a target with TLS needs \"syslog_trust\": the trust bundle that the receiver's certificate must come from",
            ],
        ),
        (
            "access = \"stdout\"",
            "access = \"syslog+tls://logs.test:6514\"\nsyslog_trust = \"onprom\"",
            &["error 12:16: there is no trust \"onprom\""],
        ),
        (
            "access = \"stdout\"",
            "access = \"syslog+tcp://logs.test:601\"\nsyslog_trust = \"onprem\"",
            &[
                "error 12:16: \"syslog_trust\" is for a target \"syslog+tls://HOST:PORT\", and there is none",
            ],
        ),
        (
            "access = \"stdout\"",
            "format = \"common\"",
            &["error 11:10: \"format\" must be \"json\" or \"combined\" or \"ecs\""],
        ),
        (
            "[log]",
            "[telemetry]\n[log]",
            &["error 10:2: unknown key \"telemetry\" in the configuration"],
        ),
        (
            "[log]",
            "[limits]\nbody_memory = 5\n[log]",
            &["error 11:15: \"body_memory\" must be at least 1048576 bytes"],
        ),
        // Limits
        (
            "[log]",
            "[limits]\nbody_memory = \"16MiB\"\nbody_memroy = 5\n[limits.api]\nrate = \"1/s\"\n[log]",
            &[
                "error 12:1: unknown key \"body_memroy\" in [limits]",
                "warning 13:9: nothing uses limit \"api\"",
            ],
        ),
        (
            "[log]",
            "[limits.api]\nrate = \"100\"\nkey = [\"client\", \"ip\"]\ncount = \"status\"\naction = \"403\"\nburts = 1\n[log]",
            &[
                "warning 10:9: nothing uses limit \"api\"",
                "error 11:8: \"100\" is no rate: write a number from 1 to 1000000000 and /s, /m or /h, like \"100/s\"",
                "error 12:18: \"ip\" is no part of a key: write \"client\", \"route\", \"host\", \"header:NAME\", \"cookie:NAME\", \"query:NAME\" or \"identity:CLAIM\"",
                "error 13:9: \"status\" is nothing to count: write \"requests\", \"blocked\", \"status:401\", \"bytes\" or \"cost\"",
                "error 14:10: \"action\" must be \"429\" or \"block\" or \"close\" or \"tarpit\" or \"log\"",
                "error 15:1: unknown key \"burts\" in limit \"api\"",
            ],
        ),
        (
            "[log]",
            "[limits.api]\nrate = \"1/h\"\nburst = 9999\ndelay = \"1m\"\nmax_keys = 5\n[log]",
            &[
                "warning 10:9: nothing uses limit \"api\"",
                "error 12:9: limit \"api\" takes longer than a year to make room for a burst of 9999 again",
                "error 13:9: \"delay\" must be at most 30s: a held request holds its connection",
                "error 14:12: \"max_keys\" must be 1000 to 10000000",
            ],
        ),
        (
            "upstream = \"orders\"",
            "upstream = \"orders\"\nrate_limits = [\"api\"]",
            &["error 32:16: there is no limit \"api\""],
        ),
        (
            "policy = \"default\"",
            "policy = \"default\"\nrate_limits = [\"api\"]\n[limits.api]\nrate = \"1/s\"\nkey = [\"identity:sub\"]",
            &[
                "warning 33:16: limit \"api\" tells callers apart, but the route asks nobody who is calling: all its requests share one bucket",
            ],
        ),
        (
            "redirect_to_https = \"public\"",
            "redirect_to_https = \"public\"\nrate_limits = []",
            &["error 9:1: \"rate_limits\" is for listeners with certificates"],
        ),
    ];
    let folder = Folder::new();
    let mut wrong = Vec::new();
    for (old, new, expected) in cases {
        assert_eq!(SAMPLE.matches(old).count(), 1, "{old}");
        let diagnostics = folder.diagnostics(&SAMPLE.replace(old, new));
        if diagnostics != *expected {
            wrong.push(format!(
                "{new}\n  diagnostics {diagnostics:#?}\n  not {expected:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
