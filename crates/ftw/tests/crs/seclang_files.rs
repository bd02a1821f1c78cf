//! The parser on real rule files: all of the Core Rule Set, and what becomes of it when it is damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seclang::diagnostic::Diagnostic;
use seclang::{
    ActionSyntax, Directive, DiskFiles, Files, Input, Loaded, SourceId, Span, TargetSyntax, load,
    parse,
};
use support::materials;

#[test]
fn crs_4_has_no_problem_and_all_its_directives() {
    let Some(crs) = materials::crs() else { return };
    let loaded = load_all(&[crs.join("crs-setup.conf.example"), crs.join("rules/*.conf")]);
    assert_eq!(told(&loaded.diagnostics), "");
    let expected = [
        ("SecAction", 8),
        ("SecComponentSignature", 1),
        ("SecDefaultAction", 5),
        ("SecMarker", 30),
        ("SecRule", 695),
        ("SecRuleUpdateTargetById", 55),
    ];
    assert_eq!(count(&loaded), BTreeMap::from(expected.map(owned)));
    spans_fit(&loaded);
    assert_eq!(operators(&loaded, "rx"), (297 + 21, 21));
    assert_eq!(operators(&loaded, "pmFromFile"), (20 + 1, 1));
}

#[test]
fn crs_4_exclusion_examples_have_no_problem() {
    let Some(crs) = materials::crs() else { return };
    let loaded = load_all(&[crs.join("rules/*.conf.example")]);
    assert_eq!(told(&loaded.diagnostics), "");
}

#[test]
fn crs_3_3_has_no_problem() {
    let Some(crs) = materials::crs33() else {
        return;
    };
    let loaded = load_all(&[
        crs.join("crs-setup.conf.example"),
        crs.join("rules/*.conf"),
        crs.join("rules/*.conf.example"),
    ]);
    assert_eq!(told(&loaded.diagnostics), "");
    assert!(count(&loaded)["SecRule"] > 700);
    spans_fit(&loaded);
}

#[test]
fn debians_crs_has_no_problem_and_all_its_directives() {
    let setup = Path::new("/etc/modsecurity/crs/crs-setup.conf");
    let rules = Path::new("/usr/share/modsecurity-crs/rules/*.conf");
    if !setup.is_file() {
        eprintln!("skipped: {} is not installed", setup.display());
        return;
    }
    let loaded = load_all(&[setup.to_owned(), rules.to_owned()]);
    assert_eq!(told(&loaded.diagnostics), "");
    let expected = [
        ("SecAction", 10),
        ("SecCollectionTimeout", 1),
        ("SecComponentSignature", 1),
        ("SecDefaultAction", 2),
        ("SecMarker", 40),
        ("SecRule", 790),
    ];
    assert_eq!(count(&loaded), BTreeMap::from(expected.map(owned)));
}

#[test]
fn globs_find_files_in_byte_order() {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    for file in [
        "b/z.conf",
        "b/Z.conf",
        "b/.hidden.conf",
        "b/é.conf",
        "a[1]/x.conf",
        "a1/x.conf",
        "b/note",
    ] {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = match file {
            "b/note" => "Include *.conf".to_owned(),
            _ => format!("SecMarker {file}"),
        };
        std::fs::write(path, text).unwrap();
    }
    std::fs::create_dir_all(folder.join("b/folder.conf")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("b/link.conf")).unwrap();

    let marked = |pattern: &str| -> Vec<String> {
        let found = DiskFiles.glob(folder, pattern).unwrap();
        let names = found.iter().map(|path| path.strip_prefix(folder).unwrap());
        names
            .map(|name| name.to_str().unwrap().to_owned())
            .collect()
    };
    let found = [
        "b/Z.conf",
        "b/folder.conf",
        "b/link.conf",
        "b/z.conf",
        "b/é.conf",
    ];
    assert_eq!(marked("b/*.conf"), found);
    assert_eq!(marked("*1*/x.conf"), ["a1/x.conf", "a[1]/x.conf"]);
    assert_eq!(marked("?/.*"), ["b/.hidden.conf"]);
    assert_eq!(marked("a[1]/?.conf"), ["a[1]/x.conf"]);
    assert_eq!(marked("no*/x.conf"), [""; 0]);

    let loaded = load_all(&[folder.join("a[1]/*.conf"), folder.join("b/note")]);
    assert_eq!(count(&loaded), BTreeMap::from([owned(("SecMarker", 4))]));
    let told = told(&loaded.diagnostics);
    assert!(told.contains("b/note:1:9"), "{told}");
    assert!(told.contains("b/link.conf is a link to nothing"), "{told}");
    assert!(told.contains("b/folder.conf: is a directory"), "{told}");
    assert_eq!(loaded.diagnostics.len(), 2, "{told}");
}

#[test]
fn a_path_means_the_file_of_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["r1", "r[1]"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(
            folder.join(name).join("a.conf"),
            format!("SecMarker {name}"),
        )
        .unwrap();
    }
    let main = "Include r[1]/a.conf\nInclude r[1]/*.conf\nInclude r[2]/a.conf\nIncludeOptional gone.conf\nIncludeOptional r[0-9]/*.conf\nIncludeOptional r[0-9]/a.conf\nIncludeOptional no/*.conf\nInclude r1\n";
    std::fs::write(folder.join("main.conf"), main).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("gone.conf")).unwrap();
    let exact = folder.join("r[1]/a.conf");
    let inputs = vec![
        Input::Files(exact.display().to_string()),
        Input::File(exact),
        Input::File(folder.join("main.conf")),
    ];
    let loaded = load(inputs, &DiskFiles);
    for directive in &loaded.directives {
        let Directive::Marker(name) = directive else {
            panic!("{directive:?}")
        };
        assert_eq!(name.node, "r[1]");
    }
    assert_eq!(loaded.directives.len(), 4);
    let told = told(&loaded.diagnostics);
    for text in [
        "main.conf:3:9",
        "`[` stands for itself",
        "main.conf:4:17",
        "gone.conf is a link to nothing",
        "main.conf:5:17: warning: no file matches",
        "main.conf:6:17: warning: cannot read",
        "main.conf:8:9: error: cannot read",
        "name the files in it",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
}

#[test]
fn damaged_rule_files_are_parsed_without_panic_in_linear_work() {
    let mut seeds = vec![SEED.to_owned()];
    for folder in ["crs", "crs-3.3"] {
        seeds.extend(materials::shared(folder).iter().flat_map(|crs| texts(crs)));
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..4000 {
        let seed = &seeds[random.below(seeds.len())];
        let text = damage(window(seed, &mut random), &mut random);
        let parsed = parse(SourceId(0), Path::new("damaged.conf"), &text);
        // A byte is looked at in its line, its argument and its item, once each, and a selector's
        // escapes once more.
        assert!(
            parsed.steps <= 5 * text.len() + 5,
            "round {round}: {} steps for {} bytes",
            parsed.steps,
            text.len()
        );
        for directive in &parsed.directives {
            spans_of(directive, &mut |span| fits(span, &text, "damaged.conf"));
        }
    }
}

#[test]
fn work_doubles_when_a_hostile_text_doubles() {
    let hostile: [fn(usize) -> String; 10] = [
        |n| "\\\n".repeat(n),
        |n| format!("SecRule ARGS \"{}", "\\\\".repeat(n)),
        |n| format!("SecRule ARGS:{}", "/a|".repeat(n)),
        |n| format!("SecRule \"{}\" x", "ARGS:'\\'|".repeat(n)),
        |n| format!("SecRule \"{}\" x", "ARGS|".repeat(n)),
        |n| format!("SecRule \"{}\" x", "ARGS:/a/ ".repeat(n)),
        |n| format!("SecAction \"{}\"", "msg:'x' ".repeat(n)),
        |n| format!("SecAction \"{}\"", "t:none,\\\n ".repeat(n)),
        |n| "# \\\nSecRule\n".repeat(n),
        |n| "SecRule \"\n".repeat(n),
    ];
    for (index, make) in hostile.iter().enumerate() {
        let work = |n| parse(SourceId(0), Path::new("h.conf"), &make(n)).steps;
        let (once, twice) = (work(2000), work(4000));
        assert!(once > 2000, "text {index} was not looked at");
        assert!(twice <= 2 * once + 64, "text {index}: {once} then {twice}");
    }
}

fn load_all(patterns: &[PathBuf]) -> Loaded {
    let inputs = patterns.iter();
    let inputs = inputs.map(|path| Input::Files(path.to_str().unwrap().to_owned()));
    load(inputs.collect(), &DiskFiles)
}

fn texts(crs: &Path) -> Vec<String> {
    let loaded = load_all(&[crs.join("crs-setup.conf.example"), crs.join("rules/*.conf")]);
    let sources = loaded.sources.iter();
    sources.map(|(_, source)| source.text.clone()).collect()
}

fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|d| d.render(false)).collect()
}

fn owned((name, count): (&str, usize)) -> (String, usize) {
    (name.to_owned(), count)
}

fn count(loaded: &Loaded) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for directive in &loaded.directives {
        let name = match directive {
            Directive::Rule(_) => "SecRule",
            Directive::Action { .. } => "SecAction",
            Directive::DefaultAction { .. } => "SecDefaultAction",
            Directive::Marker(_) => "SecMarker",
            Directive::UpdateAction { .. } => "SecRuleUpdateActionById",
            Directive::UpdateTarget { name, .. } | Directive::Setting { name, .. } => &name.node,
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// How many rules have this operator, and how many of them are negated.
fn operators(loaded: &Loaded, name: &str) -> (usize, usize) {
    let mut found = (0, 0);
    for directive in &loaded.directives {
        if let Directive::Rule(rule) = directive
            && rule.operator.name.node == name
        {
            found.0 += 1;
            found.1 += usize::from(rule.operator.negated);
        }
    }
    found
}

fn spans_fit(loaded: &Loaded) {
    for directive in &loaded.directives {
        spans_of(directive, &mut |span| {
            let source = loaded.sources.file(span.file);
            fits(span, &source.text, &source.path.to_string_lossy());
        });
    }
}

fn fits(span: Span, text: &str, path: &str) {
    let range = span.start as usize..span.end as usize;
    assert!(text.get(range).is_some(), "{path}: {span:?}");
}

fn spans_of(directive: &Directive, see: &mut impl FnMut(Span)) {
    match directive {
        Directive::Rule(rule) => {
            see(rule.span);
            see(rule.operator.span);
            see(rule.operator.name.span);
            see(rule.operator.argument.span);
            targets_of(&rule.targets, see);
            actions_of(&rule.actions, see);
        }
        Directive::Action { actions, span } | Directive::DefaultAction { actions, span } => {
            see(*span);
            actions_of(actions, see);
        }
        Directive::Marker(name) => see(name.span),
        Directive::UpdateAction { id, actions, span } => {
            see(*span);
            see(id.span);
            actions_of(actions, see);
        }
        Directive::UpdateTarget {
            what,
            targets,
            replaced,
            span,
            ..
        } => {
            see(*span);
            see(what.span);
            targets_of(targets, see);
            targets_of(replaced, see);
        }
        Directive::Setting {
            name,
            arguments,
            span,
        } => {
            see(*span);
            see(name.span);
            arguments.iter().for_each(|argument| see(argument.span));
        }
    }
}

fn targets_of(targets: &[TargetSyntax], see: &mut impl FnMut(Span)) {
    for target in targets {
        see(target.span);
        see(target.variable.span);
        target.selector.iter().for_each(|part| see(part.span));
    }
}

fn actions_of(actions: &[ActionSyntax], see: &mut impl FnMut(Span)) {
    for action in actions {
        see(action.span);
        see(action.name.span);
        action.argument.iter().for_each(|part| see(part.span));
    }
}

/// Every form at once, for where the Core Rule Set is not at hand.
const SEED: &str = r#"# comment \
  goes on
SecRule ARGS|!ARGS:x|&TX:'/a\'b\/c/'|XML:/* "!@rx a\"b\\c" \
    "id:1,phase:2,msg:'it\'s, é',setvar:'tx.a=%{tx.b}',\
    t:none"
SecRuleUpdateTargetById 1 "!ARGS:/x|y/" 'ARGS'
SecRuleUpdateActionById 1 "deny"
SecMarker END
SecDefaultAction "phase:1,pass"
<IfModule x>
Include a*.conf
SecAction 'id:2'
SecResponseBodyMimeType text/plain text/html
"#;

/// Xorshift: the same texts in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// Up to 8 KiB from somewhere in the text.
fn window<'a>(text: &'a str, random: &mut Random) -> &'a str {
    let mut start = random.below(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (start + 8192).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[start..end]
}

fn damage(text: &str, random: &mut Random) -> String {
    const PIECES: [&[u8]; 18] = [
        b"\"",
        b"'",
        b"\\",
        b"\\\n",
        b"\n",
        b"|",
        b",",
        b":",
        b"/",
        b"!",
        b"&",
        b"@",
        b"#",
        b"<",
        b" ",
        b"\xc3\xa9",
        b"\0",
        b"\r",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + random.below(12) {
        let at = random.below(bytes.len() + 1);
        match random.below(4) {
            0 => {
                let end = (at + 1 + random.below(4)).min(bytes.len());
                bytes.drain(at..end);
            }
            1 => bytes.truncate(at.max(1)),
            2 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
