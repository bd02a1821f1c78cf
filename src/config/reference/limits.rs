//! Limits by key.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Boolean, Choice, Duration, Integer, List, Text};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "rate",
        Text("number and `/s`, `/m` or `/h`"),
        Required,
        "How much each key may have in the long run.",
        r#""100/s""#,
    ),
    key(
        "burst",
        Integer("", 1, 1_000_000_000_000),
        Means("the number in `rate`"),
        "How much each key may have at once, after it had nothing for a while.",
        "200",
    ),
    key(
        "key",
        List(
            "`client`, `route`, `host`, `header:NAME`, `cookie:NAME`, `query:NAME` or `identity:CLAIM`",
        ),
        Is(r#"["client"]"#),
        "What requests are told apart by. A part that a request lacks, or has twice, is the empty value, which all of these share.",
        r#"["client", "route"]"#,
    ),
    key(
        "count",
        Text("`requests`, `blocked`, `status:CODE`, `bytes` or `cost`"),
        Is(r#""requests""#),
        "What is counted: requests before anything else is done with them; or what they turn out to be, which refuses the next ones: stopped by rules, answered with this status, bytes of bodies in both directions, microseconds that the rules worked.",
        r#""status:401""#,
    ),
    key(
        "action",
        Choice(&["429", "block", "close", "tarpit", "log"]),
        Is(r#""429""#),
        "What becomes of a request that is too much: 429, 403, the connection is closed, 429 after `delay`, or it passes and is counted.",
        r#""log""#,
    ),
    key(
        "tell",
        Boolean,
        Is("false"),
        "Whether answers that pass have the fields `RateLimit` and `RateLimit-Policy` too.",
        "true",
    ),
    key(
        "max_keys",
        Integer("keys", 1000, 10_000_000),
        Is("100000"),
        "For how many keys there is room, at 32 bytes each. Beyond it the keys that used up least are forgotten, and counted.",
        "1000000",
    ),
    key(
        "delay",
        Duration,
        Is(r#""5s""#),
        "How long a tarpit holds a request, at most 30s.",
        r#""10s""#,
    ),
];
