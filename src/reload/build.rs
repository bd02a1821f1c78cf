//! The next snapshot, built aside.

use std::sync::Arc;

use super::Refused;
use super::watch::Watched;
use crate::config::{self, Config};
use crate::live::Snapshot;
use seclang::diagnostic::{Diagnostic, Location};

/// How often a load is repeated because files changed under it.
const TRIES: usize = 3;

/// What came of building.
pub struct Built {
    /// None where nothing can be taken; `refused` says why.
    pub snapshot: Option<Snapshot>,
    pub refused: Vec<Refused>,
    pub warnings: Vec<Diagnostic>,
    pub watched: Watched,
}

/// Reads everything that `running` was read from anew. Blocks.
#[must_use]
pub fn build(running: &Snapshot, watched: &Watched) -> Built {
    let mut inputs = watched.inputs.clone();
    let mut tries = 0;
    loop {
        tries += 1;
        // What was there before is what must be there after: else the watch would miss a change.
        let contents = inputs.contents();
        let (loaded, read) = config::load_next(&running.config.source, &running.config);
        let same = read.contents() == contents;
        inputs = read;
        if same || tries == TRIES {
            let watched = Watched { inputs, contents };
            return finish(loaded, running, watched);
        }
    }
}

fn finish(
    loaded: Result<config::Loaded, Vec<Diagnostic>>,
    running: &Snapshot,
    watched: Watched,
) -> Built {
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(found) => {
            let (reasons, warnings) = found.into_iter().partition(Diagnostic::is_error);
            return Built {
                snapshot: None,
                refused: vec![whole(reasons)],
                warnings,
                watched,
            };
        }
    };
    let mut refused = loaded.refused;
    let source = loaded.config.source.clone();
    let told = |why: &str| Diagnostic::error(Location::file(&source), why);
    let fixed = keep_fixed(&running.config, &mut loaded.config);
    if !fixed.is_empty() {
        refused.push(Refused {
            unit: "restart".to_owned(),
            reasons: fixed.into_iter().map(told).collect(),
        });
    }
    let (snapshot, errors) = Snapshot::next(loaded.config, running);
    refused.extend(errors.iter().map(|error| Refused {
        unit: error.what.clone(),
        reasons: vec![told(&error.why)],
    }));
    Built {
        snapshot: Some(snapshot),
        refused,
        warnings: loaded.warnings,
        watched,
    }
}

/// All of the configuration stays as it is.
pub fn whole(reasons: Vec<Diagnostic>) -> Refused {
    Refused {
        unit: "configuration".to_owned(),
        reasons,
    }
}

/// What only a restart can change stays as it is.
fn keep_fixed(running: &Config, next: &mut Config) -> Vec<&'static str> {
    let same_log = running.log.access == next.log.access && running.log.audit == next.log.audit;
    let fixed = [
        (
            running.admin == next.admin,
            "another \"admin\" address or token needs a restart",
        ),
        (same_log, "other log files need a restart"),
        (
            running.state_dir == next.state_dir,
            "another \"state_dir\" needs a restart: until then switches are kept in the old one",
        ),
    ];
    next.admin.clone_from(&running.admin);
    next.log.clone_from(&running.log);
    next.state_dir.clone_from(&running.state_dir);
    let changed = fixed.into_iter().filter(|(same, _)| !same);
    changed.map(|(_, words)| words).collect()
}

/// What the process was started with.
#[must_use]
pub fn started(config: &Config) -> Arc<Watched> {
    Arc::new(Watched {
        inputs: config.inputs.clone(),
        contents: config.inputs.contents(),
    })
}
