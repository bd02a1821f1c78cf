//! `/diff`: what the files say against what is live, in words. Nothing is applied.

use serde_json::{Value, json};

use super::router::{Request, Response};
use crate::config::{Config, Refused, load_next};
use crate::exposure::{Surface, diff};
use crate::reload::changes;
use seclang::diagnostic::Diagnostic;

/// Reads the files as a reload would. Blocks; what did not change is not compiled again.
pub(super) fn differences(running: &Config, request: &Request) -> Result<Response, Response> {
    super::fields::Fields::of(request).end()?;
    let (loaded, ..) = load_next(&running.source, running);
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(found) => {
            let (problems, warnings): (Vec<_>, Vec<_>) =
                found.into_iter().partition(Diagnostic::is_error);
            // Broken files are what somebody may ask about, so this is an answer, not an error.
            return Ok(answer(&[], false, &[], &[], &problems, &warnings));
        }
    };
    let surfaces = (Surface::of(running), Surface::of(&loaded.config));
    let found =
        diff(&surfaces.0, &surfaces.1).map_err(|error| Response::error(500, &error.to_string()))?;
    let unowned = found.iter().any(|change| change.unowned);
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    let parts = changes(running, &loaded.config);
    let Refusals(refused) = &Refusals::of(&loaded.refused);
    Ok(answer(
        &words,
        unowned,
        &parts,
        refused,
        &[],
        &loaded.warnings,
    ))
}

/// What a reload would not take, as JSON.
struct Refusals(Vec<Value>);

impl Refusals {
    fn of(refused: &[Refused]) -> Self {
        let refused = refused.iter().map(|refused| {
            json!({ "unit": refused.unit.to_string(), "reasons": texts(&refused.reasons) })
        });
        Self(refused.collect())
    }
}

fn answer(
    reachable: &[String],
    unowned: bool,
    parts: &[String],
    refused: &[Value],
    problems: &[Diagnostic],
    warnings: &[Diagnostic],
) -> Response {
    let report = json!({
        "reachable": reachable,
        "unowned": unowned,
        "changed": parts,
        "refused": refused,
        "problems": texts(problems),
        "warnings": texts(warnings),
    });
    Response::json(200, &report)
}

fn texts(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}
