//! No operator goes on over a long value when there is no time left.

use super::*;
use crate::steps::{self, within};

const LENGTH: usize = 1 << 18;
/// Far fewer steps than such a value has.
const FEW: steps::Limit = steps::Limit::Looks(2);

fn compiled(name: &str, argument: &str) -> Operator {
    let read_data = |_: &str| Ok(b"needle\nother\n".to_vec());
    let context = CompileContext {
        read_data: &read_data,
    };
    Operator::compile(name, argument, &context).unwrap()
}

#[test]
fn long_values_end_operators_when_time_does() {
    for (name, argument, unit) in [
        ("containsWord", "needle", "xneedle"),
        ("detectSQLi", "", "1<"),
        ("detectSQLi", "", "((+"),
        ("detectSQLi", "", "/**/"),
        ("detectXSS", "", "<"),
        ("detectXSS", "", "<a b=c>"),
        ("detectXSS", "", "x y=z "),
        ("pm", "needle other", "needl"),
        ("pmFromFile", "list", "othe"),
        ("rx", "(?:a|b)*c[^d]{3}e", "abc"),
        // What the regex crate searches backwards from, and what it walks all states for where that takes too long.
        ("rx", r"(?:[|&]\s*)*needle", "|"),
        ("rx", "x.*y.*needle", "xy"),
        ("validateByteRange", "0-255", "x"),
        ("validateUrlEncoding", "", "%41"),
        ("verifyCC", r"\d{13,16}", "4111111111111112"),
        ("verifySSN", r"\d+", "1"),
    ] {
        let operator = compiled(name, argument);
        let value = unit.repeat(LENGTH / unit.len());
        let value = value.as_bytes();
        for captures in [false, true] {
            let evaluate = || {
                let mut kept = Captures::default();
                operator.evaluate(argument.as_bytes(), value, captures.then_some(&mut kept))
            };
            assert_eq!(within(FEW, evaluate).0, Err(Limit::Time), "{name} {unit}");
            let whole = evaluate();
            assert_ne!(whole, Err(Limit::Time), "{name} {unit}");
            let enough = steps::Limit::Looks(u64::MAX);
            assert_eq!(within(enough, evaluate).0, whole, "{name} {unit}");
        }
    }
}

/// In steps or at once: the same answer and the same captures.
#[test]
fn long_values_are_searched_as_short_ones() {
    let filler = "lorem ipsum 1+1 <p> ";
    for (name, argument, found) in [
        ("rx", "(?i)nee(d)le", "NEEDLE"),
        ("rx", r"\bneedle\b", " needle "),
        ("rx", "^lorem.*needle$", "needle"),
        ("rx", r"needle\z|never", "needle"),
        ("rx", "(need|needle)(s?)", "needles"),
        ("rx", r"n(?:e+)d\B", "needle"),
        ("pm", "never needle eedl", "needle"),
        ("pm", "ips needle", ""),
        ("containsWord", "needle", " needle"),
        ("validateUrlEncoding", "", "%zz"),
        ("validateByteRange", "1-126", "\x7f"),
        ("detectXSS", "", "><script>"),
    ] {
        let operator = compiled(name, argument);
        // The find stands at every place around the end of a step, and at the very end.
        for before in (steps::STEP - 12..steps::STEP + 12).chain([40_000, 100_001]) {
            let mut value = filler.repeat(1 + before / filler.len());
            value.truncate(before);
            for after in ["", " tail of the text"] {
                let text = format!("{value}{found}{after}");
                let mut captures = Captures::default();
                let result =
                    operator.evaluate(argument.as_bytes(), text.as_bytes(), Some(&mut captures));
                let expected = match name {
                    "rx" => {
                        let regex = regex::bytes::Regex::new(&format!("(?s-u){argument}")).unwrap();
                        let expected = regex.captures(text.as_bytes());
                        for group in 0..3 {
                            assert_eq!(
                                captures.group(group, text.as_bytes()),
                                expected
                                    .as_ref()
                                    .and_then(|e| Some(e.get(group)?.as_bytes())),
                                "{argument} group {group} at {before}"
                            );
                        }
                        expected.is_some()
                    }
                    _ => true,
                };
                assert_eq!(result, Ok(expected), "{name} {argument} at {before}{after}");
            }
        }
    }
}

/// Where a beginning is enough, it says what the whole value says.
#[test]
fn long_values_have_the_fingerprint_of_their_beginning() {
    let read = |value: &str| {
        let mut captures = Captures::default();
        let operator = Operator::DetectSqli;
        let found = operator.evaluate(b"", value.as_bytes(), Some(&mut captures));
        (
            found,
            captures.group(0, value.as_bytes()).map(<[u8]>::to_vec),
        )
    };
    for start in [
        "1' or '1'='1",
        "-1 union select 1,2,3 ",
        "x' into outfile '/tmp/x",
        "1 /* ",
        "' -- ",
        "1;$a",
        "1;$$",
        "sexy and 17",
        "a\" or 1=1",
        "it's fine ",
        "1 + 1 ",
    ] {
        for filler in [
            "x y ", "'", "\"", "1+", "*/ ", "$", "--x\n", "(a) ", "@a.b ",
        ] {
            let long = format!("{start}{}", filler.repeat(20_000 / filler.len()));
            // More of the same: the first is read as a beginning, the second decides for itself.
            let state = libinjectionrs::sqli::SqliState::new;
            let flags = libinjectionrs::sqli::SqliFlags::FLAG_NONE;
            let whole = state(long.as_bytes(), flags).get_fingerprint();
            let (found, fingerprint) = read(&long);
            if found == Ok(true) && fingerprint.as_deref() == Some(whole.as_str().as_bytes()) {
                continue;
            }
            let short = format!("{start}{}", filler.repeat(8_000 / filler.len()));
            assert_eq!(read(&short), (found, fingerprint), "{start} {filler}");
        }
    }
}

#[test]
fn rules_with_equal_arguments_share_what_is_compiled() {
    let compile = |name: &str, argument: &str, file: &'static [u8]| {
        let read_data = |_: &str| Ok(file.to_vec());
        let context = CompileContext {
            read_data: &read_data,
        };
        Operator::compile(name, argument, &context).unwrap()
    };
    let pattern = |name, argument| match compile(name, argument, b"") {
        Operator::Rx(pattern) | Operator::Verify(_, pattern) => pattern,
        other => panic!("{other:?}"),
    };
    let first = pattern("rx", r"shared-\d+$");
    assert!(Arc::ptr_eq(&first, &pattern("rx", r"shared-\d+$")));
    assert!(!Arc::ptr_eq(&first, &pattern("rx", r"shared-\d+")));
    // The same text with other options is another pattern.
    assert!(!Arc::ptr_eq(&first, &pattern("verifyCC", r"shared-\d+$")));

    let matches = |operator: &Operator, value| operator.evaluate(b"", value, None).unwrap();
    let before = compile("pmFromFile", "list.data", b"first");
    let after = compile("pmFromFile", "list.data", b"second");
    assert!(matches(&before, b"a first") && !matches(&before, b"a second"));
    assert!(matches(&after, b"a second") && !matches(&after, b"a first"));
}
