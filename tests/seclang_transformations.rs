//! ModSecurity's and Coraza's own transformation vectors, which are not part of this project.
//!
//! They are looked for in `$SHARED_DIR/seclang-vectors`, else beside the project in `../shared`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use drawbridge::waf::transform::{Transformation, UnicodeMap};
use serde_json::Value;

/// How many vectors there are; fewer means that some no longer run.
const VECTORS: usize = 384;

/// Vectors that run with [`MAP`]: they were written for an engine that always has a Unicode map.
const MAPPED: &[&str] = &[
    "%u201cAnd he is now the governor of Georgia.",
    "%u201dQuoted%u2019s%u2018 word%u2014dash",
    "%u0041%u00e9%u00e8",
];

const MAP: &str = "20127 (US-ASCII)\n00e8:65 00e9:65 2014:2d 2018:27 2019:27 201c:22 201d:22\n";

/// Vectors whose output ModSecurity v2 would not give: the transformation, the input as the file spells it, what we make
/// of it (with the same spelling), and why.
const OTHER_OUTPUT: &[(&str, &str, &str, &str)] = &[];

/// Vectors whose `ret` is not whether the bytes changed, and why.
const OTHER_RETURN: &[(&str, &str, &str)] = &[];

#[test]
fn vectors_give_what_modsecurity_v2_gives() {
    let Some(directory) = vectors() else {
        println!("skipped: no seclang-vectors; set SHARED_DIR to the folder that holds them");
        return;
    };
    let map = UnicodeMap::parse(MAP, 20127).unwrap();
    let mut run = 0;
    let mut failures = Vec::new();
    let mut other_outputs = BTreeSet::new();
    let mut other_returns = BTreeSet::new();
    for (name, input, output, ret) in read(&directory) {
        run += 1;
        let transformation = Transformation::from_name(&name).unwrap();
        let unicode = MAPPED.contains(&input.as_str()).then_some(&map);
        let given = unescape(&input);
        let mut made = Vec::new();
        let changed = transformation.apply(&given, &mut made, unicode);
        let result = if changed { &made } else { &given };

        if *result != unescape(&output) {
            match OTHER_OUTPUT
                .iter()
                .find(|other| other.0 == name && other.1 == input)
            {
                Some(other) if *result == unescape(other.2) => _ = other_outputs.insert(other),
                _ => failures.push(format!(
                    "{name} {input:?}: expected {output:?}, got \"{}\"",
                    result.escape_ascii()
                )),
            }
        }
        if changed != ret {
            match OTHER_RETURN
                .iter()
                .find(|other| other.0 == name && other.1 == input)
            {
                Some(other) => _ = other_returns.insert(other),
                None => failures.push(format!("{name} {input:?}: returned {changed}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let needed = "each exception is still needed";
    assert_eq!(OTHER_OUTPUT.len(), other_outputs.len(), "{needed}");
    assert_eq!(OTHER_RETURN.len(), other_returns.len(), "{needed}");
    assert!(run >= VECTORS, "only {run} vectors ran");
}

fn vectors() -> Option<PathBuf> {
    let shared = match std::env::var_os("SHARED_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let directory = shared.join("seclang-vectors/transformations");
    directory.is_dir().then_some(directory)
}

/// Name, input, output and return of every vector.
fn read(directory: &Path) -> Vec<(String, String, String, bool)> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut vectors = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        for vector in list {
            let text = |key: &str| vector[key].as_str().unwrap().to_owned();
            let ret = vector["ret"].as_i64().unwrap() == 1;
            vectors.push((text("name"), text("input"), text("output"), ret));
        }
    }
    vectors
}

/// The vectors spell bytes that JSON cannot hold as `\xHH` or `\uHHHH` (its low byte) inside the JSON string.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = match rest {
            [b'\\', b'x', ..] => rest.get(2..4),
            [b'\\', b'u', ..] => rest.get(2..6),
            _ => None,
        };
        let number = digits
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u16::from_str_radix(digits, 16).ok());
        if let (Some(number), Some(digits)) = (number, digits) {
            bytes.push(number.to_be_bytes()[1]);
            rest = &rest[2 + digits.len()..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}
