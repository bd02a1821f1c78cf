//! The order of the rooms: what stands lower in ARCHITECTURE.md's map imports nothing that stands above it, and the rooms
//! of the proxy and of the configuration import only those below them. No module imports itself through others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use support::materials::project;

/// Modules by the path of their file, without what stands in `#[cfg(test)]`.
struct Room {
    modules: BTreeMap<Vec<String>, String>,
}

#[test]
fn rooms_import_only_what_is_below_them() {
    let order = rooms_of_the_map("src/");
    assert!(order.len() > 10, "{order:?}");
    let offences = offences(&order, |path| path.first().map(String::as_str));
    assert!(offences.is_empty(), "{offences:#?}");
}

#[test]
fn inner_rooms_import_only_what_is_below_them() {
    for outer in ["proxy", "config"] {
        let order = rooms_below(&format!("src/{outer}/"));
        assert!(order.len() > 3, "{outer}: {order:?}");
        let offences = offences(&order, |path| second(path, outer));
        assert!(offences.is_empty(), "{offences:#?}");
    }
}

/// The imports of the root package that lead upwards in this order; `room_of` finds the room in a path.
fn offences(order: &[String], room_of: impl Fn(&[String]) -> Option<&str>) -> BTreeSet<String> {
    let source = Room::read(&project().join("src"));
    let mut offences = BTreeSet::new();
    for (module, text) in &source.modules {
        let Some(own) = room_of(module).and_then(|room| place(order, room)) else {
            continue;
        };
        for path in imports(module, text) {
            let other = room_of(&path).and_then(|room| place(order, room));
            if other.is_some_and(|other| other < own) {
                offences.insert(format!("{} imports {}", module.join("::"), path.join("::")));
            }
        }
    }
    offences
}

#[test]
fn the_written_configuration_is_parsed_without_io() {
    let io = [
        "fs::",
        "files::",
        "glob::",
        ".exists()",
        ".is_file()",
        ".is_dir()",
        "env::",
    ];
    let source = Room::read(&project().join("src/config/written"));
    assert!(source.modules.len() > 10);
    for (module, text) in &source.modules {
        let found: Vec<_> = io.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{}: {found:?}", module.join("::"));
    }
}

#[test]
fn modules_of_a_room_make_no_circle() {
    let mut circles = Vec::new();
    for source in [
        "src",
        "crates/waf/src",
        "crates/seclang/src",
        "crates/http-strict/src",
        "crates/identity/src",
        "crates/ftw/src",
    ] {
        let room = Room::read(&project().join(source));
        let names: BTreeSet<&Vec<String>> = room.modules.keys().collect();
        let mut edges: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = BTreeMap::new();
        for (module, text) in &room.modules {
            for path in imports(module, text) {
                let target = (1..=path.len())
                    .rev()
                    .find_map(|n| names.get(&path[..n].to_vec()));
                // A module and those inside of it are one: a parent names its children, and they use its types.
                if let Some(target) = target
                    && !module.starts_with(target)
                    && !target.starts_with(module)
                {
                    edges.entry(module).or_default().insert(target);
                }
            }
        }
        for start in edges.keys() {
            if let Some(circle) = circle_from(start, &edges) {
                circles.push(format!("{source}: {circle}"));
            }
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// A way from the module back to itself, in words.
fn circle_from(
    start: &Vec<String>,
    edges: &BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>>,
) -> Option<String> {
    let mut from: BTreeMap<&Vec<String>, &Vec<String>> = BTreeMap::new();
    let mut queue = vec![start];
    while let Some(module) = queue.pop() {
        for target in edges.get(module).into_iter().flatten() {
            if *target == start {
                let mut way = vec![start.join("::"), module.join("::")];
                let mut at = module;
                while let Some(before) = from.get(at) {
                    way.push(before.join("::"));
                    at = before;
                }
                way.reverse();
                return Some(way.join(" -> "));
            }
            if !from.contains_key(target) {
                from.insert(target, module);
                queue.push(target);
            }
        }
    }
    None
}

/// The names after the prefix in the lines of the map, from top to bottom.
fn rooms_of_the_map(prefix: &str) -> Vec<String> {
    map()
        .lines()
        .filter_map(|line| line.strip_prefix(prefix))
        .map(name)
        .collect()
}

/// The indented names below a line of the map.
fn rooms_below(line: &str) -> Vec<String> {
    let map = map();
    let below = map.lines().skip_while(|l| !l.starts_with(line)).skip(1);
    let indented = below.take_while(|line| line.starts_with("  "));
    let rooms = indented.filter(|line| !line.starts_with("   "));
    rooms.map(|line| name(line.trim_start())).collect()
}

fn map() -> String {
    let text = fs::read_to_string(project().join("ARCHITECTURE.md")).unwrap();
    text.split("```").nth(1).unwrap().to_owned()
}

fn name(line: &str) -> String {
    let word = line.split_whitespace().next().unwrap();
    word.trim_end_matches('/')
        .trim_end_matches(".rs")
        .to_owned()
}

fn place(order: &[String], room: &str) -> Option<usize> {
    order.iter().position(|name| name == room)
}

fn second<'p>(path: &'p [String], first: &str) -> Option<&'p str> {
    (path.first()? == first).then(|| path.get(1).map(String::as_str))?
}

impl Room {
    fn read(root: &Path) -> Self {
        let mut room = Self {
            modules: BTreeMap::new(),
        };
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    room.add(root, &path);
                }
            }
        }
        room
    }

    fn add(&mut self, root: &Path, path: &PathBuf) {
        let below = path.strip_prefix(root).unwrap().with_extension("");
        let mut module: Vec<String> = below
            .components()
            .map(|part| part.as_os_str().to_str().unwrap().to_owned())
            .collect();
        let last = module.last().unwrap().as_str();
        if matches!(last, "mod" | "lib" | "main") {
            module.pop();
        }
        if module.is_empty()
            || module
                .iter()
                .any(|part| part.contains("tests") || part.contains("properties"))
        {
            return;
        }
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        self.modules.insert(module, without_comments(code));
    }
}

fn without_comments(code: &str) -> String {
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    code.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The absolute paths, from the crate's root, of all that starts with `crate::` or `super::`.
fn imports(module: &[String], text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let base = match root {
                "crate::" => Vec::new(),
                "super::" => module[..module.len() - 1].to_vec(),
                _ => module.to_vec(),
            };
            // `mod.rs` and `name.rs` are both the module `name`, so `super` is what is above it.
            expand(base, &text[at + root.len()..], &mut found);
        }
    }
    found
}

/// Adds what a path, or a group in braces, names.
fn expand(mut base: Vec<String>, mut rest: &str, found: &mut Vec<Vec<String>>) {
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            for part in parts(group) {
                expand(base.clone(), part.trim_start(), found);
            }
            return;
        }
        if let Some(above) = rest.strip_prefix("super::") {
            base.pop();
            rest = above;
            continue;
        }
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() || word == "self" {
            break;
        }
        base.push(word.to_owned());
        match rest[end..].strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    found.push(base);
}

/// The parts of a group up to its closing brace, at its own level.
fn parts(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let module = ["a".to_owned(), "b".to_owned()];
    let text =
        "use crate::x::{self, y::Z, w};\nuse super::c::D;\nfn f() { super::super::e::g() }\n";
    let mut paths: Vec<String> = imports(&module, text)
        .iter()
        .map(|p| p.join("::"))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths, ["a::c::D", "e::g", "x", "x::w", "x::y::Z"]);
}
