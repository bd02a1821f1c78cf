//! `drawbridge init`: a configuration to begin with, which is safe and passes `check`.
//!
//! Invariants: it overwrites no file, also none that appears while it runs; if it refuses because one exists, it has
//! written nothing.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::error::{CommandError, shown_or_reported};
use super::output::{Output, print_json};
use crate::config;
use dev_pki::{Authority, LeafOptions};

const CONFIGURATION: &str = include_str!("drawbridge.toml");
const EXAMPLE: &str = include_str!("orders.toml");
const BEFORE: &str = "\
# The security team's rules and exclusions that run before the set: those for some requests.
# Ids 1 to 99999 are yours. For example, rule 942100 is not to look at the argument \"note\" of one path:
#
# SecRule REQUEST_FILENAME \"@beginsWith /orders/\" \\
#     \"id:1000,phase:1,pass,nolog,ctl:ruleRemoveTargetById=942100;ARGS:note\"
";
const AFTER: &str = "\
# The security team's rules and exclusions that run after the set: those for all requests.
#
# SecRuleUpdateTargetById 942100 \"!ARGS:note\"
";
const EXCLUSIONS: &str =
    "# `drawbridge rules exclude` writes exclusions here, with their tests beside.\n";
const GITIGNORE: &str = "/state/\n*.key\n";
/// The folders of the three teams, and what each is for.
const FOLDERS: [(&str, &str); 3] = [
    (
        "conf.d",
        "The ingress team's: what is exposed, to whom, and where it leads. After a change: `drawbridge check`.\n",
    ),
    (
        "rules",
        "The security team's: rules and exclusions. After a change: `drawbridge rules check rules/*.conf`.\n",
    ),
    (
        "certs",
        "Of whoever replaces certificates: chains and keys for clients, CAs of gateways. After a change: `drawbridge certs list`.\n",
    ),
];
/// How long the certificate for tests is valid.
const DAYS: i64 = 90;

/// Write a configuration to begin with, which is safe and passes `check`
///
/// Writes drawbridge.toml and a folder for each of the three teams. The front door listens on loopback,
/// with a certificate for tests, and exposes nothing; comments say what to change. Asks nothing and
/// overwrites nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge init
  drawbridge init --dir front-door --crs coreruleset-4.20.0
  drawbridge check && drawbridge run

Exit codes:
  0  it was written, and `check` finds no error
  1  a file exists already, or it could not be written
  2  wrong usage")]
pub(super) struct Args {
    /// The folder to write to; it is created if it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// An unpacked OWASP Core Rule Set to use in place of @baseline
    #[arg(long, value_name = "PATH")]
    crs: Option<PathBuf>,
    /// For a service that a package installed: state in /var/lib/drawbridge, the admin socket in
    /// /run/drawbridge, the access log in /var/log/drawbridge
    #[arg(long)]
    system: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// A file to write.
struct NewFile {
    /// Below the folder.
    path: &'static str,
    content: Vec<u8>,
    /// Whether only its owner may read it.
    is_private: bool,
}

/// An unpacked Core Rule Set.
struct CoreRuleSet {
    folder: PathBuf,
    /// The name of its setup file.
    setup: &'static str,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match init(args) {
        Ok(written) => shown_or_reported(show(args, &written), args.output),
        Err(error) => error.report(args.output),
    }
}

fn init(args: &Args) -> Result<Vec<PathBuf>, CommandError> {
    // All that can be refused is, before the first file is written.
    let crs = args.crs.as_deref().map(CoreRuleSet::find).transpose()?;
    let mut files = files(args, crs.as_ref())?;
    // A repository that has a .gitignore keeps it.
    files.retain(|file| file.path != ".gitignore" || !args.dir.join(file.path).exists());
    let exists = |file: &&NewFile| args.dir.join(file.path).symlink_metadata().is_ok();
    if let Some(file) = files.iter().find(exists) {
        return Err(CommandError::Problem(format!(
            "{} exists already, and init overwrites nothing",
            args.dir.join(file.path).display()
        )));
    }
    fs::create_dir_all(&args.dir).map_err(|error| cannot_write(&args.dir, &error))?;
    if !args.system {
        let state = args.dir.join("state");
        let mut builder = DirBuilder::new();
        // Requests are kept there.
        builder.recursive(true).mode(0o700);
        builder
            .create(&state)
            .map_err(|error| cannot_write(&state, &error))?;
    }
    let mut written = Vec::new();
    for file in &files {
        let path = args.dir.join(file.path);
        write(&path, file).map_err(|error| cannot_write(&path, &error))?;
        written.push(path);
    }
    // The rule set may have faults of its own.
    match config::load(&args.dir.join("drawbridge.toml")) {
        Ok(_) => Ok(written),
        Err(found) => Err(CommandError::Diagnostics(found)),
    }
}

fn show(args: &Args, written: &[PathBuf]) -> io::Result<()> {
    let configuration = args.dir.join("drawbridge.toml");
    if args.output == Output::Json {
        return print_json(&json!({ "ok": true, "config": configuration, "files": written }));
    }
    let mut out = io::stdout().lock();
    for path in written {
        writeln!(out, "{}", path.display())?;
    }
    writeln!(
        out,
        "\nIt listens on 127.0.0.1:8443 with a certificate for tests, and exposes nothing yet. Next:\n  \
         drawbridge run --config {0}\n  $EDITOR {0} {1}",
        configuration.display(),
        args.dir.join("conf.d/orders.toml").display()
    )
}

/// All files; the configuration is the last, so that a faulty start leaves none.
fn files(args: &Args, crs: Option<&CoreRuleSet>) -> Result<Vec<NewFile>, CommandError> {
    let open = |path, text: &str| NewFile {
        path,
        content: text.as_bytes().to_vec(),
        is_private: false,
    };
    let authority = Authority::new("Drawbridge CA for tests only", DAYS);
    let authority = authority.map_err(CommandError::because)?;
    let options = LeafOptions {
        ends_in_days: DAYS,
        ..LeafOptions::default()
    };
    let leaf = authority.leaf(&["localhost"], &options);
    let leaf = leaf.map_err(CommandError::because)?;
    // The authority's key is never written: nothing else can come from it.
    let authority = authority.certificate_pem().map_err(CommandError::because)?;
    let [(_, conf_d), (_, rules), (_, certs)] = FOLDERS;
    let configuration = configuration(args, crs)?;
    Ok(vec![
        // First, so that no commit can catch the key.
        open(".gitignore", GITIGNORE),
        open("conf.d/README.md", conf_d),
        open("conf.d/orders.toml", EXAMPLE),
        open("rules/README.md", rules),
        open("rules/before.conf", BEFORE),
        open("rules/after.conf", AFTER),
        open("rules/exclusions.conf", EXCLUSIONS),
        open("certs/README.md", certs),
        NewFile {
            path: "certs/dev-ca.pem",
            content: authority,
            is_private: false,
        },
        NewFile {
            path: "certs/public/localhost.pem",
            content: leaf.chain_pem,
            is_private: false,
        },
        NewFile {
            path: "certs/public/localhost.key",
            content: leaf.key_pem,
            is_private: true,
        },
        open("drawbridge.toml", &configuration),
    ])
}

fn configuration(args: &Args, crs: Option<&CoreRuleSet>) -> Result<String, CommandError> {
    let (state_dir, admin, access) = match args.system {
        true => (
            "/var/lib/drawbridge",
            // Without the key it is there while the service runs, and `check` passes while it does not.
            "# The unit makes the folder: unix:/run/drawbridge/admin.sock",
            "/var/log/drawbridge/access.log",
        ),
        false => ("state", "admin = \"unix:state/admin.sock\"", "stdout"),
    };
    let rules = match crs {
        Some(crs) => crs.patterns(&args.dir)?,
        None => ["rules/before.conf", "@baseline", "rules/after.conf"]
            .map(str::to_owned)
            .to_vec(),
    };
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| format!("    {},", quoted(rule)))
        .collect();
    Ok(CONFIGURATION
        .replace("{state_dir}", &quoted(state_dir))
        .replace("{admin}", admin)
        .replace("{access}", &quoted(access))
        .replace("{rules}", &rules.join("\n")))
}

impl CoreRuleSet {
    fn find(folder: &Path) -> Result<Self, CommandError> {
        let no_set = |why: &str| {
            CommandError::Problem(format!(
                "{} is no OWASP Core Rule Set: {why}",
                folder.display()
            ))
        };
        let found = folder.canonicalize();
        let found = found.map_err(|error| no_set(&error.to_string()))?;
        if !found.join("rules").is_dir() {
            return Err(no_set("it has no folder rules"));
        }
        let setups = ["crs-setup.conf", "crs-setup.conf.example"];
        let setup = setups.into_iter().find(|name| found.join(name).is_file());
        Ok(Self {
            folder: found,
            setup: setup.ok_or_else(|| no_set("it has no crs-setup.conf"))?,
        })
    }

    /// The set and the team's own files, in the order that the set asks for.
    fn patterns(&self, dir: &Path) -> Result<Vec<String>, CommandError> {
        // A set inside the folder moves with it.
        let inside = dir.canonicalize().ok();
        let inside = inside.and_then(|dir| self.folder.strip_prefix(dir).ok());
        let folder = inside.unwrap_or(&self.folder);
        let Some(folder) = folder.to_str() else {
            return Err(CommandError::Problem(format!(
                "{} is no UTF-8, so a configuration cannot name it",
                folder.display()
            )));
        };
        let of_set = |name: &str| format!("{folder}/{name}");
        Ok(vec![
            of_set(self.setup),
            of_set("plugins/*-config.conf"),
            of_set("plugins/*-before.conf"),
            "rules/before.conf".to_owned(),
            of_set("rules/*.conf"),
            "rules/after.conf".to_owned(),
            of_set("plugins/*-after.conf"),
        ])
    }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn write(path: &Path, file: &NewFile) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    // Fails for a file, or a link, that somebody has put there since.
    options.write(true).create_new(true);
    if file.is_private {
        options.mode(0o600);
    }
    options.open(path)?.write_all(&file.content)
}

fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Problem(format!("cannot write {}: {error}", path.display()))
}
