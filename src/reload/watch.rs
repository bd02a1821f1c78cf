//! Notices that a file changed, by asking the file system a few times a second.
//!
//! Asking sees what notifications miss or tell late: swapped links, renames into place, network and
//! overlay file systems, folders that are mounted over. A few hundred files cost well under a
//! millisecond a time, and there is no limit on watches to run into.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Reloads, Trigger};
use crate::config::{Contents, Inputs};

const PAUSE: Duration = Duration::from_millis(150);
/// Pauses that files which go on changing are waited for.
const PATIENCE: usize = 10;

/// What is watched, and what was in it when it was read.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    pub inputs: Inputs,
    pub contents: Contents,
}

/// Asks for a reload when the content of a watched file changed and has settled. A touch changes
/// nothing. Ends with the one who reloads.
pub async fn run(reloads: Arc<Reloads>, watched: watch::Receiver<Arc<Watched>>) {
    let mut seen = None;
    loop {
        sleep(PAUSE).await;
        let now = watched.borrow().clone();
        let Some(mut stamps) = look(&now).await else {
            return;
        };
        if seen.as_ref() == Some(&stamps) {
            continue;
        }
        for _ in 0..PATIENCE {
            sleep(PAUSE).await;
            let Some(later) = look(&now).await else {
                return;
            };
            let settled = later == stamps;
            stamps = later;
            if settled {
                break;
            }
        }
        seen = Some(stamps);
        let read = Arc::clone(&now);
        let Ok(contents) = spawn_blocking(move || read.inputs.contents()).await else {
            return;
        };
        if contents != now.contents && reloads.ask(Trigger::Watch).await.is_none() {
            return;
        }
    }
}

async fn look(watched: &Arc<Watched>) -> Option<crate::config::Stamps> {
    let watched = Arc::clone(watched);
    spawn_blocking(move || watched.inputs.stamps()).await.ok()
}
