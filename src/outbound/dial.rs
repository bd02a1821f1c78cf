//! From a destination to a connection that a request may be sent on: name, TCP, proxy, TLS.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::destination::Destination;
use super::error::{Fault, Hop, Step};
use super::kept::Dialled;
use super::url::Url;
use crate::dns;
use crate::tls::dial::{ShakeError, shake};

/// The most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 8;

/// When an exchange must be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(whole: Duration) -> Self {
        Self(Instant::now() + whole)
    }

    /// The result of a step that has a time of its own, if it comes before both are over.
    pub(super) async fn within<T>(
        self,
        step: Step,
        own: Option<Duration>,
        work: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        let begun = Instant::now();
        let end = own.map_or(self.0, |own| self.0.min(begun + own));
        let limit = end.saturating_duration_since(begun);
        let done = timeout_at(end, work).await;
        done.map_err(|_| Fault::Timeout { step, limit })
    }
}

pub(super) async fn dial(to: &Destination, deadline: Deadline) -> Result<Dialled, Fault> {
    let limits = &to.settings.limits;
    let (hop, next) = match &to.settings.proxy {
        // The name of the server is for the proxy to look up: our name servers may not know it.
        Some(proxy) => (Hop::Proxy, &proxy.url),
        None => (Hop::Server, &to.url),
    };
    let addresses = addresses(hop, next, &to.settings.dns_servers);
    let addresses = deadline.within(Step::Resolve, None, addresses).await??;
    let connected = connect(hop, &addresses, limits.connect);
    let mut tcp = deadline
        .within(Step::Connect, Some(limits.connect), connected)
        .await??;
    // Without TLS there is no tunnel: the request itself names the whole URL to a proxy.
    let Some(expected) = &to.expected else {
        return Ok(Dialled::Plain(tcp));
    };
    if let Some(proxy) = &to.settings.proxy {
        let tunnel = proxy.tunnel(&mut tcp, &to.url);
        deadline
            // Meanwhile the proxy connects to the server, so it gets the time of a connection.
            .within(Step::Tunnel, Some(limits.connect), tunnel)
            .await??;
    }
    // A server must not choose HTTP/2, which `Kept` does not speak.
    let shaken = shake(tcp, expected, None, b"\x08http/1.1");
    let shaken = deadline
        .within(Step::Handshake, Some(limits.handshake), shaken)
        .await?;
    shaken.map(Dialled::Tls).map_err(Fault::from)
}

async fn addresses(hop: Hop, url: &Url, servers: &[SocketAddr]) -> Result<Vec<SocketAddr>, Fault> {
    if let Ok(address) = url.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, url.port)]);
    }
    let fault = |why: String| Fault::Dns {
        of: hop,
        host: url.host.clone(),
        why,
    };
    let found = dns::look_up(&url.host, servers).await;
    let found = found.map_err(|error| fault(error.to_string()))?;
    // With very many addresses, none would get enough time.
    let found = found.addresses.into_iter().take(MOST_ADDRESSES);
    let found: Vec<_> = found.map(|ip| SocketAddr::new(ip, url.port)).collect();
    match found.is_empty() {
        true => Err(fault("it has no address".to_owned())),
        false => Ok(found),
    }
}

/// One address after the other, each with its share of the time.
async fn connect(hop: Hop, addresses: &[SocketAddr], time: Duration) -> Result<TcpStream, Fault> {
    let end = Instant::now() + time;
    let mut last = Fault::Internal("there is no address".to_owned());
    for (tried, address) in (0_u32..).zip(addresses) {
        // An address where nobody answers must not use up the time of the next one.
        let left = end.saturating_duration_since(Instant::now());
        let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX) - tried;
        let share = Instant::now() + left / shares.max(1);
        let why = match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // A request leaves in one write, and its answer is waited for.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => error.to_string(),
            // With one address, the step's own deadline says the same.
            Err(_) => "no answer in time".to_owned(),
        };
        last = Fault::Connect {
            to: hop,
            address: address.to_string(),
            why,
        };
    }
    Err(last)
}

impl From<ShakeError> for Fault {
    fn from(error: ShakeError) -> Self {
        match error {
            ShakeError::Setup(error) => Self::Internal(format!("cannot set up TLS: {error}")),
            ShakeError::Refused(refusal) => Self::Certificate(refusal),
            ShakeError::Failed(error, fault) => Self::Tls {
                fault,
                why: error.to_string(),
            },
        }
    }
}
