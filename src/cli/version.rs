//! `drawbridge version`: what this binary is made of.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::error::shown_or_reported;
use super::output::{Output, print_json};

/// pingora has no constant for it; a test compares this with `Cargo.toml`, which pins it.
const PINGORA: &str = "0.9.1";
/// The commit, where the build was told: the build itself asks neither git nor the network.
const COMMIT: Option<&str> = option_env!("DRAWBRIDGE_COMMIT");

/// Show the version of this binary and of what is compiled into it
///
/// OpenSSL is compiled in, so the machine's updates do not reach it: look here which one is in use.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge version
  drawbridge version --json

Exit codes:
  0  done")]
pub(super) struct Args {
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let output = if args.json { Output::Json } else { args.output };
    let shown = match output {
        Output::Human => io::stdout().write_all(human().as_bytes()),
        Output::Json => print_json(&to_json()),
    };
    shown_or_reported(shown, output)
}

fn human() -> String {
    let commit = COMMIT.filter(|commit| !commit.is_empty());
    format!(
        "drawbridge {}\ncommit    {}\nengine    {}\npingora   {PINGORA}\nopenssl   {}\ntarget    {}\nfeatures  {}\n",
        env!("CARGO_PKG_VERSION"),
        commit.unwrap_or("unknown"),
        waf::VERSION,
        openssl::version::version(),
        target(),
        match features().as_slice() {
            [] => "none".to_owned(),
            features => features.join(", "),
        },
    )
}

fn to_json() -> Value {
    json!({
        "ok": true,
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT.filter(|commit| !commit.is_empty()),
        "engine": waf::VERSION,
        "pingora": PINGORA,
        "openssl": openssl::version::version(),
        "target": target(),
        "features": features(),
    })
}

fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// In what two builds of one version may differ.
fn features() -> Vec<&'static str> {
    let mut features = Vec::new();
    if cfg!(target_feature = "crt-static") {
        features.push("crt-static");
    }
    if cfg!(debug_assertions) {
        features.push("debug-assertions");
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pingora_is_the_one_that_is_pinned() {
        let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
        let pinned = manifest["dependencies"]["pingora"]["version"].as_str();
        assert_eq!(pinned, Some(format!("={PINGORA}").as_str()));
    }
}
