//! Paths and what answers them.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;
use serde_json::{Map, Value};

use super::exposition::Exposition;

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handler = Box<dyn Fn(Request) -> Answering + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Changes nothing.
    Get,
    /// Changes something, so it needs the token over TCP.
    Post,
}

/// A request that may be answered: over TCP the token of a POST was checked already.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// Without the query; not percent-decoded (names need no encoding).
    pub path: String,
    /// What stands after `?`; empty where there is none.
    pub query: String,
    /// What `/*` at the end of the handler's pattern stands for; empty where there is none.
    pub rest: String,
    pub body: Vec<u8>,
    /// Who asks, for audit trails: `unix:uid=1000` or `127.0.0.1:50000`.
    pub who: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;
type Section = Box<dyn Fn() -> Value + Send + Sync>;
type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// What answers which path, and the parts that the rooms give to `/readyz`, `/status` and `/metrics`.
///
/// An exact path goes before a pattern, a longer pattern before a shorter.
#[derive(Default)]
pub struct Router {
    entries: Vec<Entry>,
    checks: Vec<NamedCheck>,
    sections: Vec<(&'static str, Section)>,
    collectors: Vec<Collector>,
}

struct NamedCheck {
    name: &'static str,
    /// Whether it failing means that no traffic should come.
    decides: bool,
    check: Check,
}

struct Entry {
    method: Method,
    /// Without its `/*`.
    path: &'static str,
    open_ended: bool,
    handler: Handler,
}

impl Router {
    /// `pattern` is a path, or one that ends with `/*`.
    pub fn get<F, R>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.add(Method::Get, pattern, handler);
    }

    /// Like [`Router::get`], for what changes something.
    pub fn post<F, R>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.add(Method::Post, pattern, handler);
    }

    /// Something that must hold for `/readyz` to be 200.
    pub fn check(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.checks.push(NamedCheck {
            name,
            decides: true,
            check: Box::new(check),
        });
    }

    /// Something that `/readyz?verbose` tells but that does not decide.
    pub fn notice(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.checks.push(NamedCheck {
            name,
            decides: false,
            check: Box::new(check),
        });
    }

    /// A key of `/status`; the last one of a name counts.
    pub fn section(
        &mut self,
        name: &'static str,
        section: impl Fn() -> Value + Send + Sync + 'static,
    ) {
        self.sections.push((name, Box::new(section)));
    }

    /// Families of `/metrics`.
    pub fn collect(&mut self, collector: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        self.collectors.push(Box::new(collector));
    }

    fn add<F, R>(&mut self, method: Method, pattern: &'static str, handler: F)
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let path = pattern.strip_suffix("/*");
        self.entries.push(Entry {
            method,
            path: path.unwrap_or(pattern),
            open_ended: path.is_some(),
            handler: Box::new(move |request| Box::pin(handler(request))),
        });
    }

    pub async fn answer(&self, mut request: Request) -> Response {
        if request.method == Method::Get
            && let Some(response) = self.own(&request)
        {
            return response;
        }
        let fitting = self
            .entries
            .iter()
            .filter(|e| e.rest(&request.path).is_some());
        let Some(best) = fitting.clone().max_by_key(|e| e.path.len()) else {
            return Response::problem(404, "there is no such path");
        };
        let found = fitting
            .filter(|e| e.path.len() == best.path.len())
            .find(|e| e.method == request.method);
        let Some(entry) = found else {
            let words = match request.method {
                Method::Get => "this changes something: use POST",
                Method::Post => "this changes nothing: use GET",
            };
            return Response::problem(405, words);
        };
        request.rest = entry.rest(&request.path).unwrap_or_default().to_owned();
        (entry.handler)(request).await
    }

    fn own(&self, request: &Request) -> Option<Response> {
        Some(match request.path.as_str() {
            "/livez" => Response::text(200, "ok\n"),
            "/readyz" | "/healthz" => self.readiness(request.asks("verbose")),
            "/status" => {
                let sections = self.sections.iter();
                let sections = sections.map(|(name, section)| ((*name).to_owned(), section()));
                Response::json(200, &Value::Object(sections.collect::<Map<_, _>>()))
            }
            "/metrics" => {
                let mut text = Exposition::default();
                self.collectors
                    .iter()
                    .for_each(|collect| collect(&mut text));
                Response {
                    content_type: "text/plain; version=0.0.4; charset=utf-8",
                    ..Response::text(200, text.into_text())
                }
            }
            _ => return None,
        })
    }

    /// As Kubernetes' own: `[+]name ok`, `[-]name failed: why`; `[!]` does not decide.
    fn readiness(&self, verbose: bool) -> Response {
        let mut ready = true;
        let mut told = String::new();
        for NamedCheck {
            name,
            decides,
            check,
        } in &self.checks
        {
            match check() {
                Ok(()) => told += &format!("[+]{name} ok\n"),
                Err(why) if *decides => {
                    ready = false;
                    told += &format!("[-]{name} failed: {why}\n");
                }
                Err(why) => told += &format!("[!]{name}: {why}\n"),
            }
        }
        let (status, words) = if ready {
            (200, "ok\n")
        } else {
            (503, "not ready\n")
        };
        match verbose {
            true => Response::text(status, told + words),
            false => Response::text(status, words),
        }
    }
}

impl Entry {
    /// None where the path is not this entry's.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.path)?;
        match self.open_ended {
            false => rest.is_empty().then_some(""),
            true => rest.strip_prefix('/').filter(|rest| !rest.is_empty()),
        }
    }
}

impl Request {
    /// Whether the query has this word, alone or with a value.
    #[must_use]
    pub fn asks(&self, word: &str) -> bool {
        self.query
            .split('&')
            .any(|pair| pair.split_once('=').map_or(pair, |(name, _)| name) == word)
    }
}

impl Response {
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.into().into_bytes(),
        }
    }

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
    pub fn problem(status: u16, words: &str) -> Self {
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
            rest: String::new(),
            body: Vec::new(),
            who: String::new(),
        }
    }

    #[tokio::test]
    async fn the_closest_path_answers_and_reading_never_changes() {
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
        ] {
            let answer = router.answer(request(method, path)).await;
            assert_eq!(answer.status, status, "{method:?} {path}");
            if status == 200 {
                assert_eq!(answer.body, said.as_bytes(), "{method:?} {path}");
            }
        }
    }

    #[test]
    fn queries() {
        let ask = |query: &str| {
            let mut request = request(Method::Get, "/");
            request.query = query.to_owned();
            request.asks("verbose")
        };
        assert!(ask("verbose") && ask("a&verbose=1"));
        assert!(!ask("") && !ask("verbosely"));
    }
}
