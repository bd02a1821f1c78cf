//! Health checks of servers, over TLS that is verified like that of requests: a server with an invalid certificate is
//! down.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_openssl::SslStream;

use super::{Cause, Failure, HealthCheck, Pool, ServerState, Upstream, diagnose};
use crate::supervision::Ended;
use crate::tls::DialFault;

/// The most checks of one upstream that run at the same time.
const AT_ONCE: usize = 16;
/// The most bytes of an HTTP/1 answer that are read; the status is in its first line.
const MOST_ANSWER: usize = 1024;
/// The largest head of an HTTP/2 answer in bytes; the status can be anywhere in it.
const MOST_HEAD: u32 = 16 * 1024;
/// Offered first, because most requests go over HTTP/1.1. A server that speaks only HTTP/2 is asked in that.
const ALPN: &[u8] = b"\x08http/1.1\x02h2";

/// Checks the servers of a pool round by round, until the pool is dropped.
pub(super) async fn watch(pool: Weak<Pool>) -> Ended {
    let Some(interval) = pool
        .upgrade()
        .and_then(|pool| Some(pool.upstream.balancing.health.as_ref()?.interval))
    else {
        return Ended::Over;
    };
    // Upstreams that start at the same time should not send their checks at the same time.
    sleep(interval.mul_f32(random() / 5.0)).await;
    loop {
        let Some(alive) = pool.upgrade() else {
            return Ended::Over;
        };
        round(&alive).await;
        // Between two rounds the task must not keep the pool alive.
        drop(alive);
        sleep(jittered(interval)).await;
    }
}

/// The interval, up to a tenth longer or shorter, so that tasks do not stay in step.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f32(0.9 + random() / 5.0)
}

/// From 0 to 1.
fn random() -> f32 {
    let mut byte = [128];
    // Without random bytes there is no jitter, which does no harm.
    let _ = openssl::rand::rand_bytes(&mut byte);
    f32::from(byte[0]) / 255.0
}

async fn round(pool: &Arc<Pool>) {
    // Dropping it with this future ends the checks that were begun.
    let mut checks = JoinSet::new();
    // All servers, also those that are down: a check is the only way back for these.
    for server in pool.servers().iter() {
        if checks.len() >= AT_ONCE {
            checks
                .join_next()
                .await
                .into_iter()
                .for_each(go_on_panicking);
        }
        let (pool, server) = (Arc::clone(pool), Arc::clone(server));
        checks.spawn(async move {
            let Some(health) = &pool.upstream.balancing.health else {
                return;
            };
            let result = check(&pool.upstream, health, &server).await;
            if result.is_err() {
                pool.metrics.health_failures.count();
            }
            server.checked(health, result);
        });
    }
    while let Some(checked) = checks.join_next().await {
        go_on_panicking(checked);
    }
}

/// Passes on the panic of a check, so that `supervise` logs it and starts the checks again.
fn go_on_panicking(checked: Result<(), JoinError>) {
    if let Err(error) = checked
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

async fn check(
    upstream: &Upstream,
    health: &HealthCheck,
    server: &ServerState,
) -> Result<(), Failure> {
    match timeout(health.timeout, ask(upstream, health, server)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(
            Cause::Timeout,
            format!(
                "no answer to the health check within {} s",
                health.timeout.as_secs_f32()
            ),
        )),
    }
}

async fn ask(
    upstream: &Upstream,
    health: &HealthCheck,
    server: &ServerState,
) -> Result<(), Failure> {
    let tls = diagnose::handshake(upstream, server.address, ALPN).await?;
    let status = match tls.ssl().selected_alpn_protocol() {
        Some(b"h2") => ask_h2(tls, health).await?,
        // A server that chooses no protocol speaks HTTP/1.1.
        _ => ask_h1(tls, health).await?,
    };
    if health.statuses.contains(&status) {
        return Ok(());
    }
    let expected: Vec<String> = health.statuses.iter().map(u16::to_string).collect();
    Err(Failure::new(
        Cause::Status,
        format!(
            "GET {} was answered {status}, not {}",
            health.path,
            expected.join(" or ")
        ),
    ))
}

async fn ask_h1(mut tls: SslStream<TcpStream>, health: &HealthCheck) -> Result<u16, Failure> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: drawbridge-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        health.path, health.host
    );
    tls.write_all(request.as_bytes())
        .await
        .map_err(|e| closed(&e))?;
    let mut answer = Vec::with_capacity(MOST_ANSWER);
    // The status line is enough; the body of a health page can be large.
    while !answer.contains(&b'\n') && answer.len() < MOST_ANSWER {
        let mut chunk = [0; 256];
        let read = tls.read(&mut chunk).await.map_err(|e| closed(&e))?;
        let Some(bytes @ [_, ..]) = chunk.get(..read) else {
            break;
        };
        answer.extend_from_slice(bytes);
    }
    status(&answer).ok_or_else(|| {
        let words = "its answer to the health check is not HTTP/1";
        Failure::new(Cause::Protocol, words)
    })
}

async fn ask_h2(tls: SslStream<TcpStream>, health: &HealthCheck) -> Result<u16, Failure> {
    let request = Request::get(format!("https://{}{}", health.host, health.path))
        .version(Version::HTTP_2)
        .header("user-agent", "drawbridge-health")
        .header("accept", "*/*")
        .body(())
        .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
    let (send, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MOST_HEAD)
        .handshake::<_, Bytes>(tls)
        .await
        .map_err(|error| not_h2(&error))?;
    let exchange = async {
        let (response, _) = send.ready().await?.send_request(request, true)?;
        Ok(response.await?.status().as_u16())
    };
    // The h2 crate sends and receives only while its connection is polled.
    let answer = tokio::select! {
        // An answer counts even if the server closes the connection right behind it.
        biased;
        answer = exchange => answer,
        ended = connection => Err(ended.err().unwrap_or_else(|| h2::Reason::NO_ERROR.into())),
    };
    answer.map_err(|error| not_h2(&error))
}

fn not_h2(error: &h2::Error) -> Failure {
    match error.get_io() {
        Some(error) => closed(error),
        None => Failure::new(
            Cause::Protocol,
            format!("its answer to the health check is not HTTP/2: {error}"),
        ),
    }
}

fn closed(error: &std::io::Error) -> Failure {
    if DialFault::of_io(error) == DialFault::CertificateRequired {
        return Failure::wants_client_certificate();
    }
    Failure::new(
        Cause::Closed,
        format!("connection closed during the health check: {error}"),
    )
}

/// The status in a status line (RFC 9112, 4).
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5)?;
    let ends = matches!(rest.get(5), Some(b' ' | b'\r' | b'\n'));
    let spaced = rest.get(1) == Some(&b' ');
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    (ends && spaced && all_digits).then(|| {
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_has_a_status() {
        for (line, expected) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 20", None),
            (b"HTTP/1.1 2000 OK\r\n", None),
            (b"HTTP/2 200\r\n", None),
            (b"HTTP/1.1  200 \r\n", None),
            (b"SSH-2.0-x\r\n", None),
            (b"", None),
        ] {
            assert_eq!(status(line), expected, "{}", line.escape_ascii());
        }
    }
}
