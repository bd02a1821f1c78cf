//! Notifications from the system (inotify) that something in a folder changed.
//!
//! Folders are watched, not files: a watch on a file follows its inode and misses the file that a rename puts in its
//! place. Notifications only say when to look; [`super::watch`] finds changes without them too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RemoveKind};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Device and inode. A folder that replaces another is a different one, whatever its name.
type Identity = (u64, u64);
/// Folders that were removed. A new folder of the same name may even have the same inode, so [`Identity`] alone does
/// not tell them apart.
type Removed = Arc<Mutex<Vec<PathBuf>>>;

/// What notifications wake.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// Files, links or folders may have come, gone or changed places.
    pub(super) names: Notify,
    /// Something was written to a file, perhaps to one that nobody watches, such as a log in the same folder.
    pub(super) content: Notify,
}

pub(super) struct FolderNotifications {
    watcher: RecommendedWatcher,
    followed: BTreeMap<PathBuf, Identity>,
    removed: Removed,
    /// Whether every folder that exists is followed.
    is_complete: bool,
    /// Whether the lack was logged: one message for each time that it begins.
    was_told: bool,
}

impl FolderNotifications {
    /// # Errors
    /// The system has no notifications, or no more of them to give.
    pub(super) fn new(wake: &Arc<Wake>) -> notify::Result<Self> {
        let wake = Arc::clone(wake);
        let removed = Removed::default();
        let note = Arc::clone(&removed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An event that could not be reported may have been a change.
            match event {
                Ok(event) if !is_change(event.kind) => return,
                Ok(event) if is_content(event.kind) => {
                    wake.content.notify_one();
                    return;
                }
                Ok(event) if matches!(event.kind, EventKind::Remove(kind) if kind != RemoveKind::File) =>
                {
                    lock(&note).extend(event.paths);
                }
                _ => {}
            }
            wake.names.notify_one();
        })?;
        Ok(Self {
            watcher,
            followed: BTreeMap::new(),
            removed,
            is_complete: false,
            was_told: false,
        })
    }

    /// Whether every folder that exists is followed.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Follows these folders, and no others.
    pub(super) fn follow(&mut self, folders: BTreeSet<PathBuf>) {
        let wanted = folders.into_iter().filter_map(|folder| {
            let identity = identity(&folder)?;
            Some((folder, identity))
        });
        let wanted: BTreeMap<PathBuf, Identity> = wanted.collect();
        // The kernel drops the watch of a removed folder by itself, so a new folder in its place needs a new watch.
        for folder in lock(&self.removed).drain(..) {
            self.followed.remove(&folder);
        }
        // This runs with every look, twice a second, and the folders rarely change.
        if self.is_complete && wanted == self.followed {
            return;
        }
        let watcher = &mut self.watcher;
        self.followed.retain(|folder, known| {
            let stays = wanted.get(folder) == Some(known);
            if !stays {
                // This fails for a removed folder, whose watch is gone already.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        self.is_complete = true;
        for (folder, identity) in wanted {
            if self.followed.contains_key(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.followed.insert(folder, identity);
                }
                // It was removed since `identity` saw it. The next look finds it if it comes back.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    self.is_complete = false;
                    if !std::mem::replace(&mut self.was_told, true) {
                        log_failure(&folder, &error);
                    }
                }
            }
        }
        self.was_told &= !self.is_complete;
    }
}

fn log_failure(folder: &Path, error: &notify::Error) {
    tracing::warn!(
        target: "reload",
        "there are no notifications of changes in {}, so files are checked more often: {error}",
        folder.display()
    );
}

fn lock(removed: &Mutex<Vec<PathBuf>>) -> MutexGuard<'_, Vec<PathBuf>> {
    // A list of paths is valid after every step, so a poisoned lock does no harm.
    removed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(folder: &Path) -> Option<Identity> {
    let metadata = fs::metadata(folder).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

/// Whether an event is a change. Reading is not: otherwise each look at the files would cause the next one.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Whether an event says that bytes were written, and nothing of names.
fn is_content(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_))
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use notify::event::{CreateKind, DataChange, RenameMode};
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn reading_is_no_change() {
        for (kind, expected) in [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
            (EventKind::Access(AccessKind::Read), false),
            (
                EventKind::Access(AccessKind::Close(AccessMode::Read)),
                false,
            ),
            (
                EventKind::Access(AccessKind::Close(AccessMode::Write)),
                true,
            ),
            (EventKind::Create(CreateKind::File), true),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), true),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), true),
            (EventKind::Remove(RemoveKind::Folder), true),
            // The queue has overflown.
            (EventKind::Other, true),
        ] {
            assert_eq!(is_change(kind), expected, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn what_changes_a_folder_wakes() {
        let made = tempfile::tempdir().unwrap();
        let root = made.path();
        let folder = root.join("certs");
        fs::create_dir_all(&folder).unwrap();
        let wake = Arc::new(Wake::default());
        let mut notified = FolderNotifications::new(&wake).unwrap();
        let follow = |notified: &mut FolderNotifications| {
            notified.follow(BTreeSet::from([folder.clone(), root.join("absent")]));
            assert!(
                notified.is_complete(),
                "what is not there needs no notification"
            );
        };
        follow(&mut notified);
        let aside = root.join("aside");
        let make_anew = || {
            fs::remove_dir_all(&folder).unwrap();
            fs::create_dir(&folder).unwrap();
        };
        let steps: [(&str, &dyn Fn()); 4] = [
            ("a file", &|| fs::write(folder.join("a"), "1").unwrap()),
            ("renamed into place", &|| {
                fs::write(&aside, "3").unwrap();
                fs::rename(&aside, folder.join("a")).unwrap();
            }),
            ("a swapped link", &|| {
                symlink("..2", &aside).unwrap();
                fs::rename(&aside, folder.join("..data")).unwrap();
            }),
            ("the folder itself", &make_anew),
        ];
        for (what, step) in steps {
            step();
            let woken = timeout(Duration::from_secs(30), wake.names.notified()).await;
            assert!(woken.is_ok(), "{what}");
        }
        // One of the same name is another folder.
        follow(&mut notified);
        while timeout(Duration::from_millis(1), wake.names.notified())
            .await
            .is_ok()
        {}
        fs::write(folder.join("b"), "1").unwrap();
        let woken = timeout(Duration::from_secs(30), wake.names.notified()).await;
        assert!(woken.is_ok(), "in the new folder");
    }

    #[tokio::test]
    async fn what_is_only_written_to_wakes_for_content() {
        let made = tempfile::tempdir().unwrap();
        let path = made.path().join("a");
        let mut file = fs::File::create(&path).unwrap();
        let wake = Arc::new(Wake::default());
        let mut notified = FolderNotifications::new(&wake).unwrap();
        notified.follow(BTreeSet::from([made.path().to_owned()]));
        file.write_all(b"1").unwrap();
        let woken = timeout(Duration::from_secs(30), wake.content.notified()).await;
        assert!(woken.is_ok());
        let names = timeout(Duration::from_millis(1), wake.names.notified()).await;
        assert!(names.is_err(), "a write was taken for a change of names");
    }
}
