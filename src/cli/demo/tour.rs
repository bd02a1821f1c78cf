//! The text that the demo prints: where each part listens, and what to try.
//!
//! Every command is complete and quoted, so that it can be pasted into another terminal.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod};

use super::certificates::Certificates;
use super::files::Folder;
use super::network::{Addresses, BILLING, ORDERS, PUBLIC_HOST};
use crate::cli::console::log_in;
use crate::cli::front_door::{FrontDoor, Location};
use crate::review::escape::shell_word;
use crate::role::Role;

/// The pause between two attempts to reach the front door.
const RETRY: Duration = Duration::from_millis(50);
/// How long one attempt may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Tour {
    public_ca: PathBuf,
    /// Where a client on this machine reaches the front door.
    front: SocketAddr,
    /// The front door as the command line finds it, which makes the link to the console.
    front_door: FrontDoor,
    text: String,
    /// What stands above the link.
    console: String,
}

impl Tour {
    pub(super) fn new(
        folder: &Folder,
        at: Addresses,
        certificates: Certificates,
        replaced: Option<PathBuf>,
    ) -> Self {
        let public_ca = folder.path("certs/public-ca.pem");
        let front = reachable(at.public);
        let text = [
            situation(folder, &at, certificates, replaced.as_deref()),
            requests(&public_ca, front, at.orders),
            switches(folder),
        ]
        .concat();
        Self {
            public_ca,
            front,
            front_door: FrontDoor {
                at: Location {
                    config: Some(folder.path("drawbridge.toml")),
                    admin: None,
                },
                admin_token_file: None,
            },
            text,
            console: console(folder),
        }
    }

    /// Waits until the front door completes a handshake with its certificate, then prints.
    pub(super) fn print_when_open(&self) {
        while !self.is_open() {
            thread::sleep(RETRY);
        }
        let mut stdout = io::stdout().lock();
        // Without a reader of standard output nobody reads this; the front door serves all the same.
        let _ = stdout.write_all(self.text.as_bytes());
        // The role that may write the exclusion which the tour proposes.
        if let Ok((link, _)) = log_in(&self.front_door, Role::Security) {
            let _ = writeln!(stdout, "{}\n  {link}\n", self.console);
        }
        let _ = stdout.flush();
    }

    fn is_open(&self) -> bool {
        let handshake = || {
            // A handshake, not only a connection: the kernel completes connections before the front door accepts them.
            let mut connector = SslConnector::builder(SslMethod::tls_client()).ok()?;
            connector.set_ca_file(&self.public_ca).ok()?;
            let stream = TcpStream::connect_timeout(&self.front, PROBE_TIMEOUT).ok()?;
            stream.set_read_timeout(Some(PROBE_TIMEOUT)).ok()?;
            let mut stream = connector.build().connect(PUBLIC_HOST, stream).ok()?;
            stream.shutdown().ok()
        };
        handshake().is_some()
    }
}

fn situation(
    folder: &Folder,
    at: &Addresses,
    certificates: Certificates,
    replaced: Option<&Path>,
) -> String {
    let Addresses {
        public,
        plain,
        orders,
        billing,
        console: _,
    } = at;
    let lifetime = match folder.is_temporary() {
        true => "removed at the end; --dir keeps one",
        false => "kept",
    };
    let certificates = match certificates {
        Certificates::New => "made now",
        Certificates::Reused => "those of an earlier demo, which are still valid",
    };
    let mut text = format!(
        "
Drawbridge demo
  folder        {} ({lifetime})
  certificates  {certificates}
  front door    {public} for {PUBLIC_HOST}, certificate from certs/public-ca.pem
  redirect      {plain} (plain HTTP)
  gateways      {} {orders} as {}, {} {billing} as {},
                certificates from certs/onprem-ca.pem, which no client needs
",
        folder.path("").display(),
        ORDERS.0,
        ORDERS.1,
        BILLING.0,
        BILLING.1,
    );
    if let Some(path) = replaced {
        text += &format!(
            "  note          drawbridge.toml was not the demo's; it is now {}\n",
            path.display()
        );
    }
    text
}

fn requests(public_ca: &Path, front: SocketAddr, orders: SocketAddr) -> String {
    let curl = format!(
        "curl -i --cacert {} --resolve {}",
        shell_word(&public_ca.display().to_string()),
        resolve(PUBLIC_HOST, front)
    );
    let url = format!("https://{PUBLIC_HOST}:{}", front.port());
    let gateway_name = ORDERS.1;
    let gateway_url = format!("https://{gateway_name}:{}", orders.port());
    let gateway_resolve = resolve(gateway_name, orders);
    format!(
        "
Try it in another terminal. Ctrl-C here stops the demo.

Exposed and harmless: 200, and the gateway's echo of what reached it
  {curl} {url}/orders/1

An attack in the query: 403, and no connection to the gateway
  {curl} '{url}/orders/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-'

An attack in a JSON body: 403
  {curl} -H 'Content-Type: application/json' --data '{{\"note\":\"<script>alert(document.cookie)</script>\"}}' {url}/orders/

The gateway has this path, but no route exposes it: 404
  {curl} {url}/billing/admin/

Past the front door, straight to the gateway, without the private CA: curl refuses the certificate (exit 60)
  curl -i --resolve {gateway_resolve} {gateway_url}/orders/1

"
    )
}

fn switches(folder: &Folder) -> String {
    let config = shell_word(&folder.path("drawbridge.toml").display().to_string());
    format!(
        "The switch: everything off (503) until somebody switches it on, with a proof
  drawbridge expose off public --config {config} --reason 'to see it' --prove
  drawbridge expose on public --config {config}

"
    )
}

fn console(folder: &Folder) -> String {
    let config = shell_word(&folder.path("drawbridge.toml").display().to_string());
    format!(
        "The console, in a browser: what was blocked and why, and an exclusion with its proof. The link works once.
Another, which may switch exposures: drawbridge console login --role ingress --config {config}"
    )
}

/// `HOST:PORT:ADDRESS` for curl.
fn resolve(host: &str, at: SocketAddr) -> String {
    match at.ip() {
        IpAddr::V4(ip) => format!("{host}:{}:{ip}", at.port()),
        // Quoted, because a shell takes brackets for a pattern.
        IpAddr::V6(ip) => format!("'{host}:{}:[{ip}]'", at.port()),
    }
}

/// The address at which a client on this machine reaches the listener: loopback if it is bound to all addresses.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        for (bind, client, curl) in [
            ("0.0.0.0:1", "127.0.0.1:1", "h:1:127.0.0.1"),
            ("[::]:1", "[::1]:1", "'h:1:[::1]'"),
            ("127.0.0.2:1", "127.0.0.2:1", "h:1:127.0.0.2"),
        ] {
            let at = reachable(bind.parse().unwrap());
            assert_eq!(at, client.parse().unwrap());
            assert_eq!(resolve("h", at), curl);
        }
    }
}
