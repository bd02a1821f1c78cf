//! Who may do what in the console and with its tokens: the three teams, each with the actions on what it owns, and viewers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The role of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Owns listeners, routes and exposures.
    Ingress,
    /// Owns rules and exclusions.
    Security,
    /// Owns certificates and trust bundles.
    Certificates,
    /// Sees everything and changes nothing.
    Viewer,
}

/// No role has this name. The caller erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRole(String);

/// Something that changes the front door or costs it more than a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Turn an exposure off or on.
    Switch,
    /// Search exclusions for an event and prove them.
    Propose,
    /// Run a request through the rules, or kept requests through others.
    Try,
    /// Write an exclusion into a rule file.
    WriteExclusion,
    /// Read the files now.
    Reload,
    /// Dial the servers of an upstream and say why one would not be used.
    Diagnose,
    /// Try a trust bundle or a certificate in the place of the present one.
    Rehearse,
}

impl Role {
    /// All roles, in the order in which they are listed.
    pub const ALL: [Self; 4] = [
        Self::Ingress,
        Self::Security,
        Self::Certificates,
        Self::Viewer,
    ];

    /// The name, as the command line and the API write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Security => "security",
            Self::Certificates => "certificates",
            Self::Viewer => "viewer",
        }
    }

    pub(crate) fn may(self, action: Action) -> bool {
        match action {
            Action::Switch => self == Self::Ingress,
            Action::Propose | Action::Try | Action::WriteExclusion => self == Self::Security,
            Action::Diagnose => matches!(self, Self::Ingress | Self::Certificates),
            Action::Rehearse => self == Self::Certificates,
            // Each team replaces files of its own and wants to see them taken.
            Action::Reload => self != Self::Viewer,
        }
    }
}

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(name: &str) -> Result<Self, NoRole> {
        let role = Self::ALL.into_iter().find(|role| role.name() == name);
        role.ok_or_else(|| NoRole(name.to_owned()))
    }
}

impl fmt::Display for NoRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Role::ALL.map(Role::name).join(", ");
        write!(f, "there is no role {:?}; there are: {known}", self.0)
    }
}

impl std::error::Error for NoRole {}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Action {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Switch => "switch exposures",
            Self::Propose => "search exclusions",
            Self::Try => "run requests through the rules",
            Self::WriteExclusion => "write exclusions",
            Self::Reload => "reload",
            Self::Diagnose => "dial gateways",
            Self::Rehearse => "rehearse certificates",
        }
    }
}
