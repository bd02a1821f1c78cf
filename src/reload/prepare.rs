//! Prepares the next snapshot while the present one serves.
//!
//! Invariant: nothing here touches what runs. A part that cannot be used keeps its last good version and is listed in
//! [`PreparedReload::refused`].

use std::sync::Arc;

use super::watch::Watched;
use crate::config::{self, Config, LogSink, Refused, Unit};
use crate::live::Snapshot;
use seclang::diagnostic::{Diagnostic, Location};

/// How often files are read if they change meanwhile. After that the result is taken as it is: the watcher finds the
/// files unlike `contents` and asks for another reload.
const TRIES: usize = 3;

/// A reload that is ready to be taken live.
pub struct PreparedReload {
    /// None if nothing can be taken; `refused` says why.
    pub snapshot: Option<Snapshot>,
    /// The parts that are not taken, and why.
    pub refused: Vec<Refused>,
    /// Problems that do not prevent the reload.
    pub warnings: Vec<Diagnostic>,
    /// The files to watch from then on.
    pub watched: Watched,
}

/// Reads all files of the running configuration again. Blocks the thread.
#[must_use]
pub fn prepare(running: &Snapshot) -> PreparedReload {
    let mut tries = 0;
    loop {
        tries += 1;
        let (loaded, inputs, contents) = config::load_next(&running.config.source, &running.config);
        // What changed while it was read may be half old and half new.
        if inputs.contents() == contents || tries == TRIES {
            return finish(loaded, running, Watched { inputs, contents });
        }
    }
}

fn finish(
    loaded: Result<config::Loaded, Vec<Diagnostic>>,
    running: &Snapshot,
    watched: Watched,
) -> PreparedReload {
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(found) => {
            let (reasons, warnings) = found.into_iter().partition(Diagnostic::is_error);
            return PreparedReload {
                snapshot: None,
                refused: vec![refuse_all(reasons)],
                warnings,
                watched,
            };
        }
    };
    let mut refused = loaded.refused;
    let source = loaded.config.source.clone();
    let at_source = |why: &str| Diagnostic::error(Location::file(&source), why);
    let fixed = keep_what_needs_a_restart(&running.config, &mut loaded.config);
    if !fixed.is_empty() {
        refused.push(Refused {
            unit: Unit::Restart,
            reasons: fixed.into_iter().map(at_source).collect(),
        });
    }
    let (snapshot, errors) = Snapshot::next(loaded.config, running);
    refused.extend(errors.iter().map(|error| Refused {
        unit: error.unit.clone(),
        reasons: vec![at_source(&error.cause.to_string())],
    }));
    PreparedReload {
        snapshot: Some(snapshot),
        refused,
        warnings: loaded.warnings,
        watched,
    }
}

/// Refuses the whole configuration for these reasons: everything stays as it is.
pub fn refuse_all(reasons: Vec<Diagnostic>) -> Refused {
    Refused {
        unit: Unit::Configuration,
        reasons,
    }
}

/// Keeps the settings that only a restart can change, because their files and sockets are opened once, at the start.
/// Returns a message for each that was changed.
fn keep_what_needs_a_restart(running: &Config, next: &mut Config) -> Vec<&'static str> {
    let fixed = [
        (
            running.admin == next.admin,
            "another \"admin\" address or token needs a restart",
        ),
        (
            running.log == next.log,
            "other settings of [log], or other certificates of its \"syslog_trust\", need a restart",
        ),
        (
            running.state_dir == next.state_dir,
            "another \"state_dir\" needs a restart: until then switches are kept in the old one",
        ),
        (
            running.events == next.events,
            "other settings of [events] need a restart",
        ),
        (
            running.console == next.console,
            "other settings of [console] than its certificates, its clients and [console.openid] need a restart",
        ),
    ];
    // The next reload must compare with what really runs, and report the difference again.
    next.admin.clone_from(&running.admin);
    next.log.clone_from(&running.log);
    let goes_on = [&next.log.access, &next.log.audit].contains(&&LogSink::Otlp);
    if goes_on && next.otlp.is_none() {
        // The logs that run go there until the restart.
        next.otlp.clone_from(&running.otlp);
    }
    next.events.clone_from(&running.events);
    // Certificates that are no longer there, or not needed yet, must not be looked for by the one that runs.
    let has_tls = |config: &Config| config.console.as_ref().is_some_and(|c| c.has_tls);
    if has_tls(running) != has_tls(next) {
        next.console_tls.clone_from(&running.console_tls);
    }
    next.console.clone_from(&running.console);
    next.state_dir.clone_from(&running.state_dir);
    let changed = fixed.into_iter().filter(|(same, _)| !same);
    changed.map(|(_, words)| words).collect()
}

/// The files that the process was started with. Their contents are those that were read: a start takes a while, and a
/// change during it must be noticed.
#[must_use]
pub fn watched_at_start(config: &Config) -> Arc<Watched> {
    Arc::new(Watched {
        inputs: config.inputs.clone(),
        contents: config.contents.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use dev_pki::{Authority, LeafOptions};

    use super::*;

    const TEXT: &str = r#"
        include = ["conf.d/*.toml"]
        [listeners.a]
        bind = ["127.0.0.1:1"]
        certificates = [{ chain = "secret/a.pem", key = "secret/a.key" }]
        [policies.on]
        mode = "block"
        rules = ["rules/*.conf"]
        [policies.off]
        mode = "off"
        rules = ["off/*.conf"]
    "#;

    #[test]
    fn a_change_during_the_start_is_one() {
        let made = tempfile::tempdir().unwrap();
        let folder = made.path();
        for inner in ["conf.d", "rules", "off", "one", "two"] {
            fs::create_dir_all(folder.join(inner)).unwrap();
        }
        let rule = "SecAction \"id:1,phase:1,pass\"\n";
        fs::write(folder.join("drawbridge.toml"), TEXT).unwrap();
        fs::write(folder.join("rules/a.conf"), rule).unwrap();
        fs::write(folder.join("off/a.conf"), rule).unwrap();
        fs::write(folder.join("conf.d/a.toml"), "").unwrap();
        let root = Authority::new("Root", 90).unwrap();
        for mount in ["one", "two"] {
            let leaf = root.leaf(&["a.test"], &LeafOptions::default()).unwrap();
            let mount = folder.join(mount);
            leaf.write(&mount.join("a.pem"), &mount.join("a.key"))
                .unwrap();
        }
        let point = |mount: &str| {
            let _ = fs::remove_file(folder.join("secret"));
            symlink(mount, folder.join("secret")).unwrap();
        };
        let changes: [(&str, &dyn Fn()); 5] = [
            ("none", &|| {}),
            ("a link", &|| point("two")),
            ("a rule", &|| {
                fs::write(folder.join("rules/a.conf"), "# none\n").unwrap();
            }),
            ("a new file", &|| {
                fs::write(folder.join("conf.d/b.toml"), "").unwrap();
            }),
            ("a file less", &|| {
                fs::remove_file(folder.join("conf.d/a.toml")).unwrap();
            }),
        ];
        for (what, change) in changes {
            point("one");
            fs::write(folder.join("rules/a.conf"), rule).unwrap();
            let config = config::load(&folder.join("drawbridge.toml"));
            let config = config.unwrap().config;
            change();
            let watched = watched_at_start(&config);
            let same = watched.contents == watched.inputs.contents();
            assert_eq!(same, what == "none", "{what}");
        }
    }
}
