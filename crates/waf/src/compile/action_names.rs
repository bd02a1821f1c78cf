//! The names of actions and of `ctl` options: which work, and which are refused and why.

/// Actions of the manual that a proxy refuses, and why.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    ("append", "responses leave with the upstream's bytes"),
    ("prepend", "responses leave with the upstream's bytes"),
    ("exec", "no program runs on a stranger's request"),
    ("pause", "holding connections open helps the attacker"),
    ("proxy", "where a request goes is the routes' business"),
];

/// Actions that work. Any other that is not in [`REFUSED`] either does not exist.
pub(crate) const HANDLED: &[&str] = &[
    "accuracy",
    "allow",
    "auditlog",
    "block",
    "capture",
    "chain",
    "ctl",
    "deny",
    "deprecatevar",
    "drop",
    "expirevar",
    "id",
    "initcol",
    "log",
    "logdata",
    "maturity",
    "msg",
    "multiMatch",
    "noauditlog",
    "nolog",
    "pass",
    "phase",
    "redirect",
    "rev",
    "sanitiseArg",
    "sanitiseMatched",
    "sanitiseMatchedBytes",
    "sanitiseRequestHeader",
    "sanitiseResponseHeader",
    "sanitizeArg",
    "sanitizeMatched",
    "sanitizeMatchedBytes",
    "sanitizeRequestHeader",
    "sanitizeResponseHeader",
    "setenv",
    "setrsc",
    "setsid",
    "setuid",
    "setvar",
    "severity",
    "skip",
    "skipAfter",
    "status",
    "t",
    "tag",
    "ver",
    "xmlns",
];

/// Options of `ctl` that work. Any other that is not in [`REFUSED_CONTROLS`] either does not exist.
pub(crate) const CONTROLS: &[&str] = &[
    "auditEngine",
    "auditLogParts",
    "forceRequestBodyVariable",
    "requestBodyAccess",
    "requestBodyLimit",
    "requestBodyProcessor",
    "responseBodyAccess",
    "responseBodyLimit",
    "ruleEngine",
    "ruleRemoveById",
    "ruleRemoveByMsg",
    "ruleRemoveByTag",
    "ruleRemoveTargetById",
    "ruleRemoveTargetByMsg",
    "ruleRemoveTargetByTag",
];

/// Options of `ctl` that are refused, and why.
pub(crate) const REFUSED_CONTROLS: &[(&str, &str)] = &[
    (
        "debugLogLevel",
        "there is no debug log; `rules explain` shows what happened",
    ),
    (
        "hashEnforcement",
        "responses are not rewritten, so there is nothing to hash",
    ),
    (
        "hashEngine",
        "responses are not rewritten, so there is nothing to hash",
    ),
];
