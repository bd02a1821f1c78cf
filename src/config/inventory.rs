//! Which certificates a configuration makes use of.

use super::model::{Config, ListenerKind};
use crate::tls::Entry;
use crate::tls::inventory::Inventory;

impl Config {
    /// Every certificate of the configuration's files. What upstreams present is learned by dialling them:
    /// see [`crate::upstream::diagnose`].
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
