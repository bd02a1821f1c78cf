use std::collections::BTreeMap;

use super::*;

/// Files that exist only here. Its glob knows `*` at the end of the pattern's folder.
struct Shelf(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Shelf {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = self.0.get(&plain(path)).cloned();
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let folder = base.join(pattern.trim_end_matches("*.conf"));
        let inside = |path: &&PathBuf| path.parent() == Some(folder.as_path());
        Ok(self.0.keys().filter(inside).cloned().collect())
    }
}

fn shelf(files: &[(&str, &str)]) -> Shelf {
    let owned = |&(path, text): &(&str, &str)| (PathBuf::from(path), text.as_bytes().to_vec());
    Shelf(files.iter().map(owned).collect())
}

fn names(loaded: &Loaded) -> Vec<&str> {
    fn name(directive: &Directive) -> &str {
        match directive {
            Directive::Marker(name) => &name.node,
            _ => "?",
        }
    }
    loaded.directives.iter().map(name).collect()
}

fn told(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn includes_stand_where_they_are_written() {
    let files = shelf(&[
        (
            "r/main.conf",
            "SecMarker A\nInclude sub/b.conf\nSecMarker D\nIncludeOptional none.conf\nIncludeOptional none/*.conf\nInclude sub/*.conf",
        ),
        ("r/sub/b.conf", "\u{feff}SecMarker B\nInclude ./c.conf\n"),
        ("r/sub/c.conf", "SecMarker C"),
        ("last.conf", "SecMarker Z"),
    ]);
    let text = Input::Text {
        path: PathBuf::from("r/own.conf"),
        text: "Include sub/c.conf\nSecMarker T".to_owned(),
    };
    let inputs = vec![
        Input::Files("r/main.conf".to_owned()),
        text,
        Input::Files("last.conf".to_owned()),
    ];
    let loaded = load(inputs, &files);
    assert_eq!(told(&loaded), [""; 0]);
    let expected = ["A", "B", "C", "D", "B", "C", "C", "C", "T", "Z"];
    assert_eq!(names(&loaded), expected);
    let Some(Directive::Marker(b)) = loaded.directives.get(1) else {
        panic!("{loaded:?}");
    };
    let at = loaded.sources.locate(b.span);
    assert_eq!(
        (at.path, at.line, at.column),
        (PathBuf::from("r/sub/b.conf"), 1, 11)
    );
}

#[test]
fn problems_are_told_at_the_include_in_load_order() {
    let files = shelf(&[
        (
            "a.conf",
            "SecMarker\nInclude no.conf\nInclude b.conf\n Include \"no/*.conf\"\nSecMarker X Y",
        ),
        ("b.conf", "Include a.conf\nSecMarker ''\nSecMarker Y Z"),
    ]);
    let inputs = vec![
        Input::Files("a.conf".to_owned()),
        Input::Files("gone.conf".to_owned()),
        Input::Files("gone/*.conf".to_owned()),
    ];
    let loaded = load(inputs, &files);
    let missing = io::Error::from(io::ErrorKind::NotFound);
    let expected = [
        "a.conf:1:1: SecMarker takes 1 argument, here are 0".to_owned(),
        format!("a.conf:2:9: cannot read no.conf: {missing}"),
        "b.conf:1:9: a.conf includes itself".to_owned(),
        "b.conf:3:13: SecMarker takes 1 argument, here are 2".to_owned(),
        "a.conf:4:11: no file matches no/*.conf".to_owned(),
        "a.conf:5:13: SecMarker takes 1 argument, here are 2".to_owned(),
        format!("gone.conf:1:1: cannot read gone.conf: {missing}"),
        "gone/*.conf:1:1: no file matches gone/*.conf".to_owned(),
    ];
    assert_eq!(told(&loaded), expected);
}

#[test]
fn depth_and_number_are_bounded() {
    let chain: Vec<(String, String)> = (0..=MAX_DEPTH + 1)
        .map(|n| (format!("{n}"), format!("SecMarker M\nInclude {}", n + 1)))
        .collect();
    let chain: Vec<_> = chain
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    let loaded = load(vec![Input::Files("0".to_owned())], &shelf(&chain));
    assert_eq!(names(&loaded).len(), MAX_DEPTH + 1);
    assert_eq!(
        told(&loaded),
        ["16:2:9: includes are more than 16 deep at 17"]
    );

    // Each file includes the next ten times: ten million files, were they not counted.
    let wide: Vec<(String, String)> = (0..8)
        .map(|n| (format!("{n}"), format!("Include {}\n", n + 1).repeat(10)))
        .chain([("8".to_owned(), String::new())])
        .collect();
    let wide: Vec<_> = wide.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let loaded = load(vec![Input::Files("0".to_owned())], &shelf(&wide));
    assert_eq!(loaded.sources.iter().count(), MAX_FILES);
    let told = told(&loaded);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("more than 1024 files"), "{told:?}");
}

#[test]
fn what_is_not_utf8_is_told_with_its_offset() {
    let mut files = shelf(&[("main.conf", "Include latin.conf\nSecMarker A")]);
    let bytes = b"SecMarker A\n# \xc3\xa9 caf\xe9\n".to_vec();
    files.0.insert(PathBuf::from("latin.conf"), bytes);
    let loaded = load(vec![Input::Files("main.conf".to_owned())], &files);
    assert_eq!(
        told(&loaded),
        ["latin.conf:2:8: the byte at offset 20 is not UTF-8"]
    );
    assert_eq!(names(&loaded), ["A"]);
}
