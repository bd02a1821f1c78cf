//! Looks up the addresses of a name and for how long they are valid.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{fmt, io};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

/// The deadline of one lookup, with all its tries.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The deadline of one name server, so that there is time left for the next one.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a name has no addresses.
#[derive(Debug)]
pub(crate) enum LookupError {
    /// Nobody answered within [`LOOKUP_TIMEOUT`].
    TimedOut,
    /// The system's resolver files cannot be read or hold nothing usable.
    Settings(NetError),
    /// The name servers have no answer, or none of them can be reached.
    NameServers(NetError),
    /// The system's own resolver has no answer.
    System(io::Error),
    /// The task that reads the resolver files ended early.
    Interrupted(JoinError),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Settings(error) | Self::NameServers(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
            Self::Interrupted(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LookupError {}

/// The addresses of a name.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub addresses: Vec<IpAddr>,
    /// The shortest of the answer; None if the system's resolver answered, which reports no TTL.
    pub ttl: Option<Duration>,
}

/// Asks /etc/hosts, then these name servers; if there are none, those of /etc/resolv.conf. If these have no answer, the
/// system's resolver may know other sources (nsswitch.conf).
///
/// # Errors
/// Nobody has an answer.
pub(crate) async fn look_up(host: &str, servers: &[SocketAddr]) -> Result<Lookup, LookupError> {
    let asked = match timeout(LOOKUP_TIMEOUT, ask(host, servers)).await {
        Ok(asked) => asked,
        Err(_) => Err(LookupError::TimedOut),
    };
    match asked {
        // Name servers that were configured replace the system's; asking those too could find other addresses.
        Err(_) if servers.is_empty() => ask_system(host).await,
        asked => asked,
    }
}

async fn ask(host: &str, servers: &[SocketAddr]) -> Result<Lookup, LookupError> {
    let servers = servers.to_vec();
    // The resolver files are read for each lookup, so that changes count. Reading may block.
    let resolver = spawn_blocking(move || resolver(&servers)).await;
    let resolver = resolver.map_err(LookupError::Interrupted)??;
    let found = resolver.lookup_ip(host).await;
    let found = found.map_err(LookupError::NameServers)?;
    let records = found.as_lookup().answers().iter();
    let ttl = records.map(|record| record.ttl).min();
    Ok(Lookup {
        addresses: found.iter().collect(),
        ttl: ttl.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, LookupError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = match servers {
        [] => TokioResolver::builder(provider).map_err(LookupError::Settings)?,
        _ => {
            let servers = servers.iter().map(name_server).collect();
            // Without search domains: a name of the configuration is complete.
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, provider)
                .with_options(ResolverOpts::default())
        }
    };
    let options = builder.options_mut();
    // Every address becomes a server, whichever its family.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // A shorter timeout in /etc/resolv.conf holds.
    options.timeout = options.timeout.min(SERVER_TIMEOUT);
    // Upstreams keep an answer until its TTL ends; a second cache here would add its own delay.
    options.cache_size = 0;
    builder.build().map_err(LookupError::Settings)
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

async fn ask_system(host: &str) -> Result<Lookup, LookupError> {
    let found = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, 0))).await;
    let found = found.map_err(|_| LookupError::TimedOut)?;
    let found = found.map_err(LookupError::System)?;
    Ok(Lookup {
        addresses: found.map(|address| address.ip()).collect(),
        ttl: None,
    })
}
