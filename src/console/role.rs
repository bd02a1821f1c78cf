//! Who may do what in the console: the three teams, each with the actions on what it owns, and viewers.

use std::fmt;

/// The role of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Something that changes the front door or costs it more than a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Turn an exposure off or on.
    Switch,
    /// Search exclusions for an event and prove them.
    Propose,
    /// Write an exclusion into a rule file.
    WriteExclusion,
    /// Read the files now.
    Reload,
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

    /// The role of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    pub(super) fn may(self, action: Action) -> bool {
        match action {
            Action::Switch => self == Self::Ingress,
            Action::Propose | Action::WriteExclusion => self == Self::Security,
            // Each team replaces files of its own and wants to see them taken.
            Action::Reload => self != Self::Viewer,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Action {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Switch => "switch exposures",
            Self::Propose => "search exclusions",
            Self::WriteExclusion => "write exclusions",
            Self::Reload => "reload",
        }
    }
}
