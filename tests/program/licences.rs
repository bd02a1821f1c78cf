//! What the binary is made of: licences, second versions and crates that must not come in.
//!
//! `deny.toml` says the same for those who have cargo-deny; this needs no network and no tool.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that are there in more than one version, nearly all because pingora asks for an older one than others do.
const MANY_VERSIONS: &[&str] = &[
    "alloc-no-stdlib",
    "alloc-stdlib",
    "base64",
    "block-buffer",
    "brotli-decompressor",
    "crypto-common",
    "digest",
    "getrandom",
    "hashbrown",
    "indexmap",
    "rand",
    "rand_chacha",
    "rand_core",
    "syn",
    "synstructure",
];

/// One TLS stack, and no regular expressions that backtrack in C.
const BANNED: &[&str] = &[
    "aws-lc-rs",
    "boring",
    "native-tls",
    "pcre2",
    "ring",
    "rustls",
    "s2n-tls",
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_licence_is_allowed() {
    let refused: Vec<String> = dependencies()
        .iter()
        .filter(|package| !package.licence.as_deref().is_some_and(is_allowed))
        .map(|package| format!("{}: {:?}", package.name, package.licence))
        .collect();
    assert!(refused.is_empty(), "not allowed: {refused:#?}");
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let others: Vec<String> = dependencies()
        .into_iter()
        .filter(|package| package.source != REGISTRY)
        .map(|package| format!("{} from {}", package.name, package.source))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn second_versions_are_known() {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for package in dependencies() {
        *versions.entry(package.name).or_default() += 1;
    }
    let found: BTreeSet<&str> = versions
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(name, _)| name.as_str())
        .collect();
    let known: BTreeSet<&str> = MANY_VERSIONS.iter().copied().collect();
    let unexpected: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        unexpected.is_empty(),
        "unexpected second versions: {unexpected:?}"
    );
    assert!(gone.is_empty(), "only one version is left of: {gone:?}");
}

#[test]
fn banned_crates_are_absent() {
    let found: Vec<String> = dependencies()
        .into_iter()
        .map(|package| package.name)
        .filter(|name| BANNED.contains(&name.as_str()))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    for (expression, allowed) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("GPL-2.0 OR MIT", true),
        ("GPL-2.0 AND MIT", false),
        ("(MIT OR GPL-2.0) AND Unicode-3.0", true),
        ("MIT OR GPL-2.0 AND GPL-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("GPL-2.0 WITH Classpath-exception-2.0", false),
        ("", false),
        ("MIT OR", false),
        ("(MIT", false),
    ] {
        assert_eq!(is_allowed(expression), allowed, "{expression:?}");
    }
}

struct Package {
    name: String,
    licence: Option<String>,
    source: String,
}

/// What is built for this machine, without the crate itself. Nothing is fetched.
fn dependencies() -> Vec<Package> {
    let tree = cargo(&["tree", "--target", &host(), "--prefix=none", "--format={p}"]);
    let built: BTreeSet<(&str, &str)> = tree.lines().filter_map(name_and_version).collect();
    // Only what this platform needs is sure to have been downloaded.
    let platform = format!("--filter-platform={}", host());
    let metadata = cargo(&["metadata", "--format-version=1", &platform]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    let packages: Vec<Package> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| package["name"] != env!("CARGO_PKG_NAME"))
        // It also lists what a crate could use and nobody asks for (`"ring?/std"`).
        .filter(|package| {
            let field = |key: &str| package[key].as_str().unwrap();
            // The workspace's own packages come from its folder, and have no source.
            package["source"].is_string() && built.contains(&(field("name"), field("version")))
        })
        .map(|package| Package {
            name: text(package, "name").unwrap(),
            licence: text(package, "license"),
            source: text(package, "source").unwrap_or_default(),
        })
        .collect();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    packages
}

/// Of a line like `pingora v0.9.1 (*)`.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

/// Whether an SPDX expression leaves a choice that is allowed. `/` is an old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    either(&mut words) == Some(true) && words.is_empty()
}

fn either(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = both(words)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        allowed |= both(words)?;
    }
    Some(allowed)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = licence(words)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        allowed &= licence(words)?;
    }
    Some(allowed)
}

fn licence(words: &mut &[&str]) -> Option<bool> {
    let (allowed, rest) = match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let allowed = either(words)?;
            (allowed, words.strip_prefix(&[")"])?)
        }
        [name, "WITH", exception, rest @ ..] => {
            let name = format!("{name} WITH {exception}");
            (ALLOWED.contains(&name.as_str()), rest)
        }
        [name, rest @ ..] => (ALLOWED.contains(name), rest),
        [] => return None,
    };
    *words = rest;
    Some(allowed)
}
