//! What a route carries beside plain requests.

/// What kind of stream a route says it carries: its head is inspected, the rest is passed on as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    WebSocket,
    Grpc,
    Sse,
}
