//! `drawbridge rules`: check, list, test and explain rules.

mod check;
mod explain;
mod list;
mod progress;
mod source;
mod test;
mod tls_client;

use std::process::ExitCode;

use clap::Subcommand;

pub use tls_client::TlsClient;

/// Check, list, test and explain rules
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    List(list::Args),
    Test(test::Args),
    Explain(explain::Args),
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::Check(args) => check::run(args),
        Verb::List(args) => list::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Explain(args) => explain::run(args),
    }
}

/// Wrong usage, as clap says it.
const USAGE: u8 = 2;

/// Bytes for a terminal: no control but line ends reaches it, and every byte can be told apart.
fn show(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Marks that change how the text around them is shown, and blanks that look like nothing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// As [`show`], and no longer than `most` characters.
fn show_short(bytes: &[u8], most: usize) -> String {
    // A character is at most ten bytes long when it is shown, and at least one byte before.
    let text = show(&bytes[..bytes.len().min(most * 4)]);
    match text.char_indices().nth(most) {
        None if bytes.len() <= most * 4 => text,
        None => format!("{text}..."),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// Bytes in JSON: text where they are text, else with `\xNN` for what is not.
fn json_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes
            .utf8_chunks()
            .map(|chunk| {
                let invalid: String = chunk
                    .invalid()
                    .iter()
                    .map(|b| format!("\\x{b:02x}"))
                    .collect();
                chunk.valid().to_owned() + &invalid
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shown_can_steer_a_terminal() {
        assert_eq!(
            show(b"a\r\n\t\x1b[2J\xff\\ \xe2\x80\xae"),
            "a\\r\\n\\t\\u{1b}[2J\\xff\\\\ \\u{202e}"
        );
        assert_eq!(show_short("é".repeat(50).as_bytes(), 3), "ééé...");
        assert_eq!(show_short(b"abc", 3), "abc");
        assert_eq!(json_text(b"a\xe9\n"), "a\\xe9\n");
    }
}
