//! The configuration of a front door under test, and the folder that it is in.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::pki;
use crate::upstream::Upstream;

/// What a configuration says beside what all of them do.
#[derive(Default)]
pub struct Setup {
    /// Top-level keys.
    pub top: String,
    /// Of the listener `public`; 0 is any.
    pub port: u16,
    /// Of the listener `public`: further entries of its certificates, each with a comma.
    pub certificates: String,
    /// Of the listener `public`.
    pub listener: String,
    /// The rule files of the policy `default`, in quotes; `rules.conf` alone where empty.
    pub rules: String,
    /// Of the policy `default`, without `mode` and `rules`.
    pub policy: String,
    pub mode: &'static str,
    /// Of the upstream `orders`: its servers and TLS.
    pub servers: Vec<SocketAddr>,
    pub tls: String,
    pub upstream: String,
    /// The names of the route's hosts, in quotes; `api.test` alone where empty.
    pub hosts: String,
    /// Of the route.
    pub route: String,
    /// The names of the route's listeners, in quotes; `public` alone where empty.
    pub listeners: String,
    /// Further tables.
    pub more: String,
}

/// The rules of the tests.
pub const RULES: &str = r#"
SecRule ARGS "@contains attack" "id:1,phase:2,deny,status:403,log,msg:'an attack'"
SecRule REQUEST_HEADERS:X-Early "@streq attack" "id:2,phase:1,deny,status:403,log,msg:'early'"
SecRule REQUEST_HEADERS:X-Drop "@streq yes" "id:3,phase:1,drop,log,msg:'dropped'"
SecRule REQUEST_HEADERS:X-Redirect "@streq yes" "id:4,phase:1,redirect:https://else.test/,status:302,log,msg:'redirected'"
SecRule REQUEST_URI "@contains .." "id:5,phase:1,pass,log,msg:'dots'"
SecRule RESPONSE_HEADERS:X-Secret "@streq yes" "id:6,phase:3,deny,status:403,log,msg:'secret head'"
SecRule RESPONSE_BODY "@contains secret" "id:7,phase:4,deny,status:403,log,msg:'secret body'"
"#;

impl Setup {
    /// One upstream, signed by the corporate CA, taken for what it should be.
    pub fn to(upstream: &Upstream) -> Self {
        Self {
            servers: vec![upstream.address],
            ..Self::default()
        }
    }

    pub fn servers(servers: &[SocketAddr]) -> Self {
        Self {
            servers: servers.to_vec(),
            ..Self::default()
        }
    }

    /// A folder of its own with everything that is needed to run it, `rules` as `rules.conf` among it.
    pub fn write(&self, rules: &str) -> PathBuf {
        // Whoever runs it removes it.
        let folder = tempfile::tempdir().unwrap().keep();
        pki::write(&folder);
        std::fs::write(folder.join("rules.conf"), rules).unwrap();
        std::fs::write(folder.join("drawbridge.toml"), self.text()).unwrap();
        folder
    }

    pub fn text(&self) -> String {
        let or = |text: &str, default: &'static str| match text {
            "" => default.to_owned(),
            text => text.to_owned(),
        };
        let servers: Vec<String> = self.servers.iter().map(|s| format!("\"{s}\"")).collect();
        format!(
            r#"
{shutdown}
{top}
[listeners.public]
bind = ["127.0.0.1:{port}"]
certificates = [{{ chain = "front.pem", key = "front.key" }}{certificates}]
{listener}
[log]
access = "access.log"
[trust.onprem]
ca = ["corp-ca.pem"]
[upstreams.orders]
servers = [{servers}]
tls = {tls}
{upstream}
[policies.default]
mode = "{mode}"
rules = [{rules}]
{policy}
[[routes]]
name = "orders"
hosts = [{hosts}]
{route}
listeners = [{listeners}]
upstream = "orders"
policy = "default"
{more}
"#,
            shutdown = match self.top.contains("shutdown_timeout") {
                true => "",
                false => "shutdown_timeout = \"5s\"",
            },
            top = self.top,
            listeners = or(&self.listeners, "\"public\""),
            port = self.port,
            certificates = self.certificates,
            listener = self.listener,
            servers = servers.join(", "),
            tls = or(
                &self.tls,
                r#"{ server_name = "orders.corp.test", trust = "onprem" }"#
            ),
            upstream = self.upstream,
            mode = or(self.mode, "block"),
            rules = or(&self.rules, "\"rules.conf\""),
            policy = self.policy,
            hosts = or(&self.hosts, "\"api.test\""),
            route = or(
                &self.route,
                "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]"
            ),
            more = self.more,
        )
    }
}
