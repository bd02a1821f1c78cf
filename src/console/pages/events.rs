//! The requests that were kept.

use askama::Template;
use serde::Deserialize;

use super::super::state::Asked;
use super::{Answered, Frame, shown};
use crate::events::Verdict;

/// More than anybody reads; the list says whether there are earlier ones.
const MOST: usize = 100;

/// A kept request in a list, as the API has it.
#[derive(Debug, Deserialize)]
pub(super) struct EventSummary {
    pub(super) time: String,
    pub(super) request_id: String,
    pub(super) client: String,
    pub(super) caller: Option<Caller>,
    pub(super) listener: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) route: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) verdict: String,
    pub(super) status: u16,
    #[serde(default)]
    pub(super) score: i64,
    #[serde(default)]
    pub(super) matches: Vec<Hit>,
}

/// Who called.
#[derive(Debug, Deserialize)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) token_id: Option<String>,
}

impl Caller {
    /// The query of the list of its events.
    pub(super) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("identity", &self.name);
        if let Some(subject) = &self.subject {
            query.append_pair("subject", subject);
        }
        query.finish()
    }
}

/// A rule that matched, and where.
#[derive(Debug, Deserialize)]
pub(super) struct Hit {
    pub(super) rule_id: u64,
    pub(super) variable: String,
}

#[derive(Debug, Default, Deserialize)]
struct List {
    problems: Vec<String>,
    more: bool,
    events: Vec<EventSummary>,
}

struct Filter<'q> {
    since: &'q str,
    route: &'q str,
    rule: &'q str,
    client: &'q str,
    verdict: &'q str,
    subject: &'q str,
    identity: &'q str,
}

impl Filter<'_> {
    /// The query of the API.
    fn to_api(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("most", &MOST.to_string());
        // A count of the earlier ones would read all of them.
        query.append_pair("uncounted", "");
        for (name, value) in [
            ("since", self.since),
            ("route", self.route),
            ("rule", self.rule),
            ("client", self.client),
            ("verdict", self.verdict),
            ("subject", self.subject),
            ("identity", self.identity),
        ] {
            // A form sends its empty fields too; to the API they would be values.
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

#[derive(Template)]
#[template(path = "events.html")]
struct Events<'q> {
    frame: Frame,
    filter: Filter<'q>,
    verdicts: Vec<&'static str>,
    list: List,
    /// The filter is wrong, or nothing can be read.
    problem: Option<String>,
}

pub(in super::super) async fn list(asked: &Asked<'_>) -> Answered {
    let query = &asked.query;
    let filter = Filter {
        // Without a bound, a filter that fits nothing would read all that was kept.
        since: query.given("since").unwrap_or("24h"),
        route: query.value("route"),
        rule: query.value("rule"),
        client: query.value("client"),
        verdict: query.value("verdict"),
        subject: query.value("subject"),
        identity: query.value("identity"),
    };
    let (mut list, problem) = match asked
        .api
        .get::<List>("/events/list", &filter.to_api())
        .await
    {
        Ok(list) => (list, None),
        // The form stays on the page, so that a wrong filter can be corrected.
        Err(error) => (List::default(), Some(error.words)),
    };
    // The API has the latest at the end, where a terminal shows it.
    list.events.reverse();
    Ok(shown(&Events {
        frame: Frame::of(
            "Events",
            asked.identity.role,
            "/events",
            "drawbridge events list",
        ),
        filter,
        verdicts: Verdict::ALL.map(Verdict::name).to_vec(),
        list,
        problem,
    }))
}
