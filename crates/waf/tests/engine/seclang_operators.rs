//! ModSecurity's own operator vectors, and every operator of the Core Rule Set.

use std::path::Path;
use support::materials;

use serde_json::Value;
use waf::internals::operators::{Captures, CompileContext, CompileError, Operator};

/// Vectors that are not answered as they say: operator, argument (empty for any), and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "validateNid",
        "",
        "an operator of Coraza that ModSecurity does not have",
    ),
    (
        "ipMatch",
        "0:0::/80",
        "::ffff:ffff:ffff shares its first 80 bits with ::, as the vectors for /79 and /87 say of theirs",
    ),
    (
        "validateSchema",
        "",
        "the vectors validate JSON, which ModSecurity's operator does not; it is refused at load",
    ),
];

/// How many vectors there are; fewer means that some are no longer run.
const VECTORS: usize = 3934;

fn compile(folder: &Path, name: &str, argument: &str) -> Result<Operator, CompileError> {
    let read = |file: &str| std::fs::read(folder.join(file));
    Operator::compile(name, argument, &CompileContext { read_data: &read })
}

/// The vectors write bytes as the characters of the same number.
fn bytes(text: &str) -> Vec<u8> {
    let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    latin.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Inputs also escape bytes a second time: `\0`, `\xe4`, `\u0000`.
fn input_bytes(text: &str) -> Vec<u8> {
    let text = bytes(text);
    let (mut out, mut rest) = (Vec::new(), text.as_slice());
    while let Some(first) = rest.first() {
        let digits = match rest {
            [b'\\', b'x', digits @ ..] => digits.get(..2).map(|d| (d, 4)),
            [b'\\', b'u', digits @ ..] => digits.get(2..4).map(|d| (d, 6)),
            [b'\\', b'0', ..] => Some((&b"0"[..], 2)),
            _ => None,
        };
        let escaped = digits.and_then(|(digits, length)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, length))
        });
        let (byte, length) = escaped.unwrap_or((*first, 1));
        out.push(byte);
        rest = &rest[length..];
    }
    out
}

fn run(folder: &Path, vector: &Value) -> Result<(), String> {
    let text = |key: &str| vector[key].as_str().unwrap_or_default();
    let (name, argument, input) = (text("name"), text("param"), input_bytes(text("input")));
    let expected = vector["ret"] == 1;
    let operator = match compile(folder, name, argument) {
        Ok(operator) => operator,
        // What cannot be loaded never matches; the IP vectors hold malformed networks.
        Err(e) if name == "ipMatch" => {
            return if expected { Err(e.message) } else { Ok(()) };
        }
        Err(e) => return Err(e.message),
    };
    let mut captures = Captures::default();
    let matched = operator
        .evaluate(&bytes(argument), &input, Some(&mut captures))
        .map_err(|e| e.to_string())?;
    if matched != expected {
        return Err(format!("{matched}, not {expected}"));
    }
    if let Some(groups) = vector["re_groups"].as_array() {
        let expected: Vec<_> = groups.iter().map(|g| bytes(g.as_str().unwrap())).collect();
        let held: Vec<_> = captures
            .iter(&input)
            .map(|g| g.unwrap_or_default().to_vec())
            .collect();
        if held != expected {
            return Err(format!("captured {held:?}, not {expected:?}"));
        }
    }
    Ok(())
}

#[test]
fn vectors() {
    let Some(folder) = materials::shared("seclang-vectors/operators") else {
        return;
    };
    let (mut count, mut failures) = (0, Vec::new());
    let mut needed = vec![false; EXCEPTIONS.len()];
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for vector in vectors {
            count += 1;
            let Err(why) = run(&folder.join("op"), &vector) else {
                continue;
            };
            let excepted = EXCEPTIONS.iter().position(|(name, argument, _)| {
                vector["name"] == *name && (argument.is_empty() || vector["param"] == *argument)
            });
            match excepted {
                Some(i) => needed[i] = true,
                None => failures.push(format!("{vector}: {why}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for ((name, _, why), needed) in EXCEPTIONS.iter().zip(needed) {
        assert!(needed, "{name} is excepted ({why}) and passes");
    }
    assert!(count >= VECTORS, "only {count} vectors ran");
}

/// The operator and its argument of each `SecRule` in a rule file.
fn operators_of(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let Some(rest) = line.trim_start().strip_prefix("SecRule ") else {
            continue;
        };
        let rest = rest.trim_start();
        // Variables may be quoted too; the operator is the next quoted string.
        let after = match rest.strip_prefix('"') {
            Some(inside) => inside.split_once('"').map_or("", |(_, after)| after),
            None => rest.split_once([' ', '\t']).map_or("", |(_, after)| after),
        };
        let Some(inside) = after.trim_start().strip_prefix('"') else {
            continue;
        };
        let mut operator = String::new();
        let mut characters = inside.chars();
        while let Some(c) = characters.next() {
            match c {
                '"' => break,
                '\\' if characters.as_str().starts_with('"') => {
                    operator.push('"');
                    characters.next();
                }
                _ => operator.push(c),
            }
        }
        let positive = operator.trim_start().trim_start_matches('!').trim_start();
        let (name, argument) = match positive.strip_prefix('@') {
            Some(named) => named.split_once([' ', '\t']).unwrap_or((named, "")),
            None => ("rx", positive),
        };
        found.push((name.to_owned(), argument.trim().to_owned()));
    }
    found
}

/// Compiles every operator of a folder of rules; how many `@rx` there were and the patterns that backtrack.
fn load(rules: &Path) -> (usize, usize, Vec<String>) {
    let (mut all, mut patterns, mut backtracking) = (0, 0, Vec::new());
    let mut files: Vec<_> = std::fs::read_dir(rules)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (name, argument) in operators_of(&text) {
            all += 1;
            let operator = compile(rules, &name, &argument)
                .unwrap_or_else(|e| panic!("{}: @{name} {argument}: {e}", file.display()));
            let inert = ["rbl", "geoLookup"].contains(&name.as_str());
            assert_eq!(operator.warning().is_some(), inert, "@{name}");
            if name == "rx" {
                patterns += 1;
                if operator.regex_source().is_none() {
                    backtracking.push(argument);
                }
            }
        }
    }
    (all, patterns, backtracking)
}

#[test]
fn core_rule_set_4_compiles_and_is_linear() {
    let Some(crs) = materials::crs() else { return };
    let (all, patterns, backtracking) = load(&crs.join("rules"));
    assert!(all >= 690, "{all} operators");
    assert_eq!(patterns, 318);
    assert_eq!(backtracking, Vec::<String>::new());
}

#[test]
fn core_rule_set_3_compiles() {
    let Some(crs33) = materials::crs33() else {
        return;
    };
    let installed = Path::new("/usr/share/modsecurity-crs/rules");
    for folder in [crs33.join("rules").as_path(), installed] {
        if !folder.is_dir() {
            println!("skipped: there is no {}", folder.display());
            continue;
        }
        let (_, patterns, backtracking) = load(folder);
        assert!(patterns >= 260, "{patterns} patterns");
        // Look-around, possessive quantifiers, and one macro.
        assert!(backtracking.len() <= 6, "{backtracking:#?}");
    }
}

/// A small generator of pseudo-random numbers: the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| u8::try_from(self.below(256)).unwrap())
            .collect()
    }
}

#[test]
fn every_operator_takes_any_bytes() {
    let mut random = Random(0x5eed);
    let read = |_: &str| Ok(b"a\n10.0.0.0/8\n".to_vec());
    let context = CompileContext { read_data: &read };
    for entry in waf::internals::operators::catalogue::OPERATORS {
        let argument = match entry.name {
            "ipMatchF" | "ipMatchFromFile" => continue,
            "ipMatch" => "10.0.0.0/8,::1",
            "validateByteRange" => "0-127",
            _ => "1",
        };
        let Ok(operator) = Operator::compile(entry.name, argument, &context) else {
            continue;
        };
        for _ in 0..300 {
            let length = random.below(80);
            let (expanded, value) = (random.bytes(length / 4), random.bytes(length));
            let mut captures = Captures::default();
            let with = operator.evaluate(&expanded, &value, Some(&mut captures));
            assert_eq!(
                with,
                operator.evaluate(&expanded, &value, None),
                "{}",
                entry.name
            );
            assert!(
                captures
                    .iter(&value)
                    .flatten()
                    .all(|g| g.len() <= value.len().max(8))
            );
        }
    }
}

#[test]
fn mutated_patterns_compile_or_say_why() {
    let Some(crs) = materials::crs() else { return };
    let mut random = Random(42);
    let folder = crs.join("rules");
    let text =
        std::fs::read_to_string(folder.join("REQUEST-932-APPLICATION-ATTACK-RCE.conf")).unwrap();
    let patterns: Vec<_> = operators_of(&text)
        .into_iter()
        .filter(|(name, argument)| name == "rx" && (8..600).contains(&argument.len()))
        .map(|(_, argument)| argument)
        .collect();
    let pieces: Vec<char> = r"\([{?+*|^$.)]}-:<!=>xQEdbpk1é&~,".chars().collect();
    let (mut compiled, mut refused) = (0, 0);
    for _ in 0..600 {
        let mut mutated: Vec<char> = patterns[random.below(patterns.len())].chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(mutated.len());
            match random.below(3) {
                0 => mutated.insert(at, pieces[random.below(pieces.len())]),
                1 => mutated[at] = pieces[random.below(pieces.len())],
                _ => drop(mutated.remove(at)),
            }
        }
        let mutated: String = mutated.into_iter().collect();
        match compile(&folder, "rx", &mutated) {
            Ok(operator) => {
                compiled += 1;
                let _ = operator.evaluate(b"", mutated.as_bytes(), None);
            }
            Err(e) => {
                refused += 1;
                let at = e.at.clone().unwrap_or_default();
                assert!(
                    at.start <= at.end && at.end <= mutated.len(),
                    "{mutated}: {at:?}"
                );
                assert!(!e.message.contains("cannot be compiled"), "{mutated}: {e}");
            }
        }
    }
    assert!(
        compiled > 100 && refused > 50,
        "{compiled} compiled, {refused} refused"
    );
}

#[test]
fn refusals_say_what_to_do() {
    let folder = Path::new(".");
    for (name, argument, message) in [
        ("nope", "", "there is no operator @nope"),
        ("inspectFile", "x", "not supported"),
        ("rx", "a(", "never closed"),
        ("pmFromFile", "no-such-file", "no-such-file"),
        ("validateByteRange", "1-300", "1-300"),
        ("ipMatch", "10.0.0.0/40", "10.0.0.0/40"),
        ("pm", "", "no phrase"),
    ] {
        let error = compile(folder, name, argument).unwrap_err();
        assert!(error.message.contains(message), "@{name}: {error}");
    }
    assert!(
        compile(folder, "DETECTsqli", "").is_ok(),
        "names have no case"
    );
    assert!(Operator::takes_macros("EndsWith") && !Operator::takes_macros("pm"));
}

#[test]
fn expanded_patterns_are_compiled_when_evaluated() {
    let operator = compile(Path::new("."), "rx", "^%{tx.x}$").unwrap();
    assert_eq!(operator.evaluate(b"^(a+)$", b"aa", None), Ok(true));
    let mut captures = Captures::default();
    assert_eq!(
        operator.evaluate(b"^(a+)$", b"aa", Some(&mut captures)),
        Ok(true)
    );
    assert_eq!(captures.group(1, b"aa"), Some(&b"aa"[..]));
    assert_eq!(operator.evaluate(b"^b$", b"aa", None), Ok(false));
    for _ in 0..2 {
        assert!(operator.evaluate(b"^($", b"aa", None).is_err());
    }
    for i in 0..200 {
        let pattern = format!("^{i}$");
        assert_eq!(
            operator.evaluate(pattern.as_bytes(), b"7", None),
            Ok(i == 7)
        );
    }
    assert!(
        operator
            .evaluate(&b"a".repeat(100_000), b"a", None)
            .is_err()
    );
}
