//! One compiled rule: what it looks at, how it tests, what it does.
//!
//! Rules are immutable and name each other by their index in the rule set.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

pub(crate) mod listing;

use std::path::Path;
use std::sync::Arc;

use self::listing::Listing;
use super::byteset::ByteSet;
use super::macros::Template;
use super::operators::Operator;
use super::outcome::Phase;
use super::settings::{AuditEngine, EngineMode};
use super::transform::Transformation;
use super::variables::{Target, TargetList, Variable};

/// A rule with all links of its chain.
#[derive(Debug)]
pub(crate) struct Rule {
    /// 0 for a rule without an id.
    pub id: u64,
    pub phase: Phase,
    pub links: Box<[Link]>,
    pub about: About,
    pub disruptive: Disruptive,
    pub status: Option<u16>,
    pub log: bool,
    pub audit_log: bool,
    pub flow: Flow,
    /// It looks for values in a list, which a transaction can do first.
    pub listing: Option<Listing>,
}

impl Rule {
    /// The status of the answer if it ends the transaction.
    pub(crate) fn ending_status(&self) -> u16 {
        match self.disruptive {
            // As in ModSecurity v2, a redirect with any other status answers 302.
            Disruptive::Redirect(_) => {
                let status = self.status.filter(|s| [301, 302, 303, 307].contains(s));
                status.unwrap_or(302)
            }
            _ => self.status.unwrap_or(403),
        }
    }
}

/// The metadata of a rule.
#[derive(Debug)]
pub(crate) struct About {
    pub message: Option<Template>,
    pub data: Option<Template>,
    pub severity: Option<u8>,
    pub tags: Box<[Template]>,
    pub version: Option<Template>,
    pub revision: Option<Template>,
    pub maturity: Option<u8>,
    pub accuracy: Option<u8>,
    pub file: Arc<Path>,
    pub line: u32,
}

/// The names of syslog's severities, 0 to 7 (RFC 5424, section 6.2.1).
pub const SEVERITIES: [&str; 8] = [
    "EMERGENCY",
    "ALERT",
    "CRITICAL",
    "ERROR",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
];

/// Where evaluation goes on after a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    /// At this index of the phase; the phase's length if the marker is not ahead.
    Jump(u32),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Disruptive {
    /// Nothing; also `pass`.
    Pass,
    Deny,
    Drop,
    Redirect(Template),
    Allow(AllowScope),
}

/// What `allow` skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllowScope {
    /// The rest of all phases but logging.
    Transaction,
    /// The rest of this phase.
    Phase,
    /// The rest of this phase and phase 2 (when in phase 1).
    Request,
}

/// One `SecRule` or `SecAction` of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    /// None for `SecAction`.
    pub test: Option<Test>,
    pub effects: Box<[Effect]>,
}

#[derive(Debug)]
pub(crate) struct Test {
    pub targets: Arc<TargetList>,
    /// The transformations of each value, as a node of the rule set's [`Chains`].
    pub chain: ChainId,
    pub multi_match: bool,
    pub capture: bool,
    pub negated: bool,
    pub operator: Operator,
    /// `!@rx pattern` as the rule file writes it, bounded, for messages.
    pub written: Box<str>,
    pub argument: Template,
}

/// Non-disruptive actions that run at each match.
#[derive(Debug)]
pub(crate) enum Effect {
    SetVariable {
        place: Place,
        change: Change,
    },
    ExpireVariable {
        collection: Variable,
        name: Template,
        seconds: Template,
    },
    /// Lowers a counter by `amount` every `seconds`.
    DeprecateVariable {
        collection: Variable,
        name: Template,
        amount: i64,
        seconds: u64,
    },
    OpenCollection {
        collection: Variable,
        key: Template,
    },
    SetId {
        collection: Variable,
        key: Template,
    },
    SetEnvironment {
        name: Template,
        value: Template,
    },
    /// Masks a named value in the audit record.
    Mask(Variable, Template),
    /// Masks the matching value in the audit record.
    MaskMatched,
    Control(Control),
}

/// Where `setvar` writes.
#[derive(Debug)]
pub(crate) enum Place {
    /// A `TX` name known at load.
    Slot(u32),
    /// A `TX` name with macros.
    Named(Template),
    Collection(Variable, Template),
}

#[derive(Debug)]
pub(crate) enum Change {
    Set(Template),
    Add(Template),
    Subtract(Template),
    Remove,
}

/// `ctl:`
#[derive(Debug)]
pub(crate) enum Control {
    RuleEngine(EngineMode),
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    RequestBodyProcessor(Processor),
    ForceRequestBodyVariable(bool),
    RequestBodyLimit(usize),
    ResponseBodyLimit(usize),
    AuditEngine(AuditEngine),
    /// `+` adds, `-` removes, neither replaces.
    AuditLogParts(PartsChange),
    RemoveRules(Arc<Removal>),
    RemoveTargets(Arc<Removal>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    Urlencoded,
    Multipart,
    Json,
    Xml,
    /// Keeps the body as `REQUEST_BODY`, parses nothing.
    Raw,
}

impl Processor {
    /// As records name it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Urlencoded => "urlencoded",
            Self::Multipart => "multipart",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Raw => "raw",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartsChange {
    Replace(String),
    Add(String),
    Remove(String),
}

/// Rules that no longer run, or targets that they no longer look at.
#[derive(Debug)]
pub(crate) struct Removal {
    pub rules: RuleSelection,
    /// Empty if it means the rules as a whole.
    pub targets: Box<[Target]>,
    /// Its place among the rule set's exclusions; None for one of the Core Rule Set.
    pub place: Option<u32>,
}

/// Rules meant by an id, a tag or a message: bit N is rule N in load order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RuleSelection {
    words: Vec<u64>,
}

impl RuleSelection {
    pub(crate) fn insert(&mut self, index: usize) {
        if index / 64 >= self.words.len() {
            self.words.resize(index / 64 + 1, 0);
        }
        self.words[index / 64] |= 1 << (index % 64);
    }

    pub(crate) fn contains(&self, index: usize) -> bool {
        // The words end with the last rule that is meant.
        self.words
            .get(index / 64)
            .is_some_and(|w| w & (1 << (index % 64)) != 0)
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }
}

/// A node of [`Chains`]; 0 is no transformation at all.
pub(crate) type ChainId = u16;

/// Every transformation chain of a rule set and all their prefixes, each once: a tree, so that rules whose chains begin
/// alike share results.
#[derive(Debug)]
pub(crate) struct Chains {
    nodes: Vec<ChainNode>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ChainNode {
    pub parent: ChainId,
    pub transformation: Option<Transformation>,
    /// Without any of these bytes a value passes the last step unchanged.
    pub triggers: ByteSet,
}

impl Default for Chains {
    fn default() -> Self {
        Self {
            nodes: vec![ChainNode {
                parent: 0,
                transformation: None,
                triggers: ByteSet::EMPTY,
            }],
        }
    }
}

impl Chains {
    /// The node for these steps; None when there are more than 65,535 distinct prefixes.
    pub(crate) fn intern(&mut self, steps: &[Transformation]) -> Option<ChainId> {
        let mut at: ChainId = 0;
        for &step in steps {
            // A search is enough: this runs at load, and a rule set has some hundred nodes.
            let known = self
                .nodes
                .iter()
                .position(|n| n.parent == at && n.transformation == Some(step));
            at = match known {
                Some(index) => ChainId::try_from(index).ok()?,
                None => {
                    self.nodes.push(ChainNode {
                        parent: at,
                        transformation: Some(step),
                        triggers: step.triggers(),
                    });
                    ChainId::try_from(self.nodes.len() - 1).ok()?
                }
            };
        }
        Some(at)
    }

    /// How many nodes there are, the empty one included.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, id: ChainId) -> ChainNode {
        // Ids are only made by `intern`, and nodes are never removed.
        self.nodes[usize::from(id)]
    }

    /// The steps from the raw value to this node.
    pub(crate) fn steps(&self, mut id: ChainId) -> Vec<(ChainId, Transformation)> {
        let mut steps = Vec::new();
        // The root is its own parent. Only it has no transformation, which ends the walk.
        while let ChainNode {
            parent,
            transformation: Some(t),
            ..
        } = self.node(id)
        {
            steps.push((id, t));
            id = parent;
        }
        steps.reverse();
        steps
    }
}
