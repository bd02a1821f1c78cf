//! Traces and logs at a collector behind a private CA: who is whose parent, what is kept, and what a collector that is not
//! well costs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use openssl::ssl::Ssl;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_openssl::SslStream;

use drawbridge::admin::client::call;
use drawbridge::config::AdminAddress;
use drawbridge::telemetry::otlp::Signal;

use crate::doctor::drawbridge;
use crate::front::{Front, RULES, Setup, counts, log, wait};
use support::client::{Answer, raw};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream, hex, read_head};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    lines: Vec<LogRecord>,
    resources: Vec<Resource>,
    heads: Vec<String>,
}

/// Takes what comes, unless the next answer is another.
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Received>>::default();
        let answers = Arc::<Mutex<VecDeque<Vec<u8>>>>::default();
        let (noted, next) = (Arc::clone(&received), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            let acceptor = ServerTls::new(pki::leaf(&CORP, "localhost")).acceptor();
            while let Ok((tcp, _)) = listener.accept().await {
                let ssl = Ssl::new(acceptor.context()).unwrap();
                let (noted, next) = (Arc::clone(&noted), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut tls = SslStream::new(ssl, tcp).unwrap();
                    if Pin::new(&mut tls).accept().await.is_ok() {
                        serve(tls, &noted, &next).await;
                    }
                });
            }
        });
        Self {
            address,
            received,
            answers,
            task,
        }
    }

    fn answer_next(&self, answer: impl Into<Vec<u8>>) {
        self.answers.lock().unwrap().push_back(answer.into());
    }

    pub fn section(&self, more: &str) -> String {
        let port = self.address.port();
        format!("[otlp]\nurl = \"https://localhost:{port}/base/\"\ntrust = \"onprem\"\n{more}\n")
    }

    /// All that came, as text.
    pub fn everything(&self) -> String {
        let received = self.received.lock().unwrap();
        format!(
            "{:?}{:?}{:?}",
            received.spans, received.lines, received.heads
        )
    }

    fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    /// All spans of the trace that this request's span is in, itself first.
    async fn trace_of(&self, id: &str) -> Vec<Span> {
        let found = wait(|| {
            let spans = self.spans();
            let own = spans
                .iter()
                .find(|span| text(span, "drawbridge.request_id") == id)?;
            let others = spans
                .iter()
                .filter(|span| span.trace_id == own.trace_id && span.span_id != own.span_id);
            Some(std::iter::once(own).chain(others).cloned().collect())
        });
        found
            .await
            .unwrap_or_else(|| panic!("no span of {id}: {:#?}", self.spans()))
    }

    pub async fn lines(&self, least: usize) -> Vec<LogRecord> {
        let found = wait(|| {
            let lines = self.received.lock().unwrap().lines.clone();
            (lines.len() >= least).then_some(lines)
        });
        found.await.unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut tls: support::upstream::Tls,
    received: &Mutex<Received>,
    answers: &Mutex<VecDeque<Vec<u8>>>,
) {
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut tls, &mut buffer).await {
        let head = String::from_utf8(head).unwrap();
        let length = head.to_ascii_lowercase();
        let mut lengths = length
            .lines()
            .filter_map(|l| l.strip_prefix("content-length: "));
        let length: usize = lengths.next().unwrap().parse().unwrap();
        while buffer.len() < length {
            assert!(tls.read_buf(&mut buffer).await.unwrap() > 0);
        }
        let body: Vec<u8> = buffer.drain(..length).collect();
        let other = answers.lock().unwrap().pop_front();
        if other
            .as_ref()
            .is_none_or(|other| other.starts_with(b"HTTP/1.1 200"))
        {
            received.lock().unwrap().note(&head, &body);
        }
        let answer = other.unwrap_or_else(|| {
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
                .to_vec()
        });
        if tls.write_all(&answer).await.is_err() {
            return;
        }
    }
}

impl Received {
    fn note(&mut self, head: &str, body: &[u8]) {
        assert!(
            head.to_ascii_lowercase()
                .contains("content-type: application/x-protobuf")
        );
        match head.split(' ').nth(1).unwrap() {
            "/base/v1/traces" => {
                for resource in ExportTraceServiceRequest::decode(body)
                    .unwrap()
                    .resource_spans
                {
                    self.resources.extend(resource.resource);
                    let spans = resource
                        .scope_spans
                        .into_iter()
                        .flat_map(|scope| scope.spans);
                    self.spans.extend(spans);
                }
            }
            "/base/v1/logs" => {
                for resource in ExportLogsServiceRequest::decode(body)
                    .unwrap()
                    .resource_logs
                {
                    self.resources.extend(resource.resource);
                    let lines = resource.scope_logs.into_iter();
                    self.lines.extend(lines.flat_map(|scope| scope.log_records));
                }
            }
            path => panic!("{path}"),
        }
        self.heads.push(head.to_owned());
    }
}

fn attribute<'s>(attributes: &'s [KeyValue], key: &str) -> Option<&'s Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn text(span: &Span, key: &str) -> String {
    match attribute(&span.attributes, key) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::ArrayValue(list)) => format!(
            "{:?}",
            list.values
                .iter()
                .map(|v| v.value.clone().unwrap())
                .collect::<Vec<_>>()
        ),
        None => String::new(),
        other => panic!("{other:?}"),
    }
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {names:?}"));
    assert!(found.next().is_none(), "one {name}: {names:?}");
    first
}

fn by_kind(spans: &[Span], kind: SpanKind) -> &Span {
    let mut found = spans.iter().filter(|span| span.kind == kind as i32);
    let first = found.next().unwrap();
    assert!(found.next().is_none(), "{spans:#?}");
    first
}

async fn echo() -> Upstream {
    Upstream::start(
        ServerTls::new(pki::leaf(&CORP, "orders.corp.test")),
        Behaviour::Echo,
    )
    .await
}

async fn start(upstream: &Upstream, collector: &Collector, otlp: &str, listener: &str) -> Front {
    let setup = Setup {
        more: collector.section(otlp),
        listener: listener.to_owned(),
        ..Setup::to(upstream)
    };
    Front::start(&setup).await
}

async fn ask(front: &Front, target: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n");
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    raw(front.address, request.as_bytes()).await.unwrap()
}

/// The client is told it only where the front door answers itself.
fn id(answer: &Answer) -> String {
    match answer.header("x-request-id") {
        Some(id) => id.to_owned(),
        None => at_gateway(answer, "x-request-id").remove(0),
    }
}

/// The values of a field that the gateway got.
fn at_gateway(answer: &Answer, name: &str) -> Vec<String> {
    let report = answer.json();
    let fields = report["headers"].as_array().unwrap().iter();
    let fields = fields.filter_map(|field| field.as_str().unwrap().split_once(": "));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_request_is_a_span_of_its_trace() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let front = start(
        &upstream,
        &collector,
        "sample = 1.0\nservice = \"edge\"",
        "",
    )
    .await;
    let request = b"POST /orders/1?password=hidden&x=.. HTTP/1.1\r\nHost: api.test\r\nUser-Agent: probe\r\n\
        Content-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\na=b";
    let answer = raw(front.address, request).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let spans = collector.trace_of(&id(&answer)).await;
    let server = &spans[0];
    assert_eq!(server.name, "POST orders");
    assert_eq!(server.kind, SpanKind::Server as i32);
    assert!(server.parent_span_id.is_empty());
    assert!(server.status.is_none());
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "orders"),
        ("http.response.status_code", "200"),
        ("http.request.body.size", "3"),
        ("url.scheme", "https"),
        ("url.path", "/orders/1"),
        ("server.address", "api.test"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "probe"),
        ("drawbridge.listener", "public"),
        ("drawbridge.policy", "default"),
        ("drawbridge.waf.verdict", "match"),
        ("drawbridge.waf.rules", "[IntValue(5)]"),
    ] {
        assert_eq!(text(server, key), value, "{key}: {server:#?}");
    }
    let query = text(server, "url.query");
    assert!(
        query.starts_with("password=") && !query.contains("hidden"),
        "{query}"
    );
    for name in [
        "hold request body",
        "waf request head",
        "waf request body",
        "waf logging",
    ] {
        let span = named(&spans, name);
        assert_eq!(span.parent_span_id, server.span_id, "{name}");
        assert_eq!(span.kind, SpanKind::Internal as i32, "{name}");
        assert!(
            span.start_time_unix_nano >= server.start_time_unix_nano,
            "{name}"
        );
        // The client has its answer before the last phase.
        let is_last = name == "waf logging";
        let is_inside = span.end_time_unix_nano <= server.end_time_unix_nano;
        assert!(is_inside || is_last, "{name}");
    }
    let sum = spans
        .iter()
        .filter(|span| text(span, "drawbridge.waf.rules") == "[IntValue(5)]");
    assert_eq!(
        sum.count(),
        2,
        "the request and the phase that it matched in"
    );
    let client = by_kind(&spans, SpanKind::Client);
    assert_eq!(client.name, "POST orders");
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(text(client, "http.response.status_code"), "200");
    assert_eq!(text(client, "drawbridge.connection.kept"), "false");
    assert_eq!(named(&spans, "connect").parent_span_id, client.span_id);
    // The gateway is told the span that asks it.
    let trace = hex(&server.trace_id);
    let told = format!("00-{trace}-{}-01", hex(&client.span_id));
    assert_eq!(at_gateway(&answer, "traceparent"), [told]);
    assert_eq!(front.line_of(&id(&answer)).await["trace_id"], trace);
    let resource = collector.received.lock().unwrap().resources[0].clone();
    let service = attribute(&resource.attributes, "service.name");
    assert_eq!(service, Some(&Value::StringValue("edge".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_blocked_or_failed_is_always_kept() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let front = start(&upstream, &collector, "sample = 0.0", "").await;
    let passed = ask(&front, "/orders/1", &[]).await;
    let blocked = ask(&front, "/orders/1?x=attack", &[]).await;
    assert_eq!((passed.status, blocked.status), (200, 403));
    assert!(at_gateway(&passed, "traceparent")[0].ends_with("-00"));
    let spans = collector.trace_of(&id(&blocked)).await;
    assert_eq!(text(&spans[0], "drawbridge.waf.verdict"), "block");
    assert_eq!(text(&spans[0], "drawbridge.waf.rules"), "[IntValue(1)]");
    let of_passed = |span: &Span| text(span, "drawbridge.request_id") == id(&passed);
    assert!(
        !collector.spans().iter().any(of_passed),
        "it was not sampled, and came before the one that was sent"
    );
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setup = Setup {
        more: collector.section("sample = 0.0"),
        ..Setup::servers(&[nobody.local_addr().unwrap()])
    };
    drop(nobody);
    let front = Front::start(&setup).await;
    let failed = ask(&front, "/orders/1", &[]).await;
    assert_eq!(failed.status, 502);
    let spans = collector.trace_of(&id(&failed)).await;
    assert_eq!(spans[0].status.as_ref().unwrap().code, 2);
    assert_eq!(text(&spans[0], "error.type"), "refused");
    let connect = named(&spans, "connect");
    assert_eq!(connect.status.as_ref().unwrap().code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_trace_goes_on() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let trusted = "trusted_proxies = [\"127.0.0.1\"]";
    let front = start(&upstream, &collector, "sample = 1.0", trusted).await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let answer = ask(
        &front,
        "/orders/1",
        &[
            ("traceparent", &parent),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ],
    )
    .await;
    let spans = collector.trace_of(&id(&answer)).await;
    assert_eq!(hex(&spans[0].trace_id), TRACE);
    assert_eq!(hex(&spans[0].parent_span_id), PARENT);
    assert_eq!(spans[0].trace_state, "a=1,b=2");
    assert_eq!(at_gateway(&answer, "tracestate"), ["a=1,b=2"]);
    let told = at_gateway(&answer, "traceparent");
    assert!(told[0].starts_with(&format!("00-{TRACE}-")), "{told:?}");
    assert!(!told[0].contains(PARENT), "{told:?}");
    // It decides whether the trace is sampled.
    let parent = format!("00-{TRACE}-{PARENT}-00");
    let unsampled = ask(&front, "/orders/1", &[("traceparent", &parent)]).await;
    assert!(at_gateway(&unsampled, "traceparent")[0].ends_with("-00"));
    let last = ask(&front, "/orders/1", &[]).await;
    collector.trace_of(&id(&last)).await;
    let of_it = |span: &Span| text(span, "drawbridge.request_id") == id(&unsampled);
    assert!(!collector.spans().iter().any(of_it));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_context_begins_a_trace_of_our_own() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let front = start(&upstream, &collector, "sample = 1.0", "").await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let fields = [("traceparent", parent.as_str()), ("tracestate", "a=1")];
    let answer = ask(&front, "/orders/1", &fields).await;
    let spans = collector.trace_of(&id(&answer)).await;
    assert_ne!(hex(&spans[0].trace_id), TRACE);
    assert!(spans[0].parent_span_id.is_empty());
    assert_eq!(at_gateway(&answer, "traceparent").len(), 1);
    assert_eq!(at_gateway(&answer, "tracestate"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_context_goes_on_where_somebody_wrote_so_and_hostile_ones_never() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let always = "sample = 0.0\ntraceparent = \"always\"";
    let front = start(&upstream, &collector, always, "").await;
    let told = async |fields: &[(&str, &str)]| {
        let answer = ask(&front, "/orders/1", fields).await;
        let told = at_gateway(&answer, "traceparent");
        assert_eq!(told.len(), 1, "{fields:?}: {told:?}");
        (told[0].clone(), at_gateway(&answer, "tracestate"))
    };
    let good = format!("00-{TRACE}-{PARENT}-01");
    let (parent, state) = told(&[("traceparent", &good), ("tracestate", "a=1")]).await;
    // A stranger does not decide what we record.
    assert!(
        parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"),
        "{parent}"
    );
    assert_eq!(state, ["a=1"]);
    let upper = good.to_ascii_uppercase();
    let long = "0".repeat(4000);
    let zero = format!("00-{}-{PARENT}-01", "0".repeat(32));
    for hostile in ["x", "00", &upper, &long, &zero, "00-' OR 1=1", "ff-"] {
        let (parent, _) = told(&[("traceparent", hostile), ("tracestate", "a=1")]).await;
        assert!(
            !parent.contains(TRACE) && parent.len() == 55,
            "{hostile}: {parent}"
        );
    }
    let (parent, _) = told(&[("traceparent", &good), ("TraceParent", &good)]).await;
    assert!(!parent.contains(TRACE), "two of them: {parent}");
    let (_, state) = told(&[("traceparent", &good), ("tracestate", "A=<script>")]).await;
    assert_eq!(state, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nothing_of_a_trace_is_touched() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let answer = ask(&front, "/orders/1", &[("traceparent", "whatever")]).await;
    assert_eq!(at_gateway(&answer, "traceparent"), ["whatever"]);
    assert!(front.line_of(&id(&answer)).await.get("trace_id").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_collector_gets_a_batch_again() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let front = start(&upstream, &collector, "sample = 1.0", "").await;
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    collector.answer_next(busy);
    collector.answer_next(busy.replace("503", "429"));
    let answer = ask(&front, "/orders/1", &[]).await;
    let spans = collector.trace_of(&id(&answer)).await;
    let metrics = front.metrics.otlp.of(Signal::Traces);
    counts(&metrics.sent, spans.len() as u64).await;
    assert_eq!(metrics.dropped_unsent.value(), 0);
    assert!(metrics.health().trouble.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_does_not_take_is_counted() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let front = start(&upstream, &collector, "sample = 1.0", "").await;
    let metrics = front.metrics.otlp.of(Signal::Traces);
    collector.answer_next("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
    ask(&front, "/orders/1", &[]).await;
    counts(&metrics.dropped_unsent, 1).await;
    let trouble = metrics.health().trouble.unwrap();
    assert_eq!(trouble.code, "status");
    assert!(
        trouble.words.contains("/base/v1/traces: it answered 400"),
        "{trouble:?}"
    );
    let partly = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 2,
            error_message: "too many".to_owned(),
        }),
    };
    let partly = partly.encode_to_vec();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        partly.len()
    );
    collector.answer_next([head.into_bytes(), partly].concat());
    ask(&front, "/orders/1", &[]).await;
    counts(&metrics.dropped_rejected, 2).await;
    assert_eq!(metrics.dropped_rejected.value(), 2);
    assert!(metrics.health().trouble.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_costs_spans_and_no_request() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let section = collector.section("sample = 1.0");
    drop(collector);
    let setup = Setup {
        more: section,
        ..Setup::to(&upstream)
    };
    let mut front = Front::start(&setup).await;
    for _ in 0..20 {
        assert_eq!(ask(&front, "/orders/1", &[]).await.status, 200);
    }
    let metrics = Arc::clone(&front.metrics);
    let metrics = metrics.otlp.of(Signal::Traces);
    let trouble = wait(|| metrics.health().trouble).await.unwrap();
    assert_eq!(trouble.code, "connect", "{trouble:?}");
    assert!(log().contains("traces cannot be sent: https://localhost:"));
    // The end does not wait for it, and counts what was not sent.
    front.stopped().await;
    counts(&metrics.dropped_unsent, 20).await;
    assert_eq!(metrics.sent.value(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_who_it_should_be_gets_nothing() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let setup = Setup {
        more: collector
            .section("sample = 1.0")
            .replace("\"onprem\"", "\"other\"")
            + "[trust.other]\nca = [\"old-ca.pem\"]\n",
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    ask(&front, "/orders/1", &[]).await;
    let metrics = front.metrics.otlp.of(Signal::Traces);
    counts(&metrics.dropped_unsent, 1).await;
    let trouble = metrics.health().trouble.unwrap();
    assert_eq!(trouble.code, "certificate");
    assert!(
        trouble
            .words
            .contains("trust bundle \"other\" has \"CN=Old Corp CA\""),
        "{trouble:?}"
    );
    assert!(collector.spans().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_logs_go_to_the_collector_with_their_trace() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let setup = Setup {
        more: collector.section("sample = 0.0\nauthorization = \"token\""),
        ..Setup::to(&upstream)
    };
    let folder = setup.write(&format!(
        "{RULES}\nSecAuditEngine RelevantOnly\nSecAuditLogParts ABZ\n"
    ));
    let file = folder.join("drawbridge.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let sinks = "access = \"otlp\"\naudit = \"otlp\"";
    std::fs::write(&file, written.replace("access = \"access.log\"", sinks)).unwrap();
    std::fs::write(folder.join("token"), "Bearer hidden\n").unwrap();
    let front = Front::start_in(folder).await;
    let answer = ask(&front, "/orders/1?x=attack", &[]).await;
    let lines = collector.lines(2).await;
    let line_of = |name: &str| {
        let mut lines = lines.iter().filter(|line| line.event_name == name);
        let line = lines.next().unwrap_or_else(|| {
            panic!(
                "no {name}: {lines:#?}",
                lines = collector.received.lock().unwrap().lines
            )
        });
        let Some(Value::StringValue(body)) = line.body.as_ref().unwrap().value.as_ref() else {
            panic!("{line:?}");
        };
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        (line.clone(), body)
    };
    let (access, body) = line_of("drawbridge.access");
    assert_eq!(body["request_id"], id(&answer));
    assert_eq!(body["trace_id"], hex(&access.trace_id));
    assert_eq!(access.severity_text, "WARN");
    let (audit, _) = line_of("drawbridge.audit");
    assert_eq!(audit.trace_id, access.trace_id);
    assert_eq!(audit.span_id, access.span_id);
    let spans = collector.trace_of(&id(&answer)).await;
    assert_eq!(spans[0].trace_id, access.trace_id);
    assert_eq!(spans[0].span_id, access.span_id);
    let heads = collector.received.lock().unwrap().heads.clone();
    assert!(
        heads
            .iter()
            .all(|head| head.contains("authorization: Bearer hidden")),
        "{heads:?}"
    );
    counts(&front.metrics.otlp.of(Signal::Logs).sent, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sends_an_empty_batch_and_says_what_is_wrong() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let setup = Setup {
        more: collector.section(""),
        ..Setup::to(&upstream)
    };
    let folder = setup.write(RULES);
    let taken = drawbridge(&folder, &["doctor", "collector"]).await;
    assert!(taken.status.success(), "{taken:?}");
    let shown = String::from_utf8_lossy(&taken.stdout).into_owned();
    assert_eq!(shown.matches("  ok       ").count(), 2, "{shown}");
    collector.answer_next("HTTP/1.1 404 What\r\nContent-Length: 0\r\n\r\n");
    let json = ["doctor", "collector", "--output", "json"];
    let refused = drawbridge(&folder, &json).await;
    assert_eq!(refused.status.code(), Some(1));
    let report = crate::doctor::json(&refused);
    assert_eq!(report["ok"], false);
    assert_eq!(
        report["signals"][0]["failure"]["code"], "status",
        "{report}"
    );
    assert_eq!(report["signals"][1]["ok"], true, "{report}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_counts_after_a_reload_and_the_status_says_how_it_is() {
    let (upstream, collector) = (echo().await, Collector::start().await);
    let mut setup = Setup {
        top: "admin = \"admin.sock\"".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let admin = AdminAddress::Unix(front.folder.join("admin.sock"));
    let call = async |method: &'static str, path: &'static str| {
        let admin = admin.clone();
        let answer = tokio::task::spawn_blocking(move || call(&admin, None, method, path, b""));
        answer.await.unwrap().unwrap()
    };
    let status = async || -> serde_json::Value {
        serde_json::from_slice(&call("GET", "/status").await.body).unwrap()
    };
    assert!(status().await["otlp"].is_null());
    setup.more = collector.section("sample = 1.0");
    std::fs::write(front.folder.join("drawbridge.toml"), setup.text()).unwrap();
    assert_eq!(call("POST", "/reload").await.status, 200);
    let answer = ask(&front, "/orders/1", &[]).await;
    collector.trace_of(&id(&answer)).await;
    counts(&front.metrics.otlp.of(Signal::Traces).sent, 1).await;
    let traces = status().await["otlp"][0].clone();
    assert_eq!(traces["signal"], "traces");
    assert!(
        traces["url"].as_str().unwrap().ends_with("/base/v1/traces"),
        "{traces}"
    );
    assert!(
        traces["sent"].as_u64() > Some(0) && traces["last_error"].is_null(),
        "{traces}"
    );
    collector.answer_next("HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n");
    ask(&front, "/orders/1", &[]).await;
    counts(&front.metrics.otlp.of(Signal::Traces).dropped_unsent, 1).await;
    let traces = status().await["otlp"][0].clone();
    assert_eq!(traces["last_error"]["code"], "status", "{traces}");
    let ready = call("GET", "/readyz?verbose").await;
    assert_eq!(ready.status, 200, "requests are served without it");
    assert!(ready.text().contains("it answered 401"), "{}", ready.text());
    let metrics = call("GET", "/metrics").await.text();
    for sample in [
        "drawbridge_otlp_failures_total{signal=\"traces\",reason=\"status\"} 1",
        "drawbridge_otlp_dropped_total{signal=\"logs\",reason=\"queue\"} 0",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
}
