//! Runs the recorded requests through the rules, on all processors.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::progress::Progress;
use super::Args;
use crate::cli::error::CommandError;
use crate::cli::offline;
use crate::config;
use crate::exclusion::lint::{Evidence, Observed};
use crate::parallel;
use crate::review::replay::source::{Events, Joined, NotReplayed, Requests};
use crate::time::milliseconds_ago;
use waf::RuleSet;

/// Requests that a thread takes at once.
const CHUNK: usize = 32;

/// Requests, and since when they were recorded.
pub(super) struct Recorded {
    requests: Joined,
    /// None if that is not known of all of them.
    time: Option<Duration>,
}

/// What the requests showed.
pub(super) struct Looked {
    pub(super) observed: Observed,
    pub(super) evidence: Evidence,
    /// Requests that the rules cannot judge as they were, or that they would not see.
    pub(super) not_judged: usize,
    /// Why, of the first such request.
    pub(super) why: Option<String>,
}

impl Default for Looked {
    fn default() -> Self {
        Self {
            observed: Observed::default(),
            evidence: Evidence {
                requests: 0,
                time: None,
            },
            not_judged: 0,
            why: None,
        }
    }
}

/// The events of the policy, and the requests that the command line names; None if there are none.
///
/// # Errors
/// They cannot be read, or nobody records events and --since asks for them.
pub(super) fn requests(args: &Args, policy: &str) -> Result<Option<Recorded>, CommandError> {
    let path = args.config.find().map_err(CommandError::because)?;
    let state_dir = config::state_dir_of(&path).map_err(CommandError::Diagnostics)?;
    let state_dir = match (state_dir, args.since) {
        (None, Some(_)) => Some(offline::state_dir(&args.config)?),
        (state_dir, _) => state_dir,
    };
    let is_of_policy = |summary: &crate::events::Summary| summary.policy.as_deref() == Some(policy);
    let since = milliseconds_ago(args.since);
    let events = state_dir.map(|folder| Events::find_where(&folder, since, is_of_policy));
    let events = events.transpose()?.filter(|events| events.len() > 0);
    if events.is_none() && args.requests.is_empty() {
        return Ok(None);
    }
    let first = events.as_ref().and_then(Events::first);
    let first = first.filter(|_| args.requests.is_empty());
    let begun = first.map(|time| UNIX_EPOCH + Duration::from_millis(time));
    let time = begun.and_then(|begun| SystemTime::now().duration_since(begun).ok());
    let requests = Joined::open(&args.requests, &[], events)?;
    Ok(Some(Recorded { requests, time }))
}

impl Looked {
    pub(super) fn at(rules: &Arc<RuleSet>, recorded: &Recorded) -> Self {
        let requests = &recorded.requests;
        let total = requests.len();
        let progress = Progress::new(total);
        let starts = (0..total).step_by(CHUNK);
        let chunks: Vec<Range<usize>> = starts.map(|at| at..(at + CHUNK).min(total)).collect();
        let done = AtomicUsize::new(0);
        let parts = parallel::map(&chunks, |chunk| {
            let part = Self::at_chunk(rules, requests, chunk.clone());
            let count = chunk.len();
            progress.update(done.fetch_add(count, Ordering::Relaxed) + count);
            part
        });
        progress.clear();
        let mut whole = Self::default();
        for part in parts {
            whole.observed.add(part.observed);
            whole.not_judged += part.not_judged;
            whole.why = whole.why.or(part.why);
        }
        whole.evidence = Evidence {
            requests: whole.observed.requests,
            time: recorded.time,
        };
        whole
    }

    fn at_chunk(rules: &Arc<RuleSet>, requests: &Joined, chunk: Range<usize>) -> Self {
        let mut part = Self::default();
        for at in chunk {
            let why = match requests.read(at) {
                Ok(recorded) => {
                    let before = part.observed.requests;
                    part.observed.see(rules, &recorded.request);
                    if part.observed.requests > before {
                        continue;
                    }
                    "HTTP forbids it, so no rule sees it".to_owned()
                }
                Err(NotReplayed::Unreadable(problem)) => problem.to_string(),
                Err(NotReplayed::CannotBeJudged { why, .. }) => why,
            };
            part.not_judged += 1;
            part.why.get_or_insert(why);
        }
        part
    }
}
