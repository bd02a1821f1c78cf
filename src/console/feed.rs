//! The stream of requests for the page "Live": server-sent events.
//!
//! A browser that reads too slowly, or a flood, costs lines, never the front door: each stream holds a bounded number of
//! lines, and what does not fit is counted and told.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::time::interval;

use super::answer::{Answer, answer, text};
use crate::review::escape::show;

/// Streams at once.
const MOST: usize = 8;
/// Lines that wait for one browser.
const WAITING: usize = 256;
/// How often a stream shows that it is alive, and asks whether its session is.
const BEAT: Duration = Duration::from_secs(5);

/// The streams of a console.
#[derive(Debug)]
pub(super) struct Feed {
    lines: broadcast::Sender<Arc<[u8]>>,
    free: Arc<Semaphore>,
}

impl Feed {
    pub(super) fn new(lines: broadcast::Sender<Arc<[u8]>>) -> Self {
        let free = Arc::new(Semaphore::new(MOST));
        Self { lines, free }
    }

    /// A stream until it may no longer go on or the browser leaves.
    pub(super) fn open(&self, goes_on: impl Fn() -> bool + Send + Sync + 'static) -> Answer {
        // Refused at once: a browser that waits shows nothing, and holds a connection.
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            let words = "too many pages show what is live: close one";
            return text(StatusCode::SERVICE_UNAVAILABLE, words);
        };
        let (to_browser, chunks) = mpsc::channel(WAITING);
        let source = Source {
            lines: self.lines.subscribe(),
            to_browser,
            goes_on: Box::new(goes_on),
        };
        // The task owns its place, which is free again however the task ends.
        tokio::spawn(source.run(place));
        let body = Chunks(chunks).boxed_unsync();
        answer(StatusCode::OK, "text/event-stream", body)
    }
}

/// What fills one stream.
struct Source {
    lines: broadcast::Receiver<Arc<[u8]>>,
    to_browser: mpsc::Sender<Bytes>,
    /// Whether its session does.
    goes_on: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Source {
    async fn run(mut self, _place: OwnedSemaphorePermit) {
        let mut beat = interval(BEAT);
        let mut lost = 0;
        loop {
            let sent = tokio::select! {
                line = self.lines.recv() => match line {
                    Ok(line) => self.pass(&line, &mut lost),
                    Err(RecvError::Lagged(missed)) => {
                        // The page shows one number, whether this task or the browser was too slow.
                        lost += missed;
                        true
                    }
                    Err(RecvError::Closed) => false,
                },
                // Not asked for each line: this takes the lock of all sessions.
                _ = beat.tick() => (self.goes_on)() && self.beat(&mut lost),
                // A browser that leaves would otherwise hold its place until the next beat.
                () = self.to_browser.closed() => false,
            };
            if !sent {
                return;
            }
        }
    }

    /// False once the browser is gone.
    fn pass(&self, line: &[u8], lost: &mut u64) -> bool {
        let Some(row) = row(line) else { return true };
        self.send(format!("event: request\ndata: {row}\n\n"), 1, lost)
    }

    fn beat(&self, lost: &mut u64) -> bool {
        let missed = std::mem::take(lost);
        match missed {
            // A comment of the protocol: no script sees it, and a dead connection shows.
            0 => self.send(": alive\n\n".to_owned(), 0, lost),
            // If this does not fit either, `send` counts the same lines again.
            _ => self.send(format!("event: lost\ndata: {missed}\n\n"), missed, lost),
        }
    }

    fn send(&self, chunk: String, worth: u64, lost: &mut u64) -> bool {
        match self.to_browser.try_send(chunk.into()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                *lost += worth;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// What the page shows of an access line, as one line of JSON.
fn row(line: &[u8]) -> Option<Value> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let text = |value: &Value| match value {
        Value::String(text) => show(text.as_bytes()),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let client = text(line.get("client")?);
    // Without the port, which no filter wants.
    let address = client.parse::<std::net::SocketAddr>();
    let client = address.map_or(client, |address| address.ip().to_canonical().to_string());
    let (method, path) = (text(line.get("method")?), text(line.get("path")?));
    let verdict = line.pointer("/waf/verdict").unwrap_or(&Value::Null);
    // JSON escapes line ends, so no client can begin an event of its own.
    Some(json!({
        "time": text(line.get("time")?),
        "id": text(line.get("request_id")?),
        "client": client,
        "route": text(line.get("route")?),
        "request": format!("{method} {path}"),
        "status": text(line.get("status")?),
        "verdict": text(verdict),
        "ms": text(line.pointer("/ms/total")?),
    }))
}

/// The body of a stream.
struct Chunks(mpsc::Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.0.poll_recv(context);
        chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_control_characters_and_stays_on_one_line() {
        let line = br#"{"time":"T","request_id":"I","client":"[::ffff:192.0.2.1]:5","method":"GET","path":"/a\nevent: x\u001b","route":null,"status":403,"ms":{"total":1.5},"waf":{"verdict":"block"}}"#;
        let row = row(line).unwrap().to_string();
        let expected = r#"{"time":"T","id":"I","client":"192.0.2.1","route":"-","request":"GET /a\\nevent: x\\u{1b}","status":"403","verdict":"block","ms":"1.5"}"#;
        assert_eq!(row, expected);
    }
}
