//! Fetches what issuers publish, as the configuration says.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::Config;

/// How long the start waits for issuers. One that is down must not keep the front door from starting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Begins to fetch, and waits a while for the first answers, so that the first requests find keys.
pub(super) async fn first_fetches(config: &Config) {
    follow(config);
    let all = async {
        for provider in config.identity.values() {
            provider.tried().await;
        }
    };
    // What is late comes while it runs.
    let _ = timeout(PATIENCE, all).await;
}

/// Begins to fetch what is new. What is no longer in use ends with its last snapshot.
pub(super) fn follow(config: &Config) {
    for provider in config.identity.values() {
        provider.start(&Handle::current());
    }
    for exchanger in config.exchanges.values() {
        exchanger.start(&Handle::current());
    }
}
