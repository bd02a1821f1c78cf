//! The exit codes of every verb, in one place.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the verb did what was asked, and found nothing wrong |
//! | 1 | it found a problem, or could not do what was asked; running it again will not help |
//! | 2 | wrong usage; for `diff` and `rules lint` also what cannot be loaded, because 1 means a finding there |
//!
//! Scripts depend on these codes, so a verb's `--help` says what 0 and 1 mean for it.

use std::process::ExitCode;

/// It found a problem, or could not do what was asked.
pub(super) const PROBLEM: u8 = 1;
/// Wrong usage; clap exits with the same code.
pub(super) const USAGE: u8 = 2;

/// 0 if all is well, else 1.
pub(super) fn success_if(well: bool) -> ExitCode {
    match well {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(PROBLEM),
    }
}
