//! The project's own small rule set, compiled into the binary; `@baseline` in a policy.

/// Names (for messages) and texts, in load order.
pub const FILES: &[(&str, &str)] = &[(
    "@baseline/baseline.conf",
    include_str!("../../rules/baseline/baseline.conf"),
)];
