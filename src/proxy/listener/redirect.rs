//! Serves the listener without TLS: it redirects to HTTPS for hosts that a route names there, and answers 404 for all
//! others. So it is no open redirect, and no request over plain HTTP reaches a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::config::{Listener, ListenerKind};
use crate::proxy::connection::plain;
use crate::proxy::shared::access_record::access_record;
use crate::proxy::shared::connection::ConnectionGuard;
use crate::proxy::shared::front::Front;
use crate::proxy::shared::page::{PageStyle, RefusalLook};
use crate::proxy::shared::received::Received;
use crate::proxy::shared::refusal;
use crate::proxy::shared::request_id::request_id;
use crate::telemetry::AccessRecord;
use http_strict::{HeadError, without_port};

pub(super) async fn serve(
    front: Arc<Front>,
    listener: Arc<Listener>,
    tcp: TcpStream,
    client: SocketAddr,
    guard: &ConnectionGuard,
) {
    let answer = |received: Result<Received, HeadError>| {
        let id = request_id();
        let said = say(&front, &listener, &received);
        let look = RefusalLook::of_listener(&listener);
        let style = PageStyle {
            request_id: &id,
            accept: received.as_ref().ok().and_then(|r| r.header(b"accept")),
            head: received.as_ref().is_ok_and(|r| r.method() == b"HEAD"),
            look: &look,
        };
        let page = refusal::bare(said.status, None, style, said.location.as_deref());
        front.metrics.answered(said.status);
        log(
            &front,
            &listener,
            client,
            &id,
            &received,
            &said,
            page.len() as u64,
        );
        Bytes::from(page)
    };
    plain::serve(guard, &listener, tcp, answer).await;
}

struct RedirectAnswer {
    status: u16,
    location: Option<Vec<u8>>,
    error: Option<&'static str>,
}

fn say(
    front: &Front,
    listener: &Listener,
    received: &Result<Received, HeadError>,
) -> RedirectAnswer {
    let refuse = |status, error| RedirectAnswer {
        status,
        location: None,
        error: Some(error),
    };
    let received = match received {
        Ok(received) => received,
        Err(error) => {
            front.metrics.malformed_heads.count();
            return refuse(error.status, error.code);
        }
    };
    let snapshot = front.live.pin();
    let ListenerKind::Redirect {
        listener: target,
        port,
    } = &listener.kind
    else {
        return refuse(404, "no_route");
    };
    let host = received.host();
    let Some(host) = host.filter(|_| snapshot.config.routes.knows_host(target, host)) else {
        return refuse(404, "no_route");
    };
    let known = match port {
        0 => front.bound_port(target),
        port => Some(*port),
    };
    let Some(port) = known else {
        // The target listener has port 0 and is not open yet, so its port is unknown.
        return refuse(503, "redirect_target_closed");
    };
    RedirectAnswer {
        // 308 and not 301, so that the method and the body are kept (RFC 9110, 15.4.9).
        status: 308,
        location: Some(location(host, port, &received.origin_form())),
        error: None,
    }
}

fn location(host: &[u8], port: u16, target: &[u8]) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    // The client's port was that of this listener.
    location.extend_from_slice(without_port(host));
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    // The target `*` of OPTIONS is no path.
    if target.starts_with(b"/") {
        location.extend_from_slice(target);
    }
    location
}

fn log(
    front: &Front,
    listener: &Listener,
    client: SocketAddr,
    id: &str,
    received: &Result<Received, HeadError>,
    said: &RedirectAnswer,
    sent: u64,
) {
    let received = received.as_ref().ok();
    front.access.write(&AccessRecord {
        status: said.status,
        bytes_out: sent,
        error: said.error.map(Into::into),
        ..access_record(SystemTime::now(), id, client, &listener.name, received)
    });
}

#[cfg(test)]
mod tests {
    use super::location;

    #[test]
    fn locations() {
        for (host, port, target, expected) in [
            ("a.test", 443, "/x?y", "https://a.test/x?y"),
            ("a.test:8080", 8443, "/", "https://a.test:8443/"),
            ("a.test", 8443, "*", "https://a.test:8443"),
        ] {
            let location = location(host.as_bytes(), port, target.as_bytes());
            assert_eq!(location, expected.as_bytes());
        }
    }
}
