//! Compares what happened with what was expected.

use regex::bytes::Regex;

use super::{Outcome, Output};

/// Every expectation that was not met, in words; empty if the stage passes.
#[must_use]
pub fn failures(expected: &Output, outcome: &Outcome) -> Vec<String> {
    // Without an answer nothing else can be judged.
    if expected.expect_error {
        return match outcome.status {
            None => Vec::new(),
            Some(status) => vec![format!("expected no answer, got status {status}")],
        };
    }
    let Some(status) = outcome.status else {
        return vec!["expected an answer, got none".to_owned()];
    };
    let mut failures = Vec::new();
    // A test that names no status accepts every one.
    if !expected.status.is_empty() && !expected.status.contains(&status) {
        failures.push(format!(
            "expected status {}, got {status}",
            super::join(&expected.status, " or ")
        ));
    }
    if let Some(regex) = &expected.response_contains
        && !regex.is_match(&outcome.response)
    {
        failures.push(format!("expected a response with /{regex}/"));
    }
    judge_ids(expected, outcome, &mut failures);
    judge_log(expected, outcome, &mut failures);
    failures
}

fn judge_ids(expected: &Output, outcome: &Outcome, failures: &mut Vec<String>) {
    for id in &expected.expect_ids {
        if !outcome.ids.contains(id) {
            failures.push(format!("expected rule {id} to match"));
        }
    }
    for id in &expected.no_expect_ids {
        if outcome.ids.contains(id) {
            failures.push(format!("expected rule {id} not to match"));
        }
    }
    // That the one expected rule is among them was judged above.
    if expected.isolated && outcome.ids.len() > 1 {
        failures.push("expected no other rule to match".to_owned());
    }
}

fn judge_log(expected: &Output, outcome: &Outcome, failures: &mut Vec<String>) {
    let found = |regex: &Regex| outcome.log.iter().any(|line| regex.is_match(line));
    if let Some(regex) = &expected.match_regex
        && !found(regex)
    {
        failures.push(format!("expected a log line like /{regex}/"));
    }
    if let Some(regex) = &expected.no_match_regex
        && found(regex)
    {
        failures.push(format!("expected no log line like /{regex}/"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expectation_can_fail() {
        let outcome = Outcome {
            status: Some(200),
            response: b"hello".to_vec(),
            ids: vec![1, 2],
            log: vec![b"[id \"1\"] found within ARGS:x".to_vec()],
            note: None,
        };
        let none = Outcome::default();
        let regex = |text: &str| Some(Regex::new(text).unwrap());
        let output = Output::default;
        for (expected, outcome, passes) in [
            (output(), &outcome, true),
            (output(), &none, false),
            (
                Output {
                    expect_error: true,
                    ..output()
                },
                &none,
                true,
            ),
            (
                Output {
                    expect_error: true,
                    ..output()
                },
                &outcome,
                false,
            ),
            (
                Output {
                    status: vec![400, 200],
                    ..output()
                },
                &outcome,
                true,
            ),
            (
                Output {
                    status: vec![400],
                    ..output()
                },
                &outcome,
                false,
            ),
            (
                Output {
                    response_contains: regex("^hel"),
                    ..output()
                },
                &outcome,
                true,
            ),
            (
                Output {
                    response_contains: regex("^x"),
                    ..output()
                },
                &outcome,
                false,
            ),
            (
                Output {
                    expect_ids: vec![1, 2],
                    ..output()
                },
                &outcome,
                true,
            ),
            (
                Output {
                    expect_ids: vec![1, 3],
                    ..output()
                },
                &outcome,
                false,
            ),
            (
                Output {
                    no_expect_ids: vec![3],
                    ..output()
                },
                &outcome,
                true,
            ),
            (
                Output {
                    no_expect_ids: vec![3, 2],
                    ..output()
                },
                &outcome,
                false,
            ),
            (
                Output {
                    isolated: true,
                    expect_ids: vec![1],
                    ..output()
                },
                &outcome,
                false,
            ),
            (
                Output {
                    match_regex: regex("ARGS:x$"),
                    ..output()
                },
                &outcome,
                true,
            ),
            (
                Output {
                    match_regex: regex("ARGS:y"),
                    ..output()
                },
                &outcome,
                false,
            ),
            (
                Output {
                    no_match_regex: regex("ARGS:y"),
                    ..output()
                },
                &outcome,
                true,
            ),
            (
                Output {
                    no_match_regex: regex("ARGS:x"),
                    ..output()
                },
                &outcome,
                false,
            ),
        ] {
            assert_eq!(
                failures(&expected, outcome).is_empty(),
                passes,
                "{expected}"
            );
        }
    }
}
