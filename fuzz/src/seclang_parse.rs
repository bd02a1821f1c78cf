//! Any text: no panic, linear work, and every place lies in the text.

use std::path::Path;

use seclang::{SourceId, parse};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = parse(SourceId(0), Path::new("fuzz.conf"), text);
    assert!(parsed.steps <= 5 * text.len() + 5);
    for diagnostic in &parsed.diagnostics {
        let at = &diagnostic.location;
        let line = text.split('\n').nth(at.line as usize - 1);
        let characters = line.map_or(0, |line| line.chars().count());
        assert!(at.column as usize <= characters + 1, "{diagnostic}");
        let _ = diagnostic.render(false);
    }
}
