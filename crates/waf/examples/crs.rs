//! Runs the OWASP Core Rule Set over a file of requests, and says what becomes of each.
//!
//! ```sh
//! cargo run --example crs -- crs/ requests.txt
//! ```
//!
//! The folder is a release of the CRS. The file has a request a line: a method, a target, and optionally a body.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use drawbridge_waf::{EngineMode, RuleSet, Transaction};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(crs), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: crs CRS_FOLDER REQUESTS".into());
    };
    let rules = RuleSet::builder()
        .engine(EngineMode::On)
        .files(format!("{crs}/crs-setup.conf.example"))
        .files(format!("{crs}/rules/*.conf"))
        .build()?;
    for (number, line) in fs::read_to_string(file)?.lines().enumerate() {
        let mut words = line.splitn(3, ' ');
        if let (Some(method), Some(target)) = (words.next(), words.next()) {
            let id = (number + 1).to_string();
            let said = inspect(&rules, &id, method, target, words.next().unwrap_or(""))?;
            println!("{said} {method} {target}");
        }
    }
    Ok(())
}

/// `pass`, or the status and the rules that matched.
fn inspect(
    rules: &Arc<RuleSet>,
    id: &str,
    method: &str,
    target: &str,
    body: &str,
) -> Result<String, Box<dyn Error>> {
    let client: SocketAddr = "192.0.2.10:40000".parse()?;
    let server: SocketAddr = "192.0.2.1:443".parse()?;
    let mut transaction = Transaction::new(Arc::clone(rules), client, server, id);
    let line = format!("{method} {target} HTTP/1.1");
    transaction.request_line(
        line.as_bytes(),
        method.as_bytes(),
        target.as_bytes(),
        b"HTTP/1.1",
    );
    let length = body.len().to_string();
    let fields = [
        ("Host", "example.com"),
        ("User-Agent", "example"),
        ("Accept", "*/*"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", length.as_str()),
    ];
    let bodyless = fields.len() - if body.is_empty() { 2 } else { 0 };
    for (name, value) in fields.into_iter().take(bodyless) {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    // A verdict in an earlier phase ends the request: later phases are not run.
    let interruption = match transaction.request_headers_done() {
        None => transaction.request_body(body.as_bytes()),
        interrupted => interrupted,
    };
    transaction.finish();
    let ids: Vec<String> = transaction
        .matched_rules()
        .iter()
        .filter(|matched| matched.logged)
        .map(|matched| matched.rule_id.to_string())
        .collect();
    Ok(match interruption {
        None => "pass".to_owned(),
        Some(interruption) => format!("{} [{}]", interruption.status, ids.join(" ")),
    })
}
