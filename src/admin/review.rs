//! The API of recorded requests, of exclusions and of what the files would change: what `drawbridge events` and `drawbridge rules` answer, with the same
//! words. The path is the verb, such as `/events/list`; its options are the query, or the keys of a JSON body.
//!
//! These requests are what clients sent, so each question needs the token, a GET too. Answers are computed on threads
//! of low priority, and only so many at once: nothing asked here may take the processor from clients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::setpriority_process;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};

use super::fields::Fields;
use super::router::{Request, Response, Router};
use crate::config::{self, Config, parse_age};
use crate::events::Verdict;
use crate::exclusion::{Day, Purpose};
use crate::live::Live;
use crate::review::error::ReviewError;
use crate::review::events::{
    CountBy, EventFilter, ListReport, ShownEvent, counts_json, event_of, export, shadow_event_of,
};
use crate::review::exclude::{Blocked, ExclusionRequest, WriteTo, exclude};
use crate::review::explanation::explain;
use crate::review::lint::{RecordedRequests, lint};
use crate::review::policy::{find_policy, has_no_rules};
use crate::review::replay::compare::Comparison;
use crate::review::replay::source::{Events, Requests};
use crate::review::replay::{Sides, build, report};
use crate::time::milliseconds_ago;

/// Questions that are answered at once; others are refused. Each may hold the summaries of all events.
const MOST_AT_ONCE: usize = 2;
/// Events in a list, unless the query says otherwise.
const LISTED: usize = 1000;
/// Events in a list at most.
const MOST_LISTED: usize = 10_000;
/// Rows of a count, unless the query says otherwise.
const COUNTED: usize = 20;
/// The niceness of the threads, on a scale from -20 to 19 where the workers have 0.
const NICENESS: i32 = 15;

/// Why a question is not answered, with the status of the response.
type Refused = Response;

/// How a question is answered.
type Answer = fn(&Config, &Request) -> Result<Response, Refused>;

const GETS: [(&str, Answer); 6] = [
    // It is about no request, but takes as long, and a diagnostic shows lines of a file.
    ("/diff", super::files::differences),
    ("/events/list", list),
    ("/events/top", top),
    ("/events/show/*", show),
    ("/events/export/*", export_event),
    ("/rules/lint", lint_policy),
];

const POSTS: [(&str, Answer); 3] = [
    ("/rules/explain", explain_request),
    ("/rules/exclude", propose_exclusions),
    ("/rules/replay", replay),
];

/// Adds the API of recorded requests.
pub fn add_review_routes(router: &mut Router, live: &Arc<Live>) {
    let desk = Arc::new(Desk {
        live: Arc::clone(live),
        free: Arc::new(Semaphore::new(MOST_AT_ONCE)),
    });
    let handler = |answer: Answer| {
        let desk = Arc::clone(&desk);
        move |request: Request| {
            let desk = Arc::clone(&desk);
            async move { desk.answer(request, answer).await }
        }
    };
    for (pattern, answer) in GETS {
        router.get_secret(pattern, handler(answer));
    }
    for (pattern, answer) in POSTS {
        router.post(pattern, handler(answer));
    }
}

/// Where questions are answered, some at a time.
struct Desk {
    live: Arc<Live>,
    free: Arc<Semaphore>,
}

impl Desk {
    async fn answer(&self, request: Request, answer: Answer) -> Response {
        // Refused and not queued: a queue would hold the questions of callers who have left.
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            let words = "too many such requests are being answered: ask again in a moment";
            return Response::error(503, words);
        };
        let snapshot = self.live.pin();
        let (done, answered) = oneshot::channel();
        // A thread of its own: those that it starts have its priority too.
        let thread = thread::Builder::new().name("review".to_owned());
        let started = thread.spawn(move || {
            // On Linux this is the priority of the thread that calls. Without it the answer is as right.
            let _ = setpriority_process(None, NICENESS);
            let response = answer(&snapshot.config, &request);
            // Here, because the thread goes on if the caller leaves.
            drop(place);
            let _ = done.send(response.unwrap_or_else(|refused| refused));
        });
        match started {
            Ok(_) => answered
                .await
                .unwrap_or_else(|_| Response::error(500, "a fault of our own: see the log")),
            Err(error) => Response::error(503, &format!("no thread: {error}")),
        }
    }
}

fn list(config: &Config, request: &Request) -> Result<Response, Refused> {
    let mut query = Fields::of(request);
    let filter = event_filter(&mut query)?;
    // The answer is held as a whole before it is sent.
    let most = query.number("most")?.unwrap_or(LISTED).min(MOST_LISTED);
    // A count of the earlier ones would read all of them.
    let uncounted = query.flag("uncounted");
    query.end()?;
    let folder = state_dir(config)?;
    if uncounted {
        let (found, more) = filter.find_newest(folder, most).map_err(refused)?;
        return Ok(Response::json(200, &ListReport::of_newest(&found, more)));
    }
    let found = filter.find(folder).map_err(refused)?;
    Ok(Response::json(200, &ListReport::new(&found, most)))
}

fn top(config: &Config, request: &Request) -> Result<Response, Refused> {
    let mut query = Fields::of(request);
    let by = query.choice("by", CountBy::ALL)?.ok_or_else(|| {
        let words = "say what to count by: ?by=rule, route, argument, client or caller";
        Response::error(400, words)
    })?;
    let filter = event_filter(&mut query)?;
    let most = query.number("most")?.unwrap_or(COUNTED);
    query.end()?;
    let found = filter.find(state_dir(config)?).map_err(refused)?;
    let rows = by.count(&found);
    let rows = rows.get(..most).unwrap_or(&rows);
    Ok(Response::json(200, &counts_json(&found, rows)))
}

fn show(config: &Config, request: &Request) -> Result<Response, Refused> {
    let mut query = Fields::of(request);
    let now = query.flag("now");
    let find = match query.flag("shadow") {
        true => shadow_event_of,
        false => event_of,
    };
    query.end()?;
    let event = find(state_dir(config)?, &request.rest).map_err(refused)?;
    let shown = match now {
        true => ShownEvent::now(event, config).map_err(refused)?,
        false => ShownEvent::met(event, Some(config)),
    };
    Ok(Response::json(200, &shown.to_json()))
}

fn export_event(config: &Config, request: &Request) -> Result<Response, Refused> {
    Fields::of(request).end()?;
    let event = event_of(state_dir(config)?, &request.rest).map_err(refused)?;
    // What differs from the request that came is in the answer of `/events/show`.
    let (raw, _) = export(event);
    Ok(Response {
        status: 200,
        // A stranger wrote these bytes, so no program should show them as something.
        content_type: "application/octet-stream",
        body: raw,
    })
}

/// The body is the raw request.
fn explain_request(config: &Config, request: &Request) -> Result<Response, Refused> {
    let mut query = Fields::of(request);
    let (policy, route) = (query.text("policy"), query.text("route"));
    let all = query.flag("all");
    query.end()?;
    let policy = find_policy(config, policy.as_ref(), route.as_ref()).map_err(refused)?;
    let rules = policy.rules.live();
    let rules = rules.ok_or_else(|| refused(has_no_rules(policy)))?;
    let recorded = crate::recorded::Request::from_file(request.body.clone());
    let explained = explain(rules, &recorded, None, &[]);
    let explained = explained.map_err(|error| Response::error(400, &error.to_string()))?;
    Ok(Response::json(200, &explained.to_json(all)))
}

fn lint_policy(config: &Config, request: &Request) -> Result<Response, Refused> {
    let mut query = Fields::of(request);
    let policy = query.text("policy");
    let since = query.age("since")?;
    query.end()?;
    let policy = find_policy(config, policy.as_ref(), None).map_err(refused)?;
    let folder = config.state_dir.as_deref();
    let requests = RecordedRequests::open(folder, since, &[], &policy.name).map_err(refused)?;
    let report = lint(config, policy, requests.as_ref(), &|_| {}).map_err(refused)?;
    Ok(Response::json(200, &report.to_json()))
}

/// The options of `rules exclude`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExcludeBody {
    request_id: String,
    policy: Option<String>,
    rule: Option<u64>,
    /// The kept requests of this time until now must not be judged otherwise.
    since: Option<String>,
    /// All kept requests must not be.
    #[serde(default)]
    events: bool,
    owner: String,
    reason: String,
    until: String,
    pick: Option<usize>,
    #[serde(default)]
    write: bool,
    file: Option<PathBuf>,
}

fn propose_exclusions(config: &Config, request: &Request) -> Result<Response, Refused> {
    Fields::of(request).end()?;
    let body: ExcludeBody = parse_body(request)?;
    let since = body.since.as_deref().map(parse_time).transpose()?;
    let until = Day::parse(&body.until).map_err(|error| wrong("until", error))?;
    let state_dir = state_dir(config)?;
    let event = event_of(state_dir, &body.request_id).map_err(refused)?;
    let recorded = match body.events || since.is_some() {
        true => Some(Events::find(state_dir, milliseconds_ago(since)).map_err(refused)?),
        false => None,
    };
    let wanted = ExclusionRequest {
        blocked: Blocked::of_event(event).map_err(refused)?,
        policy: body.policy.as_ref(),
        rule: body.rule,
        recorded: recorded.as_ref().map(|recorded| recorded as &dyn Requests),
        purpose: Purpose {
            owner: body.owner,
            reason: body.reason,
            until,
        },
        pick: body.pick,
        write: body.write.then(|| match &body.file {
            Some(file) => WriteTo::Named(file),
            None => WriteTo::First,
        }),
    };
    let excluded = exclude(config, wanted).map_err(refused)?;
    Ok(Response::json(200, &excluded.to_json()))
}

/// The options of `rules replay`. What is live is the policy as it runs, and the requests are those that were kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    policy: Option<String>,
    route: Option<String>,
    /// Rule files of the candidate, below the folder of the configuration.
    #[serde(default)]
    rules: Vec<String>,
    /// Variables of the CRS for the candidate.
    #[serde(default)]
    crs: BTreeMap<String, Value>,
    since: Option<String>,
    #[serde(default)]
    allow: Vec<String>,
}

fn replay(config: &Config, request: &Request) -> Result<Response, Refused> {
    Fields::of(request).end()?;
    let body: ReplayBody = parse_body(request)?;
    if body.rules.is_empty() && body.crs.is_empty() {
        let words =
            "there is nothing to compare the policy with: name a candidate with rules or crs";
        return Err(Response::error(400, words));
    }
    let since = body.since.as_deref().map(parse_time).transpose()?;
    let folder = config.source.parent().unwrap_or(Path::new("."));
    let files = body.rules.iter().map(|rules| rule_files(folder, rules));
    let files = files.collect::<Result<Vec<String>, Refused>>()?;
    let variables = body.crs.iter().map(|(name, value)| variable(name, value));
    let variables = variables.collect::<Result<Vec<_>, Refused>>()?;
    let policy = find_policy(config, body.policy.as_ref(), body.route.as_ref()).map_err(refused)?;
    let recipe = config.recipe_of(policy);
    let recipe = recipe.ok_or_else(|| refused(has_no_rules(policy)))?;
    let sides = Sides {
        candidate: build(recipe.clone(), &files, &variables).map_err(refused)?,
        // Built again, because a replay blocks and has no budget, whatever the policy says.
        live: build(recipe.clone(), &[], &[]).map_err(refused)?,
    };
    let events = Events::find(state_dir(config)?, milliseconds_ago(since)).map_err(refused)?;
    let mut comparison = Comparison::of(&sides, &events, &|_| {});
    comparison.allow(&body.allow);
    Ok(Response::json(
        200,
        &report::to_json(&comparison, &sides, &events),
    ))
}

/// Only rule files: a diagnostic shows a line of the file that it is about, and other files beside them hold keys.
fn rule_files(folder: &Path, pattern: &str) -> Result<String, Refused> {
    if pattern == "@baseline" {
        return Ok(pattern.to_owned());
    }
    let path = Path::new(pattern);
    let is_below = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_below || path.extension().is_none_or(|extension| extension != "conf") {
        let words = format!(
            "rules: \"{pattern}\" must be a .conf file below the folder of the configuration"
        );
        return Err(Response::error(400, &words));
    }
    Ok(folder.join(path).to_string_lossy().into_owned())
}

fn variable(name: &str, value: &Value) -> Result<(String, String), Refused> {
    // As a person writes it in JSON: `2` and `"2"` are the same to the rules.
    let value = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    config::parse_assignment(&format!("{name}={value}")).map_err(|error| wrong("crs", error))
}

fn parse_body<'b, T: Deserialize<'b>>(request: &'b Request) -> Result<T, Refused> {
    serde_json::from_slice(&request.body)
        .map_err(|error| Response::error(400, &format!("the body: {error}")))
}

fn parse_time(text: &str) -> Result<Duration, Refused> {
    parse_age(text).map_err(|error| wrong("since", error))
}

fn wrong(key: &str, error: impl std::fmt::Display) -> Refused {
    Response::error(400, &format!("{key}: {error}"))
}

fn state_dir(config: &Config) -> Result<&Path, Refused> {
    config
        .state_dir
        .as_deref()
        .ok_or_else(|| Response::error(404, "there is no \"state_dir\", so no request is kept"))
}

fn refused(error: ReviewError) -> Refused {
    let status = match error {
        ReviewError::NotFound(_) => 404,
        ReviewError::Problem(_) | ReviewError::Diagnostics(_) => 422,
    };
    Response::json(status, &error.to_json())
}

fn event_filter(query: &mut Fields<'_>) -> Result<EventFilter, Refused> {
    let verdicts = Verdict::ALL.map(|verdict| (verdict.name(), verdict));
    Ok(EventFilter {
        since: query.age("since")?,
        route: query.text("route"),
        rule: query.number("rule")?,
        client: query.parsed("client", "an IP address")?,
        verdict: query.choice("verdict", verdicts)?,
        subject: query.text("subject"),
        identity: query.text("identity"),
    })
}
