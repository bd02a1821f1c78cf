//! A raw request, or a request and what a backend is told to answer, through all phases on the CRS
//! (`CRS_DIR`, `SHARED_DIR/crs`), or on the project's own rules where there is no CRS.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use ftw::{InProcess, crs_rules};
use waf::{EngineMode, RuleSet};

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let shared = std::env::var_os("SHARED_DIR").map(|dir| PathBuf::from(dir).join("crs"));
    let crs = std::env::var_os("CRS_DIR").map(PathBuf::from).or(shared);
    let rules = match crs.filter(|dir| dir.join("rules").is_dir()) {
        Some(crs) => crs_rules(&crs),
        None => {
            let own = Path::new(env!("CARGO_MANIFEST_DIR"));
            let folder = match own.join("rules").is_dir() {
                true => own.join("rules"),
                false => own.join("../rules"),
            };
            RuleSet::builder().files(folder.join("baseline/*.conf").to_string_lossy())
        }
    };
    let rules = rules.front_door().block_uninspected(true);
    rules
        .engine(EngineMode::DetectionOnly)
        .build()
        .expect("the rules load")
});

pub fn run(data: &[u8]) {
    let outcome = InProcess::new(Arc::clone(&RULES)).send(data, "fuzz");
    for line in &outcome.log {
        assert!(
            line.iter().all(|b| (0x20..0x7f).contains(b)),
            "a log line is one line"
        );
    }
}
