//! Which handler answers which path of the admin API.
//!
//! Other modules add handlers, and their parts of `/readyz`, `/status` and `/metrics`, so that this one need not know
//! them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::actions::{Actions, NotRun};
use super::exposition::{Exposition, ExpositionFormat};

type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handler = Box<dyn Fn(Request) -> ResponseFuture + Send + Sync>;

/// The methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Changes nothing.
    Get,
    /// Changes something, so it needs the token over TCP.
    Post,
}

/// A request whose sender is authorized.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path without the query; not percent-decoded, because our names need no encoding.
    pub path: String,
    /// The text after `?`; empty if there is none.
    pub query: String,
    /// The value of the Accept field; empty if there is none.
    pub accept: String,
    /// What `/*` at the end of the handler's pattern matched; empty if the pattern has none.
    pub rest: String,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
    /// Who sent it, for audits: `unix:uid=1000` or `127.0.0.1:50000`.
    pub caller: String,
    /// Why the caller may neither change anything nor see what clients sent; None if it may.
    pub denial: Option<Response>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The value of the Content-Type header field.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Something is not as it should be, in words for `/readyz?verbose`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFailure(pub String);

/// The answer to a POST where there is only something to see.
const ONLY_GET: &str = "this changes nothing: use GET";

type Check = Box<dyn Fn() -> Result<(), CheckFailure> + Send + Sync>;
type Section = Box<dyn Fn() -> Value + Send + Sync>;
type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// The handlers, and the parts of `/readyz`, `/status` and `/metrics`.
///
/// An exact path wins over a pattern, and a longer pattern over a shorter one.
#[derive(Default)]
pub struct Router {
    endpoints: Vec<Endpoint>,
    checks: Vec<NamedCheck>,
    sections: Vec<(&'static str, Section)>,
    collectors: Vec<Collector>,
    actions: Actions,
}

struct NamedCheck {
    name: &'static str,
    /// Whether a failure means that the front door should get no traffic.
    gates_readiness: bool,
    check: Check,
}

struct Endpoint {
    method: Method,
    /// The pattern without its `/*`.
    path: &'static str,
    has_rest: bool,
    /// The answer is for callers with the token only.
    is_secret: bool,
    handler: Handler,
}

impl Router {
    /// Adds a handler that changes nothing. `pattern` is a path, or a path and `/*`.
    pub fn get<F, R>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.add(Method::Get, pattern, false, handler);
    }

    /// Adds a handler that changes nothing and shows what clients sent, so that it needs the token over TCP.
    pub fn get_secret<F, R>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.add(Method::Get, pattern, true, handler);
    }

    /// Adds a handler that changes something; otherwise like [`Router::get`].
    pub fn post<F, R>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        // `Access` refuses a POST without the token; this holds for any other way in.
        self.add(Method::Post, pattern, true, handler);
    }

    /// Adds a check that must succeed for `/readyz` to answer 200.
    pub fn check(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), CheckFailure> + Send + Sync + 'static,
    ) {
        self.checks.push(NamedCheck {
            name,
            gates_readiness: true,
            check: Box::new(check),
        });
    }

    /// Adds a check that only `/readyz?verbose` shows; it does not decide about readiness.
    pub fn notice(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), CheckFailure> + Send + Sync + 'static,
    ) {
        self.checks.push(NamedCheck {
            name,
            gates_readiness: false,
            check: Box::new(check),
        });
    }

    /// Adds a key to `/status`. If two sections have one name, the later one counts.
    pub fn section(
        &mut self,
        name: &'static str,
        section: impl Fn() -> Value + Send + Sync + 'static,
    ) {
        self.sections.push((name, Box::new(section)));
    }

    /// Adds families to `/metrics`.
    pub fn collect(&mut self, collector: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        self.collectors.push(Box::new(collector));
    }

    fn add<F, R>(&mut self, method: Method, pattern: &'static str, is_secret: bool, handler: F)
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let path = pattern.strip_suffix("/*");
        self.endpoints.push(Endpoint {
            method,
            path: path.unwrap_or(pattern),
            has_rest: path.is_some(),
            is_secret,
            handler: Box::new(move |request| Box::pin(handler(request))),
        });
    }

    /// Answers a request like [`Router::answer`]. One that changes something is answered to its end, also if the caller
    /// goes away.
    pub async fn answer_to_its_end(self: &Arc<Self>, request: Request) -> Response {
        match request.method {
            Method::Get => self.answer(request).await,
            Method::Post => {
                let router = Arc::clone(self);
                let answer = async move { router.answer(request).await };
                self.actions
                    .run(answer)
                    .await
                    .unwrap_or_else(Response::from)
            }
        }
    }

    /// Answers a request: with a handler, or with 404 or 405.
    pub async fn answer(&self, mut request: Request) -> Response {
        // Built-in paths go first, so that no module can replace `/livez`.
        if let Some(response) = self.built_in(&request) {
            return match request.method {
                Method::Get => response,
                Method::Post => Response::error(405, ONLY_GET),
            };
        }
        let fitting = self
            .endpoints
            .iter()
            .filter(|e| e.rest(&request.path).is_some());
        // Endpoints that fit and are equally long have the same path, so below only the method can differ.
        let Some(best) = fitting.clone().max_by_key(|e| e.path.len()) else {
            return Response::error(404, "there is no such path");
        };
        let found = fitting
            .filter(|e| e.path.len() == best.path.len())
            .find(|e| e.method == request.method);
        let Some(endpoint) = found else {
            let words = match request.method {
                Method::Get => "this changes something: use POST",
                Method::Post => ONLY_GET,
            };
            return Response::error(405, words);
        };
        if let Some(denial) = request.denial.take().filter(|_| endpoint.is_secret) {
            return denial;
        }
        request.rest = endpoint.rest(&request.path).unwrap_or_default().to_owned();
        (endpoint.handler)(request).await
    }

    fn built_in(&self, request: &Request) -> Option<Response> {
        Some(match request.path.as_str() {
            "/livez" => Response::text(200, "ok\n"),
            "/readyz" | "/healthz" => self.readiness(request.has_query_word("verbose")),
            "/status" => {
                let sections = self.sections.iter();
                let sections = sections.map(|(name, section)| ((*name).to_owned(), section()));
                Response::json(200, &Value::Object(sections.collect::<Map<_, _>>()))
            }
            "/metrics" => {
                let format = ExpositionFormat::accepted(&request.accept);
                let mut text = Exposition::new(format);
                self.collectors
                    .iter()
                    .for_each(|collect| collect(&mut text));
                Response {
                    content_type: format.content_type(),
                    ..Response::text(200, text.into_text())
                }
            }
            _ => return None,
        })
    }

    /// In the form of Kubernetes: `[+]name ok` and `[-]name failed: why`; also `[!]name: why` for a check that does not
    /// decide about readiness.
    fn readiness(&self, verbose: bool) -> Response {
        let mut ready = true;
        let mut lines = String::new();
        for NamedCheck {
            name,
            gates_readiness,
            check,
        } in &self.checks
        {
            // All checks run, also after a failure: `?verbose` must list every one.
            match check() {
                Ok(()) => lines += &format!("[+]{name} ok\n"),
                Err(CheckFailure(why)) if *gates_readiness => {
                    ready = false;
                    lines += &format!("[-]{name} failed: {why}\n");
                }
                Err(CheckFailure(why)) => lines += &format!("[!]{name}: {why}\n"),
            }
        }
        let (status, words) = if ready {
            (200, "ok\n")
        } else {
            (503, "not ready\n")
        };
        match verbose {
            true => Response::text(status, lines + words),
            false => Response::text(status, words),
        }
    }
}

impl Endpoint {
    /// What `/*` matches in this path; None if the path is not this endpoint's.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.path)?;
        match self.has_rest {
            false => rest.is_empty().then_some(""),
            // `/events/show/` names nothing, so it is no path of ours.
            true => rest.strip_prefix('/').filter(|rest| !rest.is_empty()),
        }
    }
}

impl Request {
    /// Whether the query has this word, alone or with a value.
    #[must_use]
    pub fn has_query_word(&self, word: &str) -> bool {
        self.query
            .split('&')
            .any(|pair| pair.split_once('=').map_or(pair, |(name, _)| name) == word)
    }
}

impl From<NotRun> for Response {
    fn from(why: NotRun) -> Self {
        match why {
            NotRun::TooMany => {
                Self::error(503, "too many actions are under way: try again in a moment")
            }
            NotRun::Fault(error) => Self::error(500, &format!("a fault of our own: {error}")),
        }
    }
}

impl Response {
    /// A text.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.into().into_bytes(),
        }
    }

    /// A value as JSON.
    #[must_use]
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self {
                    status,
                    content_type: "application/json",
                    body,
                }
            }
            Err(error) => Self::text(500, format!("{error}\n")),
        }
    }

    /// `{"error": "..."}`
    #[must_use]
    pub fn error(status: u16, words: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": words }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, path: &str) -> Request {
        Request {
            method,
            path: path.to_owned(),
            query: String::new(),
            accept: String::new(),
            rest: String::new(),
            body: Vec::new(),
            caller: String::new(),
            denial: None,
        }
    }

    #[tokio::test]
    async fn the_longest_pattern_answers_and_a_get_changes_nothing() {
        let mut router = Router::default();
        router.get("/a", |_| async { Response::text(200, "a") });
        router.get(
            "/a/*",
            |r: Request| async move { Response::text(200, r.rest) },
        );
        router.post("/a/off", |_| async { Response::text(200, "switched") });
        for (method, path, status, said) in [
            (Method::Get, "/a", 200, "a"),
            (Method::Get, "/a/x/y", 200, "x/y"),
            (Method::Get, "/a/", 404, ""),
            (Method::Get, "/ab", 404, ""),
            (Method::Post, "/a/off", 200, "switched"),
            (Method::Get, "/a/off", 405, ""),
            (Method::Post, "/a", 405, ""),
            (Method::Get, "/livez", 200, "ok\n"),
            (Method::Post, "/livez", 405, ""),
            (Method::Post, "/metrics", 405, ""),
            (Method::Post, "/b", 404, ""),
        ] {
            let answer = router.answer(request(method, path)).await;
            assert_eq!(answer.status, status, "{method:?} {path}");
            if status == 200 {
                assert_eq!(answer.body, said.as_bytes(), "{method:?} {path}");
            }
        }
    }

    #[tokio::test]
    async fn a_change_goes_on_without_its_caller() {
        let (begun, seen) = tokio::sync::oneshot::channel();
        let (release, held) = tokio::sync::oneshot::channel::<()>();
        let (done, ended) = tokio::sync::oneshot::channel();
        let steps = std::sync::Mutex::new(Some((begun, held, done)));
        let mut router = Router::default();
        router.post("/change", move |_| {
            let (begun, held, done) = steps.lock().unwrap().take().unwrap();
            async move {
                begun.send(()).unwrap();
                held.await.unwrap();
                done.send(()).unwrap();
                Response::text(200, "")
            }
        });
        let router = Arc::new(router);
        let asked = request(Method::Post, "/change");
        tokio::select! {
            _ = router.answer_to_its_end(asked) => panic!("it waits"),
            begun = seen => begun.unwrap(),
        }
        release.send(()).unwrap();
        ended.await.expect("it went on");
    }

    #[test]
    fn a_query_word_counts_with_and_without_a_value() {
        let ask = |query: &str| {
            let mut request = request(Method::Get, "/");
            request.query = query.to_owned();
            request.has_query_word("verbose")
        };
        assert!(ask("verbose") && ask("a&verbose=1"));
        assert!(!ask("") && !ask("verbosely"));
    }
}
