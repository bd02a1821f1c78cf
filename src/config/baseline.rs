//! The project's own small rule set, `@baseline` in a policy. It is compiled into the binary.

/// Names (for messages) and texts, in load order.
pub const FILES: &[(&str, &str)] = &[(
    "@baseline/baseline.conf",
    include_str!("../../rules/baseline/baseline.conf"),
)];
