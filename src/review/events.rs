//! The events that were kept: which there are, one of them, what occurs most.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use super::error::ReviewError;
use super::escape::json_text;
use super::explanation::{Explanation, explain};
use crate::config::Config;
use crate::events::{
    CallerFacts, Event, Found, NewestQuery, Place, Summary, Verdict, find, find_by_id, find_newest,
};
use crate::identity::hashed_subject;
use crate::recorded::Request;
use crate::time::{milliseconds_ago, rfc3339};

/// Which events are meant. What is None does not matter.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventFilter {
    /// Those of this time until now.
    pub(crate) since: Option<Duration>,
    pub(crate) route: Option<String>,
    /// Those that this rule matched or blocked.
    pub(crate) rule: Option<u64>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) verdict: Option<Verdict>,
    /// Those of this caller, also where its subject is hashed.
    pub(crate) subject: Option<String>,
    /// Those of callers that this `[identity]` table vouches for.
    pub(crate) identity: Option<String>,
}

/// What events are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountBy {
    Rule,
    Route,
    Argument,
    Client,
    Caller,
}

/// The events of one rule, route, argument or client.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) events: u64,
    pub(crate) blocked: u64,
    pub(crate) would_be_blocked: u64,
    /// The newest.
    pub(crate) last: Option<Summary>,
}

/// The rules that an explanation is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Under {
    /// The policy's rules are still those that the request met.
    Met,
    Now,
}

/// An event, and what rules do with it if that can be said.
#[derive(Debug)]
pub(crate) struct ShownEvent {
    pub(crate) event: Event,
    pub(crate) explained: Option<(Under, Explanation)>,
}

impl EventFilter {
    /// The events below this `state_dir` that fit.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn find(&self, state_dir: &Path) -> Result<Found, ReviewError> {
        let since = milliseconds_ago(self.since);
        let found = find(state_dir, since, |event| self.fits(event));
        found.map_err(|error| cannot_read(state_dir, &error))
    }

    /// The newest `most` of them, and whether there are more.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn find_newest(
        &self,
        state_dir: &Path,
        most: usize,
    ) -> Result<(Found, bool), ReviewError> {
        let query = NewestQuery {
            since: milliseconds_ago(self.since),
            most,
            needles: self.needles(),
        };
        let found = find_newest(state_dir, &query, |event| self.fits(event));
        found.map_err(|error| cannot_read(state_dir, &error))
    }

    /// What stands in the JSON of each summary that fits, one text of each group.
    fn needles(&self) -> Vec<Vec<String>> {
        let rule = self.rule.map(|rule| {
            let keys = ["rule_id", "blocked_by"].into_iter();
            keys.map(|key| format!("\"{key}\":{rule}")).collect()
        });
        let client = self.client.map(|client| {
            let client = client.to_canonical();
            vec![format!("\"{client}\""), format!("\"::ffff:{client}\"")]
        });
        let verdict = self
            .verdict
            .map(|verdict| vec![format!("\"{}\"", verdict.name())]);
        let route = self.route.as_ref();
        let route = route.map(|route| vec![json!(route).to_string()]);
        let identity = self.identity.as_ref();
        let identity = identity.map(|name| vec![json!(name).to_string()]);
        let subject = self.subject.as_ref();
        let subject = subject.map(|subject| vec![json!(subject).to_string(), HASH.to_owned()]);
        let groups = [rule, client, verdict, route, identity, subject].into_iter();
        groups.flatten().collect()
    }

    fn fits(&self, event: &Summary) -> bool {
        let has_rule = |rule| {
            // A rule that blocked may be a silent one, which the list of matches does not have.
            event.blocked_by == Some(rule) || event.matches.iter().any(|hit| hit.rule_id == rule)
        };
        // A dual-stack socket shows IPv4 clients as mapped IPv6 addresses.
        let client = event.client.to_canonical();
        self.rule.is_none_or(has_rule)
            && self
                .client
                .is_none_or(|wanted| wanted.to_canonical() == client)
            && self.verdict.is_none_or(|verdict| event.verdict == verdict)
            && self
                .route
                .as_ref()
                .is_none_or(|route| event.route.as_ref() == Some(route))
            && self.fits_caller(event.caller.as_ref())
    }

    fn fits_caller(&self, caller: Option<&CallerFacts>) -> bool {
        if self.identity.is_none() && self.subject.is_none() {
            return true;
        }
        let Some(caller) = caller else {
            return false;
        };
        let is_subject = |wanted: &String| {
            let subject = caller.subject.as_deref().unwrap_or_default();
            let issuer = caller.issuer.as_deref().unwrap_or_default();
            // Who searches knows the person, and the record may have only the hash.
            subject == wanted || subject == hashed_subject(issuer, wanted)
        };
        self.identity
            .as_ref()
            .is_none_or(|name| caller.name == *name)
            && self.subject.as_ref().is_none_or(is_subject)
    }
}

/// What a hashed subject begins with.
const HASH: &str = "\"sha256:";

/// The event of a request. If there are two, not the one that the shadow of its policy made.
///
/// # Errors
/// It was not kept, or cannot be read.
pub(crate) fn event_of(state_dir: &Path, id: &str) -> Result<Event, ReviewError> {
    find_event(state_dir, id, false)
}

/// The event that the shadow of its policy made of a request.
///
/// # Errors
/// It was not kept, or cannot be read.
pub(crate) fn shadow_event_of(state_dir: &Path, id: &str) -> Result<Event, ReviewError> {
    find_event(state_dir, id, true)
}

fn find_event(state_dir: &Path, id: &str, of_shadow: bool) -> Result<Event, ReviewError> {
    let cannot = |error| cannot_read(state_dir, &error);
    let Found { events, problems } = find_by_id(state_dir, id).map_err(cannot)?;
    let is_of_shadow = |place: &&Place| place.summary.verdict == Verdict::Shadow;
    let place = match (events.iter().find(is_of_shadow), of_shadow) {
        (found, true) => found,
        // The shadow's event is better than none: the other one may be dropped already, or was never kept.
        (found, false) => events.iter().find(|place| !is_of_shadow(place)).or(found),
    };
    let Some(place) = place else {
        let problems: String = problems
            .iter()
            .map(|problem| format!("; {problem}"))
            .collect();
        return Err(ReviewError::NotFound(format!(
            "no event of request {id:?} is kept below {}{problems}",
            state_dir.display()
        )));
    };
    place.read().map_err(cannot)?.ok_or_else(|| {
        ReviewError::Problem(format!(
            "the event of request {id:?} is damaged on the disk"
        ))
    })
}

fn cannot_read(state_dir: &Path, error: &io::Error) -> ReviewError {
    ReviewError::Problem(format!(
        "cannot read the events below {}: {error}",
        state_dir.display()
    ))
}

/// When the request's head was there.
pub(crate) fn time(event: &Summary) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(event.time)
}

/// A summary as JSON shows it.
#[derive(Serialize)]
struct Listed<'e> {
    time: String,
    #[serde(flatten)]
    event: &'e Summary,
}

impl<'e> Listed<'e> {
    fn new(event: &'e Summary) -> Self {
        Self {
            time: rfc3339(time(event)),
            event,
        }
    }
}

/// A list of events as JSON.
#[derive(Serialize)]
pub(crate) struct ListReport<'e> {
    ok: bool,
    problems: &'e [String],
    /// How many earlier events fit and are not shown; None if they were not counted.
    earlier: Option<usize>,
    /// Whether there are earlier ones.
    more: bool,
    events: ListedEvents<'e>,
}

impl<'e> ListReport<'e> {
    /// The latest `most` of these events.
    pub(crate) fn new(found: &'e Found, most: usize) -> Self {
        // The latest are at the end, and they are what somebody asks for.
        let earlier = found.events.len().saturating_sub(most);
        Self {
            ok: found.problems.is_empty(),
            problems: &found.problems,
            earlier: Some(earlier),
            more: earlier > 0,
            events: ListedEvents(found.events.get(earlier..).unwrap_or_default()),
        }
    }

    /// All of these events, which are the latest. `more`: whether there are earlier ones.
    pub(crate) fn of_newest(found: &'e Found, more: bool) -> Self {
        Self {
            ok: found.problems.is_empty(),
            problems: &found.problems,
            earlier: None,
            more,
            events: ListedEvents(&found.events),
        }
    }
}

/// Serialized one by one: there may be a million.
struct ListedEvents<'e>(&'e [Place]);

impl Serialize for ListedEvents<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|place| Listed::new(&place.summary)))
    }
}

impl CountBy {
    /// All of them, with their names.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("rule", Self::Rule),
        ("route", Self::Route),
        ("argument", Self::Argument),
        ("client", Self::Client),
        ("caller", Self::Caller),
    ];

    /// The most frequent first.
    pub(crate) fn count(self, found: &Found) -> Vec<(String, Count)> {
        let mut rows: BTreeMap<String, Count> = BTreeMap::new();
        for event in found.events.iter().map(|place| &place.summary) {
            for key in self.keys(event) {
                let row = rows.entry(key).or_default();
                row.events += 1;
                row.blocked += u64::from(event.verdict == Verdict::Block);
                row.would_be_blocked += u64::from(event.verdict == Verdict::Detect);
                // They are in the order of their times.
                row.last = Some(event.clone());
            }
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(key, row)| (std::cmp::Reverse(row.events), key.clone()));
        rows
    }

    /// An event counts once for each, however often it occurs in it.
    fn keys(self, event: &Summary) -> BTreeSet<String> {
        let hits = event.matches.iter();
        match self {
            Self::Rule => {
                let rules = hits.map(|hit| hit.rule_id).chain(event.blocked_by);
                rules.map(|rule| rule.to_string()).collect()
            }
            Self::Argument => hits
                .map(|hit| hit.variable.clone())
                // A rule that looks at no variable says nothing about an argument.
                .filter(|name| !name.is_empty())
                .collect(),
            Self::Route => BTreeSet::from([event.route.clone().unwrap_or_else(|| "-".to_owned())]),
            Self::Client => BTreeSet::from([event.client.to_canonical().to_string()]),
            Self::Caller => {
                let caller = event.caller.as_ref();
                BTreeSet::from([caller.map_or_else(|| "-".to_owned(), CallerFacts::short)])
            }
        }
    }
}

/// The counts as JSON.
pub(crate) fn counts_json(found: &Found, rows: &[(String, Count)]) -> Value {
    let rows = rows.iter().map(|(key, row)| {
        json!({
            "key": key,
            "events": row.events,
            "blocked": row.blocked,
            "would_be_blocked": row.would_be_blocked,
            "last": row.last.as_ref().map(|event| rfc3339(time(event))),
            "last_request_id": row.last.as_ref().map(|event| &event.request_id),
        })
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "ok": found.problems.is_empty(), "problems": found.problems, "rows": rows })
}

impl Under {
    fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Now => "now",
        }
    }
}

impl ShownEvent {
    /// The event with what the rules that it met do with it, if they are still the policy's; otherwise as it was recorded.
    pub(crate) fn met(event: Event, config: Option<&Config>) -> Self {
        let explained = config.map(|config| explain_under(config, &event, Under::Met));
        Self {
            event,
            // The record says enough where that cannot be.
            explained: explained
                .and_then(Result::ok)
                .map(|explained| (Under::Met, explained)),
        }
    }

    /// The event with what the rules of this configuration do with it.
    ///
    /// # Errors
    /// Why that cannot be said.
    pub(crate) fn now(event: Event, config: &Config) -> Result<Self, ReviewError> {
        let explained = explain_under(config, &event, Under::Now)?;
        Ok(Self {
            event,
            explained: Some((Under::Now, explained)),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let Self { event, explained } = self;
        json!({
            "ok": true,
            "event": Listed::new(&event.summary),
            "details": event.details,
            "not_judged": event.details.payload.why_not_judged(),
            "head": json_text(&event.head),
            "body": (!event.details.payload.is_sealed).then(|| json_text(&event.body)),
            "explained_under": explained.as_ref().map(|(under, _)| under.name()),
            "explanation": explained.as_ref().map(|(_, explained)| explained.to_json(false)),
        })
    }
}

/// What the rules of its policy do with it.
///
/// # Errors
/// Why that cannot be said: the rules are others by now, or the record lacks something of the request.
fn explain_under(config: &Config, event: &Event, under: Under) -> Result<Explanation, ReviewError> {
    let problem = |words: String| ReviewError::Problem(words);
    let (summary, payload) = (&event.summary, &event.details.payload);
    // With `now` a guess is better than nothing, and the answer says what the record lacks. A sealed one has no request.
    let is_bound = payload.is_sealed || under == Under::Met;
    if let Some(why) = payload.why_not_judged().filter(|_| is_bound) {
        return Err(problem(why));
    }
    let name = summary.policy.as_ref();
    let name = name.ok_or_else(|| problem("no policy inspected this request".to_owned()))?;
    let policy = config.policies.get(name);
    let policy = policy.ok_or_else(|| problem(format!("there is no policy {name:?} any more")))?;
    let of_shadow = under == Under::Met && summary.verdict == Verdict::Shadow;
    // Its digest is that of the shadow's rules, which are the ones that it met.
    let (rules, digest) = match (&policy.shadow, of_shadow) {
        (Some(shadow), true) => (Some(&shadow.rules), &shadow.rules_digest),
        _ => (policy.rules.live(), &policy.rules_digest),
    };
    // Other rules would explain another verdict than the one that was recorded.
    if under == Under::Met && summary.rules_digest.as_ref() != Some(digest) {
        return Err(problem(format!(
            "the rules of policy {name:?} have changed"
        )));
    }
    let rules = rules.ok_or_else(|| super::policy::has_no_rules(policy))?;
    let request = Request::from_event(event.clone());
    let lacks = request.lacks_claims_for(rules);
    if let Some(why) = lacks.filter(|_| under == Under::Met) {
        return Err(problem(why));
    }
    explain(rules, &request, None, &[]).map_err(ReviewError::because)
}

/// The raw request of an event, ready for `rules explain` and curl, and what differs from the one that came. A sealed one
/// is a file of age, as its tools take it.
pub(crate) fn export(event: Event) -> (Vec<u8>, Vec<String>) {
    match event.details.payload.is_sealed {
        true => {
            let notes = event.details.payload.why_not_judged().into_iter().collect();
            (event.body, notes)
        }
        false => {
            let has_caller = event.summary.caller.is_some();
            let (raw, mut notes) = event.raw_request();
            let dropped = &event.details.payload.dropped_fields;
            notes.extend((!dropped.is_empty()).then(|| {
                format!(
                    "the front door removed {} before rules saw the request",
                    dropped.join(", ")
                )
            }));
            notes.extend(has_caller.then(|| {
                "the rules also saw claims of its caller (IDENTITY), which a raw request does not have: `events show --now` judges it with them"
                    .to_owned()
            }));
            (raw, notes)
        }
    }
}
