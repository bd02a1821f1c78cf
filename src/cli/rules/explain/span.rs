//! Which bytes of a value an operator found: it is run once more to learn it.

use std::ops::Range;
use std::path::Path;

use crate::waf::MatchedRule;
use crate::waf::operators::{Captures, CompileContext, Operator};

/// The span in the transformed value. None where the operator is negated, finds no part of the value, or
/// where the value that was recorded is not the whole one.
pub fn find(rule: &MatchedRule) -> Option<Range<usize>> {
    let written = rule.operator.strip_prefix('@')?;
    let (name, argument) = written.split_once(' ').unwrap_or((written, ""));
    let folder = rule.file.parent().unwrap_or(Path::new(""));
    let read_data = |file: &str| std::fs::read(folder.join(file));
    let context = CompileContext {
        read_data: &read_data,
    };
    let value = rule.transformed.as_slice();
    if let Some(range) = literal(name, argument.as_bytes(), value) {
        return Some(range);
    }
    let operator = Operator::compile(name, argument, &context).ok()?;
    let mut captures = Captures::default();
    let matched = operator
        .evaluate(argument.as_bytes(), value, Some(&mut captures))
        .ok()?;
    let found = captures.group(0, value).filter(|_| matched)?;
    // The group is a part of the value where the operator did not make it up (a fingerprint).
    let start = (found.as_ptr() as usize).checked_sub(value.as_ptr() as usize)?;
    let range = start..start.checked_add(found.len())?;
    (value.get(range.clone()) == Some(found)).then_some(range)
}

/// Operators that compare with their argument and capture nothing.
fn literal(name: &str, argument: &[u8], value: &[u8]) -> Option<Range<usize>> {
    if argument.is_empty() {
        return None;
    }
    let range = match name.to_ascii_lowercase().as_str() {
        "contains" | "containsword" | "strmatch" => {
            let start = memchr::memmem::find(value, argument)?;
            start..start + argument.len()
        }
        "beginswith" => 0..argument.len(),
        "endswith" => value.len().checked_sub(argument.len())?..value.len(),
        "streq" | "eq" | "within" => 0..value.len(),
        _ => return None,
    };
    (range.end <= value.len()).then_some(range)
}
