//! The benchmark's requests through the front door with the unmodified Core Rule Set at paranoia level 1.

use std::path::{Path, PathBuf};
use std::process::Command;
use support::materials;

use tokio::io::AsyncWriteExt;

use crate::front::{Front, Setup};
use support::client::{connect, read_answer};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

/// A benign request; what it is answered is for phase 4, which the example setup leaves off.
const LEAKS_IN_ITS_ANSWER: &str = "resp_sql_leak";
/// The one attack among the kinds that are measured.
const MEASURED_ATTACK: &str = "g_attack";

#[tokio::test(flavor = "multi_thread")]
async fn the_core_rule_set_tells_attacks_from_the_rest() {
    let (Some(bench), Some(crs)) = (materials::shared("bench"), materials::crs()) else {
        return;
    };
    let script = bench.join("mix.py");
    let made = tempfile::tempdir().unwrap();
    let work = made.path();
    let present = crs.join("rules").is_dir() && script.is_file();
    let mut python = Command::new("python3");
    let written = python.arg(&script).env("BENCH_WORK", work).output();
    let Some(written) = written.ok().filter(|_| present) else {
        let (script, crs) = (script.display(), crs.display());
        let needs = format!("needs python3, {script} and {crs}");
        assert!(std::env::var_os("CI").is_none(), "CI {needs}");
        materials::skip(&needs);
        return;
    };
    assert!(written.status.success(), "{written:?}");
    let tls = ServerTls::new(pki::leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Folder(work.join("www"))).await;
    let setup = Setup {
        listener: "sni = \"any\"".to_owned(),
        rules: format!(
            "\"{crs}/crs-setup.conf.example\", \"{crs}/rules/*.conf\"",
            crs = crs.display()
        ),
        policy: "crs = { paranoia_level = 1 }".to_owned(),
        hosts: "\"*\"".to_owned(),
        route: "paths = [\"/\"]".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let mut kinds = files(&work.join("mix"));
    let measured = kinds.len();
    kinds.extend(files(&work.join("mix/check")));
    for (index, path) in kinds.iter().enumerate() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let attack = name == MEASURED_ATTACK || (index >= measured && name != LEAKS_IN_ITS_ANSWER);
        let before = upstream.requests();
        let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
        let request = std::fs::read(path).unwrap();
        stream.write_all(&request).await.unwrap();
        let answer = read_answer(&mut stream, &mut Vec::new(), false)
            .await
            .unwrap();
        let expected = if attack { 403 } else { 200 };
        assert_eq!(answer.status, expected, "{name}: {}", answer.text());
        let reached = upstream.requests() - before;
        assert_eq!(reached, usize::from(!attack), "{name}");
        if attack {
            let line = front.line_of(answer.header("x-request-id").unwrap()).await;
            assert_eq!(line["waf"]["verdict"], "block", "{name}: {line}");
            assert!(line["waf"]["score"].as_u64() >= Some(5), "{name}: {line}");
            let rules = line["waf"]["rules"].as_array().unwrap();
            assert!(rules.contains(&949_110.into()), "{name}: {line}");
        }
        if name == LEAKS_IN_ITS_ANSWER {
            assert!(answer.text().contains("SQL syntax"), "the leak is served");
        }
    }
    assert_eq!(kinds.len(), 17);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "http"))
        .collect();
    files.sort();
    files
}
