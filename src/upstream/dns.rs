//! Asking for the addresses of a name, and for how long they hold.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// For all tries of one lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// For one server's answer, so that there is time for the next.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Found {
    pub addresses: Vec<IpAddr>,
    /// The shortest of the answer; None where the system's resolver answered, which tells none.
    pub ttl: Option<Duration>,
}

/// What /etc/hosts says, else these name servers, or without any those of /etc/resolv.conf. Where those
/// have no answer, the system's resolver may know other sources (nsswitch.conf).
///
/// # Errors
/// Why there is no answer, in words.
pub(super) async fn look_up(host: &str, servers: &[SocketAddr]) -> Result<Found, String> {
    let asked = match timeout(LOOKUP_TIMEOUT, ask(host, servers)).await {
        Ok(asked) => asked,
        Err(_) => Err("no answer in time".to_owned()),
    };
    match asked {
        Err(_) if servers.is_empty() => ask_system(host).await,
        asked => asked,
    }
}

async fn ask(host: &str, servers: &[SocketAddr]) -> Result<Found, String> {
    let servers = servers.to_vec();
    // It reads files, and each time anew, so that a change of them counts.
    let resolver = spawn_blocking(move || resolver(&servers)).await;
    let resolver = resolver.map_err(|error| error.to_string())??;
    let found = resolver.lookup_ip(host).await;
    let found = found.map_err(|error| error.to_string())?;
    let records = found.as_lookup().answers().iter();
    let ttl = records.map(|record| record.ttl).min();
    Ok(Found {
        addresses: found.iter().collect(),
        ttl: ttl.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = match servers {
        [] => TokioResolver::builder(provider).map_err(|error| error.to_string())?,
        _ => {
            let servers = servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, provider)
                .with_options(ResolverOpts::default())
        }
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = options.timeout.min(SERVER_TIMEOUT);
    // Asked for again only when it no longer holds.
    options.cache_size = 0;
    builder.build().map_err(|error| error.to_string())
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server
        .connections
        .iter_mut()
        .for_each(|connection: &mut ConnectionConfig| {
            connection.port = address.port();
        });
    server
}

async fn ask_system(host: &str) -> Result<Found, String> {
    let found = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, 0))).await;
    let found: io::Result<_> = found
        .map_err(|_| "no answer in time".to_owned())?
        .map(|found| {
            let addresses = found.map(|address| address.ip());
            addresses.collect()
        });
    Ok(Found {
        addresses: found.map_err(|error| error.to_string())?,
        ttl: None,
    })
}
