//! Shows findings as `check` shows problems, or as JSON.

use std::io;

use serde_json::{Value, json};

use super::Report;
use crate::cli::output::{print_diagnostics, print_json};
use crate::exclusion::lint::{Finding, Other, counted};
use crate::review::error::problems_json;
use crate::review::escape::show_short;
use seclang::diagnostic::Diagnostic;

pub(super) fn human(report: &Report) -> io::Result<()> {
    let found: Vec<Diagnostic> = report.findings.iter().map(Finding::diagnostic).collect();
    print_diagnostics(&found)?;
    for note in &report.notes {
        println!("note: {note}");
    }
    let looked = &report.looked;
    if looked.not_judged > 0 {
        let why = looked.why.as_deref().unwrap_or_default();
        println!(
            "not judged: {}, the first because {}",
            counted(looked.not_judged, "recorded request"),
            show_short(why.as_bytes(), 300)
        );
    }
    let evidence = match looked.evidence.requests {
        0 => "no request was recorded, so nothing is known of their use".to_owned(),
        _ => looked.evidence.words(),
    };
    println!(
        "policy {:?}: {}, {evidence}: {}",
        report.policy,
        counted(report.exclusions, "exclusion"),
        match report.findings.len() {
            0 => "ok".to_owned(),
            count => counted(count, "finding"),
        }
    );
    Ok(())
}

pub(super) fn json(report: &Report) -> io::Result<()> {
    let findings: Vec<Value> = report.findings.iter().map(json_finding).collect();
    let looked = &report.looked;
    print_json(&json!({
        "ok": report.findings.is_empty(),
        "policy": report.policy,
        "exclusions": report.exclusions,
        "requests": looked.evidence.requests,
        "seconds": looked.evidence.time.map(|time| time.as_secs()),
        "not_judged": looked.not_judged,
        "notes": report.notes,
        "findings": findings,
    }))
}

fn json_finding(finding: &Finding) -> Value {
    let mut shown = problems_json(&[finding.diagnostic()]);
    let shown = shown.get_mut(0).map(Value::take);
    let mut shown = shown.unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("code", json!(finding.code.name()));
        set("message", json!(finding.message));
        set("help", json!(finding.help));
        set("owner", json!(finding.owner));
        set(
            "other",
            finding.other.as_ref().map_or(Value::Null, json_other),
        );
        set("instead", json!(finding.instead));
    }
    shown
}

fn json_other(other: &Other) -> Value {
    json!({
        "file": other.at.path.to_string_lossy(),
        "line": other.at.line,
        "owner": other.owner,
    })
}
