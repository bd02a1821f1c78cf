//! What the documents show is true: their configurations load, their links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use dev_pki::{Authority, LeafOptions};
use drawbridge::config;
use regex::Regex;

const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "README.md",
    "CHANGELOG.md",
    "certs/README.md",
    "docs/certificates.md",
    "docs/console.md",
    "docs/cookbook-private-ca.md",
    "docs/cookbook-two-sides.md",
    "docs/error-pages.md",
    "docs/identity-cookbook.md",
    "docs/identity.md",
    "docs/ingress.md",
    "docs/install.md",
    "docs/limits.md",
    "docs/metrics.md",
    "docs/questions.md",
    "docs/redirects.md",
    "docs/security.md",
    "rules/README.md",
];

#[test]
fn readme_shows_a_configuration_that_loads() {
    let readme = read("README.md");
    let made = tempfile::tempdir().unwrap();
    let dir = made.path();
    fs::create_dir_all(dir.join("certs/public")).unwrap();
    let authority = Authority::new("CA", 90).unwrap();
    fs::write(
        dir.join("certs/onprem-ca.pem"),
        authority.certificate_pem().unwrap(),
    )
    .unwrap();
    let leaf = authority.leaf(&["api.example.com"], &LeafOptions::default());
    let (chain, key) = ("certs/public/api.pem", "certs/public/api.key");
    leaf.unwrap()
        .write(&dir.join(chain), &dir.join(key))
        .unwrap();
    let file = dir.join("drawbridge.toml");
    fs::write(&file, blocks(&readme, "toml")[0]).unwrap();

    let loaded = config::load(&file);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
}

#[test]
fn configurations_are_toml() {
    let mut seen = 0;
    for document in DOCUMENTS {
        for block in blocks(&read(document), "toml") {
            let parsed = block.parse::<toml::Table>();
            assert!(parsed.is_ok(), "{document}: {block}\n{parsed:?}");
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} blocks");
}

#[test]
fn links_lead_to_files() {
    let link = Regex::new(r"\]\(([^)#\s]+)\)").unwrap();
    for document in DOCUMENTS {
        let folder = manifest(document).parent().unwrap().to_owned();
        for target in link.captures_iter(&read(document)).map(|c| c[1].to_owned()) {
            let exists = target.starts_with("https://") || folder.join(&target).exists();
            assert!(exists, "{document}: {target}");
        }
    }
}

#[test]
fn architecture_names_what_there_is() {
    let text = read("ARCHITECTURE.md");
    let tree = text.split("```").nth(1).unwrap();
    let mut room = String::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        let path = match line.starts_with(' ') {
            true => format!("{room}{name}"),
            false => name.to_owned(),
        };
        if !line.starts_with(' ') {
            name.clone_into(&mut room);
        }
        assert!(manifest(&path).exists(), "{path}");
    }
    for room in fs::read_dir(manifest("src")).unwrap() {
        let name = room.unwrap().file_name().into_string().unwrap();
        assert!(
            tree.contains(&format!("src/{name}")),
            "src/{name} is not named"
        );
    }
}

#[test]
fn every_code_of_a_refusal_is_explained() {
    let code = Regex::new(r#"Self::\w+ => "([a-z_]+)""#).unwrap();
    let source = read("src/proxy/shared/refusal_code.rs");
    let page = read("docs/error-pages.md");
    let codes: Vec<&str> = code
        .captures_iter(&source)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(codes.len() > 20, "{codes:?}");
    for code in codes {
        assert!(page.contains(&format!("`{code}`")), "{code}");
    }
}

/// The fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

fn read(document: &str) -> String {
    fs::read_to_string(manifest(document)).unwrap()
}

fn manifest(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}
