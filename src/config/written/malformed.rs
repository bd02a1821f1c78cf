//! What is wrong with a value that a user wrote.

use std::fmt;

/// Why a text is not a value of the expected kind. The words name the text and say what to write, like `"gw" is no
/// server: write "host:port"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(String);

impl From<String> for Malformed {
    fn from(words: String) -> Self {
        Self(words)
    }
}

impl From<&str> for Malformed {
    fn from(words: &str) -> Self {
        Self(words.to_owned())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}
