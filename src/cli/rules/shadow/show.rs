//! What shadows would change, as text.

use std::fmt::Write as _;

use serde_json::Value;

use crate::counted::counted;
use crate::review::escape::show_short;

/// The columns of a rule: the key in JSON and the heading.
const COLUMNS: [(&str, &str); 4] = [
    ("newly_blocked", "new blocks"),
    ("newly_allowed", "new passes"),
    ("only_shadow", "only shadow"),
    ("only_live", "only policy"),
];

pub(super) fn human(report: &Value) -> String {
    let mut out = String::new();
    let shadows = report["shadows"].as_array();
    for shadow in shadows.into_iter().flatten() {
        write_shadow(&mut out, shadow);
    }
    if shadows.is_none_or(Vec::is_empty) {
        out += "no policy has a shadow\n";
    }
    let dropped = &report["dropped"];
    let dropped = ["queue", "internal"].map(|reason| dropped[reason].as_u64().unwrap_or_default());
    if dropped != [0, 0] {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            out,
            "no shadow saw {} of the sample, because too many waited, and {} because of a fault of ours",
            counted(dropped[0], "request"),
            dropped[1]
        );
    }
    out
}

fn write_shadow(out: &mut String, shadow: &Value) {
    let requests = &shadow["requests"];
    let since = match shadow["since"].as_str() {
        Some(since) => format!(" since {since}"),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "policy {}: {}{since}, a sample of {}: {} newly blocked, {} newly allowed",
        text(&shadow["policy"]),
        counted(requests["compared"].as_u64().unwrap_or_default(), "request"),
        shadow["sample"],
        requests["newly_blocked"],
        requests["newly_allowed"],
    );
    for (key, words) in [
        ("other_rules", "the same verdict by other rules"),
        ("answered_differently", "blocked with another answer"),
        (
            "not_compared",
            "not compared, because the policy stopped them before their body was there",
        ),
    ] {
        if requests[key].as_u64() > Some(0) {
            let _ = writeln!(out, "{words}: {}", requests[key]);
        }
    }
    let rules = shadow["rules"].as_array();
    let rules = rules.into_iter().flatten();
    if rules.clone().next().is_none() {
        return;
    }
    let _ = write!(out, "\n{:>8}", "RULE");
    for (_, heading) in COLUMNS {
        let _ = write!(out, "  {heading:>11}");
    }
    let _ = writeln!(out, "  {:36}  MESSAGE", "LAST REQUEST");
    for rule in rules {
        let _ = write!(out, "{:>8}", rule["rule_id"].to_string());
        for (key, _) in COLUMNS {
            let _ = write!(out, "  {:>11}", rule[key].to_string());
        }
        let (last, message) = (text(&rule["last_request_id"]), text(&rule["message"]));
        let message = show_short(message.as_bytes(), 120);
        let _ = writeln!(out, "  {last:36}  {message}");
    }
    out.push('\n');
}

/// A string without its quotation marks; nothing for anything else.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
