//! The streams that a route can carry beside plain requests.

/// The kind of stream that a route carries: the rules see its head, and what follows is passed on as it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// A WebSocket, over HTTP/1.1 or HTTP/2.
    WebSocket,
    /// gRPC calls.
    Grpc,
    /// Server-sent events.
    Sse,
}
