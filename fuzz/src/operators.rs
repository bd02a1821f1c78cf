//! Any operator, argument and value: no panic, and captures lie in the value.
//!
//! The first byte picks the operator; the rest is the argument, a line feed, and the value.

use waf::internals::operators::catalogue::OPERATORS;
use waf::internals::operators::{Captures, CompileContext, Operator};

pub fn run(data: &[u8]) {
    let Some((&pick, rest)) = data.split_first() else {
        return;
    };
    let name = OPERATORS[usize::from(pick) % OPERATORS.len()].name;
    let mut parts = rest.splitn(2, |&b| b == b'\n');
    let argument = parts.next().unwrap_or_default();
    let value = parts.next().unwrap_or_default();
    let read = |_: &str| Ok(argument.to_vec());
    let context = CompileContext { read_data: &read };
    let literal = String::from_utf8_lossy(argument);
    let Ok(operator) = Operator::compile(name, &literal, &context) else {
        return;
    };
    let mut captures = Captures::default();
    let with = operator.evaluate(argument, value, Some(&mut captures));
    let without = operator.evaluate(argument, value, None);
    assert_eq!(with, without, "captures must not change the verdict");
    assert!(captures.len() <= Captures::MOST);
    for group in captures.iter(value).flatten() {
        assert!(group.len() <= value.len().max(8));
    }
}
