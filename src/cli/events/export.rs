//! `drawbridge events export`: the recorded request as a client would send it over HTTP/1.1.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::config_file::ConfigFile;
use crate::cli::error::shown_or_reported;
use crate::cli::output::Output;
use crate::review::events::export;

/// Write the raw request of an event to standard output, ready for rules explain and rules replay
///
/// A request that came over HTTP/2 or with a chunked body is written as HTTP/1.1 with a Content-Length. A sealed one is
/// written as it is, for age -d. Standard error says what the record lacks of the request, and what was changed. Claims of
/// its caller are no part of a request: `events show --now` and `rules replay --events` judge it with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge events export 01970c2e-... > request.http
  drawbridge events export 01970c2e-... | drawbridge rules explain --policy api -
  drawbridge events export 01970c2e-... | age -d -i key.txt > request.http

Exit codes:
  0  written
  1  there is no such event, or it cannot be read
  2  wrong usage")]
pub(super) struct Args {
    /// The id of the request, as the access log and `events list` show it
    #[arg(value_name = "REQUEST-ID")]
    id: String,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let event = match super::read_event(&args.config, &args.id) {
        Ok(event) => event,
        Err(error) => return error.report(Output::Human),
    };
    let (request, notes) = export(event);
    // Standard output has the request alone, because another program reads it.
    for note in notes {
        eprintln!("note: {note}");
    }
    shown_or_reported(io::stdout().write_all(&request), Output::Human)
}
