//! The certificates that a configuration uses, for `certs list`, the metrics and the warnings before they expire.

use super::model::{Config, ListenerKind};
use crate::tls::Entry;
use crate::tls::inventory::Inventory;

/// As what the console is listed. No listener can have this name.
const CONSOLE: &str = "[console]";

impl Config {
    /// Every certificate in the files of the configuration. What upstreams present is known only by dialling them: see
    /// [`crate::upstream::diagnose`].
    #[must_use]
    pub fn certificate_inventory(&self) -> Vec<Entry> {
        let mut inventory = Inventory::default();
        for listener in &self.listeners {
            if let ListenerKind::Tls { certificates, .. } = &listener.kind {
                for certified in certificates {
                    inventory.add_listener(&listener.name, certified);
                }
            }
        }
        for certified in self.console_tls.iter().flat_map(|tls| &tls.certificates) {
            inventory.add_listener(CONSOLE, certified);
        }
        for bundle in self.trust.values() {
            inventory.add_trust(bundle);
        }
        for upstream in self.upstreams.values() {
            if let Some(certified) = &upstream.tls.client_certificate {
                inventory.add_client(&upstream.name, certified);
            }
        }
        inventory.into_entries()
    }
}
