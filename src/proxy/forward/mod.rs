//! From a decided request to the gateway and back.
//!
//! - `hooks` is pingora's `ProxyHttp`: which server is dialled, and what comes of it
//! - `upstream_request` is a request on its way to its upstream, and what may be sent a second time
//! - `replay` is the client as pingora sees it: the prepared head and the held body; responses are inspected in it
//! - `outgoing` makes the head that the gateway gets
//! - `answer` checks the head that comes back
//! - `pacing` says how much of a body a gateway takes now, `activity` how long a stream was silent
//! - `contained` keeps a panic of pingora to its request

use pingora::proxy::HttpProxy;

pub(super) mod activity;
pub(super) mod contained;
pub(super) mod hooks;
pub(super) mod outgoing;
pub(super) mod replay;
pub(super) mod tries;
pub(super) mod upstream_request;

mod answer;
mod pacing;

/// Pingora's proxy with our hooks. Each worker has one, with upstream connections of its own.
pub(super) type Proxy = HttpProxy<hooks::Forward>;
