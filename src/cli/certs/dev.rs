//! `drawbridge certs dev`: a private CA and leaves, for development.
//!
//! Invariants: without `--force` it overwrites no file, and only their owner can read the keys.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;

use super::super::error::CommandError;
use super::super::output::Output;
use crate::route::HostPattern;
use dev_pki::{Authority, LeafOptions, Usage, write_private};

const EXAMPLES: &str = "\
Examples:
  drawbridge certs dev --dir dev api.example.test orders.corp.test
  drawbridge certs dev --dir dev 127.0.0.1               one more, from the same CA
  drawbridge certs dev --dir dev --force api.example.test everything anew";

/// Make a private CA and leaf certificates for development
///
/// Writes ca.pem, ca.key, and NAME.pem with NAME.key for each name; only the owner can read the keys. If
/// the folder has a CA, that signs the new leaves. Leaves are for servers and clients. A .gitignore
/// keeps the files of a new folder out of git, and the keys of one that holds other files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The folder to write to; it is created if it is missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// DNS names, also wildcards like *.example.test, or IP addresses
    #[arg(required = true, value_name = "NAME", value_parser = parse_name)]
    names: Vec<Name>,
    /// How many days they are valid
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Replace existing files, the CA included
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone)]
struct Name {
    text: String,
    address: Option<IpAddr>,
}

/// Why no leaf can be made for a name. The user erred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameError {
    /// It is neither a DNS name nor an IP address.
    Neither,
    /// Its files would be called like those of the CA.
    Authority,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Neither => "neither a DNS name nor an IP address",
            Self::Authority => "ca.pem and ca.key are the files of the CA itself",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    fn file(&self, dir: &Path, extension: &str) -> PathBuf {
        // A star is a pattern in a shell, and some file systems forbid a colon.
        let stem = self.text.replace('*', "_wildcard").replace(':', "-");
        dir.join(format!("{stem}.{extension}"))
    }
}

fn parse_name(text: &str) -> Result<Name, NameError> {
    // First, because the parser of host patterns would take an IPv4 address for a name.
    let address = text.parse().ok();
    if address.is_some() {
        // IPv6 has letters, and two spellings of one address would give two leaves.
        let text = text.to_ascii_lowercase();
        return Ok(Name { text, address });
    }
    // Its files would be ca.pem and ca.key, and replace the CA.
    if text.eq_ignore_ascii_case("ca") {
        return Err(NameError::Authority);
    }
    match text.parse::<HostPattern>() {
        // The name becomes a file name, so it must not lead out of the folder.
        Ok(_) if text != "*" && !text.contains('/') => Ok(Name {
            text: text.to_ascii_lowercase(),
            address,
        }),
        _ => Err(NameError::Neither),
    }
}

pub(super) fn run(args: &Args) -> ExitCode {
    match make(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(Output::Human),
    }
}

fn make(args: &Args) -> Result<(), CommandError> {
    let dir = &args.dir;
    let (ca, ca_key) = (dir.join("ca.pem"), dir.join("ca.key"));
    // Without its key a CA signs nothing.
    let has_ca = ca.exists() && ca_key.exists() && !args.force;
    if !args.force {
        // All files are checked before the first is written, so that a refusal leaves nothing half done.
        refuse_to_overwrite(args, has_ca)?;
    }
    fs::create_dir_all(dir).map_err(|e| cannot("write", dir, &e))?;
    let is_empty = fs::read_dir(dir)
        .map_err(|e| cannot("read", dir, &e))?
        .next()
        .is_none();
    let ignore = dir.join(".gitignore");
    // In a folder that holds other files, git must go on to see those.
    let ignored = if is_empty { "*\n" } else { "*.key\n" };
    // Before the keys, so that no commit can catch them in between.
    if !ignore.exists() {
        fs::write(&ignore, ignored).map_err(|e| cannot("write", &ignore, &e))?;
    }
    let authority = match has_ca {
        true => read_authority(&ca, &ca_key)?,
        false => {
            let name = authority_name().map_err(CommandError::because)?;
            let made =
                Authority::new(&name, i64::from(args.days)).map_err(CommandError::because)?;
            let pem = made.certificate_pem().map_err(CommandError::because)?;
            let key = made.key_pem().map_err(CommandError::because)?;
            write_private(&ca_key, &key).map_err(|e| cannot("write", &ca_key, &e))?;
            fs::write(&ca, pem).map_err(|e| cannot("write", &ca, &e))?;
            print_paths(&ca, &ca_key);
            made
        }
    };
    for name in &args.names {
        let options = LeafOptions {
            // By default it is the first DNS name, which an address does not have.
            common_name: Some(name.text.clone()),
            ends_in_days: i64::from(args.days),
            addresses: name.address.into_iter().collect(),
            usage: Usage::Both,
            ..LeafOptions::default()
        };
        let names: &[&str] = match name.address {
            // An address is an entry of its own kind: clients do not look for it among the DNS names (RFC 5280,
            // 4.2.1.6).
            Some(_) => &[],
            None => &[&name.text],
        };
        let issued = authority
            .leaf(names, &options)
            .map_err(CommandError::because)?;
        let (chain, key) = (name.file(dir, "pem"), name.file(dir, "key"));
        issued
            .write(&chain, &key)
            .map_err(|e| cannot("write", &chain, &e))?;
        print_paths(&chain, &key);
    }
    Ok(())
}

/// Says which files were made. A reader that hung up has seen what it wanted.
fn print_paths(certificate: &Path, key: &Path) {
    let _ = writeln!(io::stdout(), "{}\n{}", certificate.display(), key.display());
}

/// Each CA gets a name of its own, so that two CAs differ where only the name is shown.
fn authority_name() -> Result<String, ErrorStack> {
    let mut random = [0; 4];
    rand_bytes(&mut random)?;
    Ok(format!(
        "Drawbridge development CA {:08x}",
        u32::from_be_bytes(random)
    ))
}

fn refuse_to_overwrite(args: &Args, has_ca: bool) -> Result<(), CommandError> {
    let dir = &args.dir;
    let mut files: Vec<PathBuf> = Vec::new();
    if !has_ca {
        files.extend([dir.join("ca.pem"), dir.join("ca.key")]);
    }
    for name in &args.names {
        files.extend([name.file(dir, "pem"), name.file(dir, "key")]);
    }
    match files.iter().find(|file| file.exists()) {
        Some(file) => Err(CommandError::Problem(format!(
            "{} exists already; --force replaces it",
            file.display()
        ))),
        None => Ok(()),
    }
}

fn read_authority(ca: &Path, key: &Path) -> Result<Authority, CommandError> {
    let pem = fs::read(ca).map_err(|e| cannot("read", ca, &e))?;
    let key_pem = fs::read(key).map_err(|e| cannot("read", key, &e))?;
    Authority::from_pem(&pem, &key_pem).map_err(|_| {
        CommandError::Problem(format!(
            "{} and {} are not a CA that can sign; --force makes a new one",
            ca.display(),
            key.display()
        ))
    })
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::Problem(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_hosts_and_not_the_authoritys() {
        for (text, fault) in [
            ("api.test", None),
            ("*.wild.test", None),
            ("::1", None),
            ("CA", Some(NameError::Authority)),
            ("a/b", Some(NameError::Neither)),
            ("*", Some(NameError::Neither)),
        ] {
            assert_eq!(parse_name(text).err(), fault, "{text}");
        }
    }
}
