//! [`Problems`] as an error: one line for each problem, errors and warnings alike.

use std::error::Error;
use std::fmt;

use seclang::diagnostic::Diagnostic;

use super::builder::Problems;

impl Problems {
    /// Every problem, in load order.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0
    }
}

/// `file:line:column: severity: message`, one line for each problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}
