//! ModSecurity's and Coraza's own transformation vectors, which are not part of this project.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use support::materials;
use waf::internals::transform::{Transformation, UnicodeMap};

/// How many vectors there are; fewer means that some no longer run.
const VECTORS: usize = 358;

/// The best fit of US-ASCII, as far as the vectors of `urlDecodeUni` need it: they were written for engines that have a map.
const MAP: &str = "\
20127 (US-ASCII)
00a0:20 00a1:21 00a2:63 00a4:24 00a5:59 00a6:7c 00a9:43 00aa:61 00ab:3c 00ad:2d 00ae:52 00b2:32 00b3:33 00b7:2e
00b8:2c 00b9:31 00ba:6f 00bb:3e 00c0:41 00c1:41 00c2:41 00c3:41 00c4:41 00c5:41 00c6:41 00c7:43 00c8:45 00c9:45
00ca:45 00cb:45 00cc:49 00cd:49 00ce:49 00cf:49 00d0:44 00d1:4e 00d2:4f 00d3:4f 00d4:4f 00d5:4f 00d6:4f 00d8:4f
00d9:55 00da:55 00db:55 00dc:55 00dd:59 00e0:61 00e1:61 00e2:61 00e3:61 00e4:61 00e5:61 00e6:61 00e7:63 00e8:65
00e9:65 00ea:65 00eb:65 00ec:69 00ed:69 00ee:69 00ef:69 00f1:6e 00f2:6f 00f3:6f 00f4:6f 00f5:6f 00f6:6f 00f8:6f
00f9:75 00fa:75 00fb:75 00fc:75 00fd:79 00ff:79 2014:2d 2018:27 2019:27 201c:22 201d:22
";

/// Vectors whose output ModSecurity v2 would not give: the transformation, the input as the file spells it, what we make
/// of it (with the same spelling), and why.
const OTHER_OUTPUT: &[(&str, &str, &str, &str)] = &[
    (
        "cssDecode",
        "test\\a\\b\\f\\n\\r\\t\\v\\?\\'\\\"\\\0\\12\\123\\1234\\12345\\123456\\ff01\\ff5e\\\n\\\0  string",
        "test\n\x0b\x0fnrtv?'\"\0\x12#4EV!~\0  string",
        LOW_BYTE,
    ),
    (
        "cssDecode",
        "\\1A\\1 A\\1234567\\123456 7\\1x\\1 x",
        "\x1a\x01AV7V7\x01x\x01x",
        LOW_BYTE,
    ),
    (
        "escapeSeqDecode",
        "\\8\\9\\666\\xag\\xga\\0123",
        "89\\xb6xagxga\n3",
        "the vector's own reader takes \\xag for a byte, in the input and in the output",
    ),
    (
        "hexDecode",
        "01234567890z",
        "\x01\x23\x45\x67\\x89\x23",
        UNCHECKED,
    ),
    ("hexDecode", "54657374004", "Test\0", UNCHECKED),
];

const LOW_BYTE: &str = "Coraza writes the code point as UTF-8, v2 its low byte";
const UNCHECKED: &str = "Coraza empties what is not all hexadecimal, v2 decodes every whole pair";

/// Vectors whose `ret` is not whether the bytes changed: the transformation, the input, and why.
const OTHER_RETURN: &[(&str, &str, &str)] = &[
    ("cmdLine", "test", SAME_BYTES),
    ("hexDecode", "", SAME_BYTES),
    ("hexDecode", "01234567890z", UNCHECKED),
    ("hexDecode", "54657374004", UNCHECKED),
    ("hexEncode", "", SAME_BYTES),
    (
        "jsDecode",
        "8966\\x0a\\x00\\x00\\x00\\x0a\\x0a\\x0a3u00a",
        "the vector's own reader has decoded the input already",
    ),
    ("removeComments", "", SAME_BYTES),
    ("removeComments", "TestCase", SAME_BYTES),
    ("removeComments", "Test\\u0000Case", SAME_BYTES),
    ("removeComments", "Before TestCase */ After", SAME_BYTES),
    ("removeComments", "Test\r\nCase */After", SAME_BYTES),
    ("removeCommentsChar", "", SAME_BYTES),
    ("removeCommentsChar", "TestCase", SAME_BYTES),
    ("removeCommentsChar", "Test\\u0000Case", SAME_BYTES),
    ("uppercase", "testcase", OTHER_BYTES),
    ("uppercase", "test\0case", OTHER_BYTES),
    ("urlDecodeUni", "var%3d%20@.%3d%20%28%20SELECT", OTHER_BYTES),
];

const SAME_BYTES: &str = "under multiMatch, testing the same bytes twice would count a match twice";
const OTHER_BYTES: &str = "the vector says that its own output is no change";

#[test]
fn vectors_give_what_modsecurity_v2_gives() {
    let Some(directory) = materials::shared("seclang-vectors/transformations") else {
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
        let given = unescape(&input);
        let mut made = Vec::new();
        let changed = transformation.apply(&given, &mut made, Some(&map));
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

/// Transformation, input, output and return of every vector. A file is named after its transformation.
fn read(directory: &Path) -> Vec<(String, String, String, bool)> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut vectors = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        for vector in list {
            let text = |key: &str| vector[key].as_str().unwrap().to_owned();
            let ret = vector["ret"].as_i64().unwrap() == 1;
            vectors.push((name.clone(), text("input"), text("output"), ret));
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
