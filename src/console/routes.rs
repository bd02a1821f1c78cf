//! Which page answers a path, and who may ask for it.

use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, Answer, page, redirect, text};
use super::api::Api;
use super::bearer;
use super::client::Client;
use super::form::Form;
use super::guard;
use super::pages::{self, Frame, Message};
use super::sessions::Identity;
use super::state::{Asked, ConsoleState};
use crate::admin::{read_body, whole_body};
use crate::role::Action;

/// What a request asks for.
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
    LoginForm,
    Login,
    Logout,
    Style,
    Script,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Login,
    May(Action),
}

/// Method, path with `*` for any segment, page, and who may ask.
const ROUTES: [(Method, &str, Page, Needs); 25] = {
    use Needs::{Login as AnyRole, May, Nothing};
    use Page::{
        AskRehearsal, AskSwitch, Certificates, Configuration, Differences, Doctor, Event, Events,
        Exposure, Lint, Live, Login, LoginForm, Logout, Overview, Propose, Rehearsal, Reload,
        Rules, Script, Stream, Style, Switch, Upstreams, WriteExclusion,
    };
    [
        (Method::GET, "/", Overview, AnyRole),
        (Method::GET, "/live", Live, AnyRole),
        (Method::GET, "/live/stream", Stream, AnyRole),
        (Method::GET, "/events", Events, AnyRole),
        (Method::GET, "/events/*", Event, AnyRole),
        (
            Method::POST,
            "/events/*/exclusions",
            Propose,
            May(Action::Propose),
        ),
        (
            Method::POST,
            "/events/*/exclusions/write",
            WriteExclusion,
            May(Action::WriteExclusion),
        ),
        (Method::GET, "/rules", Rules, AnyRole),
        (Method::GET, "/rules/lint", Lint, AnyRole),
        (Method::GET, "/exposure", Exposure, AnyRole),
        (Method::GET, "/exposure/*/*", AskSwitch, May(Action::Switch)),
        (Method::POST, "/exposure/*/*", Switch, May(Action::Switch)),
        (Method::GET, "/certificates", Certificates, AnyRole),
        (
            Method::GET,
            "/certificates/rehearsal",
            AskRehearsal,
            May(Action::Rehearse),
        ),
        (
            Method::POST,
            "/certificates/rehearsal",
            Rehearsal,
            May(Action::Rehearse),
        ),
        (Method::GET, "/upstreams", Upstreams, AnyRole),
        (
            Method::POST,
            "/upstreams/*/doctor",
            Doctor,
            // It changes nothing, but no link may make a browser dial gateways.
            May(Action::Diagnose),
        ),
        (Method::GET, "/configuration", Configuration, AnyRole),
        (Method::GET, "/configuration/diff", Differences, AnyRole),
        (Method::POST, "/reload", Reload, May(Action::Reload)),
        (Method::GET, "/login", LoginForm, Nothing),
        (Method::POST, "/login", Login, Nothing),
        (Method::POST, "/logout", Logout, AnyRole),
        // The page of the login needs the style, and neither file holds a secret.
        (Method::GET, "/assets/style.css", Style, Nothing),
        (Method::GET, "/assets/live.js", Script, Nothing),
    ]
};

/// Answers a request.
pub(super) async fn answer(
    console: &ConsoleState,
    request: http::Request<Incoming>,
    client: &Client,
) -> Answer {
    let (head, body) = request.into_parts();
    // Before `admit`, whose checks are made for browsers: a script has no cookie and no Origin.
    if bearer::api_path(head.uri.path()).is_some() {
        return bearer::respond(console, &head, body, client).await;
    }
    match admit(console, &head, client) {
        Err(refused) => *refused,
        Ok(admitted) => {
            // Only who may ask can make us hold a body.
            let body = match head.method {
                Method::POST => read_body(body).await,
                _ => Ok(Vec::new()),
            };
            match body {
                Ok(body) => admitted.answer(console, &head, &body, client).await,
                Err(refused) => refused.into(),
            }
        }
    }
}

/// What a request asks for, by somebody who may.
struct Admitted<'r> {
    page: Page,
    segments: Vec<&'r str>,
    identity: Option<Identity>,
}

fn admit<'r>(
    console: &ConsoleState,
    head: &'r Parts,
    client: &Client,
) -> Result<Admitted<'r>, Box<Answer>> {
    guard::check(head, client.own, &console.settings.hosts)
        .map_err(|refusal| Box::new(text(refusal.status(), refusal.words())))?;
    let session = console.cookie().find(&head.headers);
    let identity = session.and_then(|id| console.sessions.identify(id));
    // A copied cookie of a login by certificate is worth nothing without the certificate.
    let identity = identity.filter(|identity| client.may_use(identity));
    let path = head.uri.path();
    let fitting = ROUTES.iter().find_map(|(method, pattern, page, needs)| {
        let segments = fit(pattern, path)?;
        (*method == head.method).then_some((*page, *needs, segments))
    });
    let refused = |status, words: &str| {
        let frame = Frame::new("Not here", &identity);
        Box::new(page(status, &Message::problem(frame, words)))
    };
    let Some((page, needs, segments)) = fitting else {
        // Without a login nobody learns which pages there are.
        return Err(match identity.is_some() {
            true => refused(StatusCode::NOT_FOUND, "There is no such page."),
            false => Box::new(redirect("/login")),
        });
    };
    match (needs, &identity) {
        (Needs::Nothing, _) | (Needs::Login, Some(_)) => {}
        // Sessions end while people read, so this is no mistake of theirs.
        (Needs::Login | Needs::May(_), None) => return Err(Box::new(redirect("/login"))),
        (Needs::May(action), Some(identity)) if identity.role.may(action) => {}
        (Needs::May(action), Some(identity)) => {
            let words = format!("The role {} may not {}.", identity.role, action.words());
            return Err(refused(StatusCode::FORBIDDEN, &words));
        }
    }
    Ok(Admitted {
        page,
        segments,
        identity,
    })
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

impl Admitted<'_> {
    async fn answer(
        self,
        console: &ConsoleState,
        head: &Parts,
        body: &[u8],
        client: &Client,
    ) -> Answer {
        let query = Form::parse(head.uri.query().unwrap_or_default().as_bytes());
        let form = Form::parse(body);
        match self.page {
            // These serve people without a login, for whom there must be no `Api`.
            Page::LoginForm => return pages::login::show(console, query.value("code"), client),
            Page::Login => return pages::login::log_in(console, &form, client),
            Page::Style => return asset("text/css; charset=utf-8", STYLE),
            Page::Script => return asset("text/javascript; charset=utf-8", SCRIPT),
            _ => {}
        }
        let session = console.cookie().find(&head.headers).unwrap_or_default();
        // `admit` lets nobody else get here.
        let Some(identity) = &self.identity else {
            return redirect("/login");
        };
        let Identity { role, who, .. } = identity;
        // The audit of the exposures names the person too, not only the console.
        let caller = format!("console:{role} by {who} from {}", client.peer);
        let asked = Asked {
            console,
            api: Api::new(&console.router, caller),
            identity,
            segments: self.segments,
            query,
            form,
        };
        let answered = match self.page {
            Page::Overview => pages::overview::show(&asked).await,
            Page::Live => Ok(pages::live::show(&asked)),
            // The stream needs the id: it must end with the session, long after this request.
            Page::Stream => Ok(console.feed.open(&console.sessions, session)),
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
            Page::Logout => Ok(pages::login::log_out(console, session)),
            Page::LoginForm | Page::Login | Page::Style | Page::Script => Ok(redirect("/")),
        };
        answered.unwrap_or_else(|error| {
            let frame = Frame::new("This did not work", &self.identity);
            let status = StatusCode::from_u16(error.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            page(status, &Message::problem(frame, &error.words))
        })
    }
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
    fn every_change_needs_an_action_and_every_page_a_login() {
        for (method, path, page, needs) in ROUTES {
            let is_open = matches!(
                page,
                Page::LoginForm | Page::Login | Page::Style | Page::Script
            );
            assert_eq!(needs == Needs::Nothing, is_open, "{path}");
            let changes = method == Method::POST && !matches!(page, Page::Login | Page::Logout);
            assert!(!changes || matches!(needs, Needs::May(_)), "{path}");
        }
    }
}
