//! Which page answers a path, and who may ask for it.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, Answer, page, redirect, text};
use super::api::Api;
use super::bearer;
use super::client::{Client, Connection};
use super::guard;
use super::pages::{self, Frame, Message};
use super::sessions::Identity;
use super::state::{Asked, ConsoleState};
use crate::admin::{Fields, Response, read_body, whole_body};
use crate::role::Action;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// For everybody.
    Public(Public),
    /// For whoever is logged in.
    Page(Page, Needs),
}

/// What people without a login may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Public {
    LoginForm,
    Login,
    OpenId,
    OpenIdCallback,
    Style,
    Script,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Overview,
    Live,
    Stream,
    Events,
    Event,
    Propose,
    WriteExclusion,
    Rules,
    Lint,
    Exposure,
    AskSwitch,
    Switch,
    Certificates,
    AskRehearsal,
    Rehearsal,
    Upstreams,
    Doctor,
    Configuration,
    Differences,
    Reload,
    Logout,
}

/// Which roles may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    AnyRole,
    May(Action),
}

/// Method, path with `*` for any segment, and what is asked for.
const ROUTES: [(Method, &str, Target); 27] = {
    use Needs::{AnyRole, May};
    use Page::{
        AskRehearsal, AskSwitch, Certificates, Configuration, Differences, Doctor, Event, Events,
        Exposure, Lint, Live, Logout, Overview, Propose, Rehearsal, Reload, Rules, Stream, Switch,
        Upstreams, WriteExclusion,
    };
    use Target::Page as For;
    [
        (Method::GET, "/", For(Overview, AnyRole)),
        (Method::GET, "/live", For(Live, AnyRole)),
        (Method::GET, "/live/stream", For(Stream, AnyRole)),
        (Method::GET, "/events", For(Events, AnyRole)),
        (Method::GET, "/events/*", For(Event, AnyRole)),
        (
            Method::POST,
            "/events/*/exclusions",
            For(Propose, May(Action::Propose)),
        ),
        (
            Method::POST,
            "/events/*/exclusions/write",
            For(WriteExclusion, May(Action::WriteExclusion)),
        ),
        (Method::GET, "/rules", For(Rules, AnyRole)),
        (Method::GET, "/rules/lint", For(Lint, AnyRole)),
        (Method::GET, "/exposure", For(Exposure, AnyRole)),
        (
            Method::GET,
            "/exposure/*/*",
            For(AskSwitch, May(Action::Switch)),
        ),
        (
            Method::POST,
            "/exposure/*/*",
            For(Switch, May(Action::Switch)),
        ),
        (Method::GET, "/certificates", For(Certificates, AnyRole)),
        (
            Method::GET,
            "/certificates/rehearsal",
            For(AskRehearsal, May(Action::Rehearse)),
        ),
        (
            Method::POST,
            "/certificates/rehearsal",
            For(Rehearsal, May(Action::Rehearse)),
        ),
        (Method::GET, "/upstreams", For(Upstreams, AnyRole)),
        // It changes nothing, but no link may make a browser dial gateways.
        (
            Method::POST,
            "/upstreams/*/doctor",
            For(Doctor, May(Action::Diagnose)),
        ),
        (Method::GET, "/configuration", For(Configuration, AnyRole)),
        (
            Method::GET,
            "/configuration/diff",
            For(Differences, AnyRole),
        ),
        (Method::POST, "/reload", For(Reload, May(Action::Reload))),
        (Method::GET, "/login", Target::Public(Public::LoginForm)),
        (Method::POST, "/login", Target::Public(Public::Login)),
        // A link: as a form, its redirect to the provider would not fit the Content-Security-Policy.
        (Method::GET, "/login/openid", Target::Public(Public::OpenId)),
        (
            Method::GET,
            "/login/openid/callback",
            Target::Public(Public::OpenIdCallback),
        ),
        (Method::POST, "/logout", For(Logout, AnyRole)),
        // The page of the login needs the style, and neither file holds a secret.
        (
            Method::GET,
            "/assets/style.css",
            Target::Public(Public::Style),
        ),
        (
            Method::GET,
            "/assets/live.js",
            Target::Public(Public::Script),
        ),
    ]
};

/// Answers a request.
pub(super) async fn answer(
    console: &Arc<ConsoleState>,
    request: http::Request<Incoming>,
    connection: &Arc<Connection>,
) -> Answer {
    let Some(client) = console.client(connection) else {
        return answer::connect_again(request.version());
    };
    let (head, body) = request.into_parts();
    // Before `admit`, whose checks are made for browsers: a script has no cookie and no Origin.
    if bearer::api_path(head.uri.path()).is_some() {
        return bearer::respond(console, &head, body, &client).await;
    }
    let admitted = match admit(console, &head, &client) {
        Err(refused) => return *refused,
        Ok(admitted) => admitted,
    };
    // Only who may ask can make us hold a body.
    let body = match head.method {
        Method::POST => read_body(body).await,
        _ => Ok(Vec::new()),
    };
    let body = match body {
        Ok(body) => body,
        Err(refused) => return refused.into(),
    };
    let is_action = head.method == Method::POST;
    let (console, connection) = (Arc::clone(console), Arc::clone(connection));
    let actor = Arc::clone(&console);
    let answer = async move {
        match admitted {
            Admitted::Public(public) => public.answer(&actor, &head, &body, &client).await,
            Admitted::Page(page) => page.answer(&actor, &head, &body, &connection).await,
        }
    };
    match is_action {
        false => answer.await,
        // With its line of the audit, also if the browser leaves.
        true => console
            .actions
            .run(answer)
            .await
            .unwrap_or_else(|why| Response::from(why).into()),
    }
}

/// What a request asks for, by somebody who may.
enum Admitted {
    Public(Public),
    Page(AdmittedPage),
}

struct AdmittedPage {
    page: Page,
    pattern: &'static str,
    identity: Identity,
}

fn admit(console: &ConsoleState, head: &Parts, client: &Client) -> Result<Admitted, Box<Answer>> {
    guard::check(head, client.own, &console.settings.hosts)
        .map_err(|refusal| Box::new(text(refusal.status(), refusal.words())))?;
    let session = console.cookie().find(&head.headers);
    let identity = session.and_then(|id| console.sessions.identify(id));
    // A copied cookie of a login by certificate is worth nothing without the certificate.
    let identity = identity.filter(|identity| client.may_use(identity));
    let path = head.uri.path();
    let fitting = ROUTES
        .iter()
        .find(|(method, pattern, _)| *method == head.method && fit(pattern, path).is_some());
    let refused = |status, words: &str| {
        let frame = Frame::new("Not here", identity.as_ref());
        Err(Box::new(page(status, &Message::problem(frame, words))))
    };
    let (target, identity) = match (fitting, &identity) {
        (Some((_, _, Target::Public(public))), _) => return Ok(Admitted::Public(*public)),
        // Nobody learns which pages there are. And sessions end while people read, so this is no mistake of theirs.
        (_, None) => return Err(Box::new(redirect("/login"))),
        (None, Some(_)) => return refused(StatusCode::NOT_FOUND, "There is no such page."),
        (Some((_, pattern, Target::Page(page, needs))), Some(identity)) => {
            ((page, pattern, needs), identity)
        }
    };
    let (page, pattern, needs) = target;
    if let Needs::May(action) = needs
        && !identity.role.may(*action)
    {
        let words = format!("The role {} may not {}.", identity.role, action.words());
        return refused(StatusCode::FORBIDDEN, &words);
    }
    Ok(Admitted::Page(AdmittedPage {
        page: *page,
        pattern,
        identity: identity.clone(),
    }))
}

/// What the `*` of the pattern stand for; None if the path does not fit.
fn fit<'p>(pattern: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let mut found = Vec::new();
    let mut given = path.split('/');
    for wanted in pattern.split('/') {
        match (wanted, given.next()?) {
            ("*", segment) if !segment.is_empty() => found.push(segment),
            (wanted, segment) if wanted == segment => {}
            _ => return None,
        }
    }
    given.next().is_none().then_some(found)
}

impl Public {
    async fn answer(
        self,
        console: &ConsoleState,
        head: &Parts,
        body: &[u8],
        client: &Client,
    ) -> Answer {
        match self {
            Self::LoginForm => pages::login::show(console, query(head).value("code"), client),
            Self::Login => pages::login::log_in(console, &Fields::parse(body), client),
            Self::OpenId => pages::openid::depart(console, client).await,
            Self::OpenIdCallback => {
                pages::openid::arrive(console, head, &query(head), client).await
            }
            Self::Style => asset("text/css; charset=utf-8", STYLE),
            Self::Script => asset("text/javascript; charset=utf-8", SCRIPT),
        }
    }
}

fn query(head: &Parts) -> Fields<'_> {
    Fields::parse(head.uri.query().unwrap_or_default().as_bytes())
}

impl AdmittedPage {
    async fn answer(
        self,
        console: &Arc<ConsoleState>,
        head: &Parts,
        body: &[u8],
        connection: &Arc<Connection>,
    ) -> Answer {
        let session = console.cookie().find(&head.headers).unwrap_or_default();
        let identity = &self.identity;
        let Identity { role, who, .. } = identity;
        // The audit of the exposures names the person too, not only the console.
        let caller = format!("console:{role} by {who} from {}", connection.peer);
        let asked = Asked {
            console,
            api: Api::new(&console.router, caller),
            identity,
            segments: fit(self.pattern, head.uri.path()).unwrap_or_default(),
            query: query(head),
            form: Fields::parse(body),
        };
        let answered = match self.page {
            Page::Overview => pages::overview::show(&asked).await,
            Page::Live => Ok(pages::live::show(&asked)),
            Page::Stream => Ok(stream(console, session, connection)),
            Page::Events => pages::events::list(&asked).await,
            Page::Event => pages::event::show(&asked).await,
            Page::Propose => pages::exclusions::propose(&asked).await,
            Page::WriteExclusion => pages::exclusions::write(&asked).await,
            Page::Rules => pages::rules::show(&asked).await,
            Page::Lint => pages::rules::lint(&asked).await,
            Page::Exposure => pages::exposure::show(&asked).await,
            Page::AskSwitch => pages::exposure::ask(&asked).await,
            Page::Switch => pages::exposure::switch(&asked).await,
            Page::Certificates => pages::certificates::show(&asked).await,
            Page::AskRehearsal => pages::rehearsal::ask(&asked).await,
            Page::Rehearsal => pages::rehearsal::rehearse(&asked).await,
            Page::Upstreams => pages::upstreams::show(&asked).await,
            Page::Doctor => pages::doctor::examine(&asked).await,
            Page::Configuration => pages::configuration::show(&asked).await,
            Page::Differences => pages::differences::show(&asked).await,
            Page::Reload => pages::configuration::reload(&asked).await,
            Page::Logout => Ok(pages::login::log_out(console, identity, session)),
        };
        answered.unwrap_or_else(|error| {
            let frame = Frame::new("This did not work", Some(identity));
            let status = StatusCode::from_u16(error.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            page(status, &Message::problem(frame, &error.words))
        })
    }
}

/// It must end with the session, long after this request.
fn stream(console: &Arc<ConsoleState>, session: &str, connection: &Arc<Connection>) -> Answer {
    let (state, connection) = (Arc::clone(console), Arc::clone(connection));
    let session = session.to_owned();
    console
        .feed
        .open(move || state.goes_on(&session, &connection))
}

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/live.js");

fn asset(content_type: &'static str, text: &'static str) -> Answer {
    answer::answer(StatusCode::OK, content_type, whole_body(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_segments() {
        assert_eq!(fit("/events/*", "/events/a"), Some(vec!["a"]));
        assert_eq!(
            fit("/exposure/*/*", "/exposure/public/off"),
            Some(vec!["public", "off"])
        );
        assert_eq!(fit("/", "/"), Some(vec![]));
        for (pattern, path) in [
            ("/events/*", "/events/"),
            ("/events/*", "/events"),
            ("/events/*", "/events/a/b"),
            ("/events", "/events/"),
            ("/", "/events"),
        ] {
            assert_eq!(fit(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn every_change_needs_an_action() {
        for (method, path, target) in ROUTES {
            let Target::Page(page, needs) = target else {
                continue;
            };
            let changes = method == Method::POST && page != Page::Logout;
            assert!(!changes || matches!(needs, Needs::May(_)), "{path}");
        }
    }
}
