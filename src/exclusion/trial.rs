//! Runs requests under a rule set in which exclusions can be switched on one by one.
//!
//! Compiling the Core Rule Set takes longer than thousands of requests. So every exclusion that is tried is in one rule
//! set, behind a condition on the transaction's id, and a run chooses by its id which of them hold.

use std::sync::Arc;

use ftw::InProcess;
use http_strict::Head;
use waf::{MatchedRule, RuleSet};

use super::request::Request;

/// A rule set and the exclusions in it.
#[derive(Debug)]
pub(super) struct Trial {
    player: InProcess,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Ran {
    /// The rule that stopped it, 0 for the engine; None if it passes.
    pub(super) stopped_by: Option<u64>,
    pub(super) matches: Vec<MatchedRule>,
}

impl Trial {
    pub(super) fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            player: InProcess::new(rules),
        }
    }

    /// The text that is in the id of a transaction for which the exclusion with this number holds.
    pub(super) fn gate(number: usize) -> String {
        format!(".{number}.")
    }

    /// Phases 1, 2 and 5 of a request while these exclusions hold.
    pub(super) fn run(&self, request: &Request, gates: &[usize]) -> Ran {
        let raw = request.to_bytes();
        // A request that HTTP forbids is as little let through as one that a rule stops.
        let Ok(head) = Head::parse(&raw) else {
            return Ran {
                stopped_by: Some(0),
                matches: Vec::new(),
            };
        };
        let id: String = gates.iter().map(|&gate| Self::gate(gate)).collect();
        let mut transaction = self.player.begin(&raw, &head, &format!("exclusion{id}"));
        // The values stay in this process; what is written is masked then.
        transaction.unmask();
        let body = raw.get(head.length..).unwrap_or_default();
        if transaction.request_headers_done().is_none() {
            transaction.request_body(body);
        }
        transaction.finish();
        Ran {
            stopped_by: transaction.interruption().map(|i| i.rule_id),
            matches: transaction.matched_rules().to_vec(),
        }
    }
}

impl Ran {
    pub(super) fn passes(&self) -> bool {
        self.stopped_by.is_none()
    }

    pub(super) fn fired(&self, rules: &[u64]) -> bool {
        self.matches
            .iter()
            .any(|found| rules.contains(&found.rule_id))
    }
}
