use std::fs;

use tempfile::TempDir;

use super::*;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn board(&self) -> Switchboard {
        Switchboard::open(Some(self.0.path())).unwrap()
    }

    fn audit(&self) -> Vec<serde_json::Value> {
        let text =
            fs::read_to_string(self.0.path().join("exposure-audit.jsonl")).unwrap_or_default();
        let lines = text.lines();
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

fn setting(on: bool, seconds: Option<i64>) -> Setting {
    let now = SystemTime::UNIX_EPOCH
        + Duration::from_secs(
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        );
    Setting {
        on,
        since: now,
        until: seconds.map(|s| match u64::try_from(s) {
            Ok(s) => now + Duration::from_secs(s),
            Err(_) => now - Duration::from_secs(s.unsigned_abs()),
        }),
        by: "alice".to_owned(),
        reason: Some("a leak".to_owned()),
    }
}

#[test]
fn a_switch_survives_a_restart() {
    let folder = Folder::new();
    let board = folder.board();
    assert!(board.is_on("public"));
    let off = setting(false, Some(3600));
    board.set("public", off.clone()).unwrap();
    assert!(!board.is_on("public") && board.is_on("internal"));
    drop(board);
    let board = folder.board();
    assert_eq!(board.off_setting("public").as_deref(), Some(&off));
    board.set("public", setting(true, None)).unwrap();
    assert!(board.is_on("public") && board.setting("public").is_none());
    assert!(folder.board().is_on("public"));
    let actions = folder.audit();
    let actions: Vec<_> = actions
        .iter()
        .map(|l| (l["action"].as_str(), l["by"].as_str(), l["reason"].as_str()))
        .collect();
    assert_eq!(
        actions,
        [
            (Some("off"), Some("alice"), Some("a leak")),
            (Some("on"), Some("alice"), Some("a leak")),
        ]
    );
}

#[test]
fn a_switch_reverts_if_its_time_ended_while_nothing_ran() {
    for on in [false, true] {
        let folder = Folder::new();
        let board = folder.board();
        board.set("public", setting(on, Some(-5))).unwrap();
        assert_eq!(board.is_on("public"), !on, "also without a timer");
        drop(board);
        assert_eq!(folder.board().is_on("public"), !on);
        assert_eq!(folder.board().is_on("public"), !on);
        let audit = folder.audit();
        assert_eq!(audit.len(), 2, "reverted once: {audit:?}");
        assert_eq!(audit[1]["by"], "timer");
        assert_eq!(audit[1]["action"], if on { "off" } else { "on" });
    }
}

#[test]
fn an_invalid_state_file_is_an_error() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    for text in ["", "{", "{\"version\":9,\"exposures\":{}}", "[]"] {
        fs::write(folder.0.path().join("exposures.json"), text).unwrap();
        let error = Switchboard::open(Some(folder.0.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("exposures.json"), "{text}: {error}");
    }
}

#[test]
fn off_takes_effect_even_if_it_cannot_be_saved() {
    let folder = Folder::new();
    let board = folder.board();
    // A folder in the place of the file cannot be replaced by a file.
    fs::create_dir_all(folder.0.path().join("exposures.json/in-the-way")).unwrap();
    assert!(board.set("public", setting(false, None)).is_err());
    assert!(!board.is_on("public"));
    assert!(board.set("public", setting(true, None)).is_err());
    assert!(!board.is_on("public"), "on must be saved first");
}

/// The audit cannot be written: on stays off, here and after a restart; off takes effect, and is audited later.
#[test]
fn a_switch_that_cannot_be_audited_exposes_nothing() {
    let folder = Folder::new();
    let board = folder.board();
    board.set("internal", setting(false, None)).unwrap();
    let audit = folder.0.path().join("exposure-audit.jsonl");
    let aside = folder.0.path().join("aside");
    fs::rename(&audit, &aside).unwrap();
    fs::create_dir(&audit).unwrap();
    for until in [None, Some(3600)] {
        assert!(board.set("internal", setting(true, until)).is_err());
        assert!(!board.is_on("internal"));
        assert!(
            !folder.board().is_on("internal"),
            "as on the disk: {until:?}"
        );
    }
    // It would be on in an hour.
    assert!(board.set("internal", setting(false, Some(3600))).is_err());
    assert_eq!(board.setting("internal").unwrap().until, None);
    assert_eq!(folder.board().setting("internal").unwrap().until, None);

    assert!(board.set("public", setting(false, None)).is_err());
    assert!(!board.is_on("public") && !folder.board().is_on("public"));
    let reason = board.unsaved_reason().unwrap();
    assert!(reason.contains("exposure-audit.jsonl"), "{reason}");

    fs::remove_dir(&audit).unwrap();
    // What a full disk left of a line.
    let text = fs::read_to_string(&aside).unwrap() + "{\"time\"";
    fs::write(&audit, text).unwrap();
    board.retry_unsaved().unwrap();
    assert_eq!(board.unsaved_reason(), None);
    let text = fs::read_to_string(&audit).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let last: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(
        (&last["exposure"], &last["action"]),
        (&"public".into(), &"off".into())
    );
}

/// The state cannot be written: a switch to off is saved as soon as possible, and nobody takes over before that.
#[test]
fn an_unsaved_switch_is_saved_before_a_hand_over() {
    let folder = Folder::new();
    let board = folder.board();
    let in_the_way = folder.0.path().join("exposures.json/in-the-way");
    fs::create_dir_all(&in_the_way).unwrap();
    assert!(board.set("public", setting(false, None)).is_err());
    assert!(board.unsaved_reason().is_some());
    assert!(board.pause().is_err());
    fs::remove_dir_all(folder.0.path().join("exposures.json")).unwrap();
    assert!(folder.board().is_on("public"));
    board.pause().unwrap();
    assert!(!folder.board().is_on("public"));
    assert_eq!(board.unsaved_reason(), None);
    assert_eq!(folder.audit().len(), 1, "audited once");
}

/// Either the switch comes first, and is saved before anybody takes over, or it is told that somebody does.
#[test]
fn no_switch_is_lost_beside_a_hand_over() {
    for _ in 0..500 {
        let board = Switchboard::open(None).unwrap();
        std::thread::scope(|scope| {
            // Switches that are in force and not yet on the disk, one after the other.
            scope.spawn(|| {
                loop {
                    let _store = board.lock_store();
                    if board.paused.load(Ordering::SeqCst) {
                        break;
                    }
                    board.lock_unsaved().insert(Unsaved::State, String::new());
                }
            });
            while board.unsaved_reason().is_none() {
                std::thread::yield_now();
            }
            board.pause().unwrap();
        });
        assert_eq!(board.unsaved_reason(), None);
    }
}

#[tokio::test]
async fn a_process_that_hands_over_switches_nothing_and_follows_its_successor() {
    let folder = Folder::new();
    let old = Arc::new(folder.board());
    old.set("internal", setting(false, None)).unwrap();
    old.pause().unwrap();
    let refused = old.set("public", setting(false, None));
    assert!(matches!(refused, Err(SetError::HandingOver)));
    assert!(old.is_on("public"));
    let next = folder.board();
    assert!(!next.is_on("internal"));

    next.set("public", setting(false, None)).unwrap();
    let following = tokio::spawn(Arc::clone(&old).follow_successor());
    old.wait_until_off("public").await;
    following.abort();

    old.resume();
    old.set("public", setting(true, None)).unwrap();
    assert!(folder.board().is_on("public"));
}

#[tokio::test]
async fn a_change_wakes_waiters_and_the_timer() {
    let board = Arc::new(Switchboard::open(None).unwrap());
    let timer = tokio::spawn(Arc::clone(&board).run_timers());
    let waiting = Arc::clone(&board);
    let waiter = tokio::spawn(async move { waiting.wait_until_off("public").await });
    board.set("internal", setting(false, None)).unwrap();
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    // On for no time at all: the timer switches it off.
    board.set("public", setting(true, Some(0))).unwrap();
    waiter.await.unwrap();
    timer.abort();
}
