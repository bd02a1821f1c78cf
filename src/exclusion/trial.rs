//! Runs requests under a rule set in which exclusions can be switched on one by one.
//!
//! Compiling the Core Rule Set takes longer than thousands of requests. So every exclusion that is tried is in one rule
//! set, behind a condition on the transaction's id, and a run chooses by its id which of them hold.

use std::sync::Arc;

use ftw::TEST_NAME;
use waf::{MatchedRule, RuleSet};

use crate::judgement::judge_request;
use crate::recorded::Request;

/// A rule set and the exclusions in it.
#[derive(Debug)]
pub(super) struct Trial {
    rules: Arc<RuleSet>,
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
        Self { rules }
    }

    /// The text that is in the id of a transaction for which the exclusion with this number holds.
    pub(super) fn gate(number: usize) -> String {
        format!(".{number}.")
    }

    /// Phases 1, 2 and 5 of a request while these exclusions hold and none of the policy's own: an exclusion must not
    /// depend on others.
    pub(super) fn run(&self, request: &Request, gates: &[usize]) -> Ran {
        self.run_as(TEST_NAME, request, gates)
    }

    /// The same while the policy's own exclusions hold too.
    pub(super) fn run_beside_others(&self, request: &Request, gates: &[usize]) -> Ran {
        self.run_as("exclusion", request, gates)
    }

    fn run_as(&self, name: &str, request: &Request, gates: &[usize]) -> Ran {
        // The gates are in the id because a rule can read it and no client can choose it.
        let id: String = gates.iter().map(|&gate| Self::gate(gate)).collect();
        let Some(mut transaction) = request.begin(&self.rules, &format!("{name}{id}")) else {
            // A request that HTTP forbids is as little let through as one that a rule stops.
            return Ran {
                stopped_by: Some(0),
                matches: Vec::new(),
            };
        };
        // The values stay in this process; what is written is masked then.
        transaction.unmask();
        judge_request(&mut transaction, request.body());
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
