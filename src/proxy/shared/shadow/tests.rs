//! What a shadow says of a request, and a queue that nobody waits for.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::config::{OnUninspected, PolicyMode, PolicyRules};
use http_strict::Head;
use waf::{EngineMode, RuleSet};

const LIVE: &str = "\
SecRule ARGS \"@contains attack\" \"id:1,phase:2,deny,status:403,log\"
SecRule ARGS \"@contains both\" \"id:2,phase:2,deny,status:403,log\"
SecRule ARGS \"@contains noted\" \"id:3,phase:2,pass,log\"
SecRule REQUEST_HEADERS:X-Early \"@streq yes\" \"id:4,phase:1,deny,status:403,log\"
SecRule RESPONSE_STATUS \"@streq 200\" \"id:5,phase:3,deny,status:403,log\"
";
const SHADOW: &str = "\
SecRule ARGS \"@contains strange\" \"id:11,phase:2,deny,status:403,log\"
SecRule ARGS \"@contains both\" \"id:2,phase:2,deny,status:404,log\"
SecRule ARGS \"@contains told\" \"id:13,phase:2,pass,log\"
SecRule ARGS \"@contains panic\" \"id:14,phase:5,pass,log\"
";

fn rules(text: &str, mode: EngineMode) -> Arc<RuleSet> {
    RuleSet::builder()
        .engine(mode)
        .text("a", text)
        .build()
        .unwrap()
}

fn policy(mode: EngineMode) -> Arc<Policy> {
    Arc::new(Policy {
        name: "default".to_owned(),
        mode: PolicyMode::Block,
        on_uninspected: OnUninspected::Block,
        request_body_limit: 1000,
        asks_for_identity: false,
        cost_sample: 0.0,
        rate_limits: Vec::new(),
        exclusions: Vec::new(),
        rules: PolicyRules::Live(rules(LIVE, mode)),
        rules_digest: "live".to_owned(),
        shadow: Some(Shadow {
            rules: rules(SHADOW, mode),
            rules_digest: "shadow".to_owned(),
            sample: 1.0,
        }),
    })
}

fn received(query: &str, fields: &str) -> Received {
    let raw = format!("POST /?q={query} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let head = Head::parse(raw.as_bytes()).unwrap();
    Received::from_h1(raw.into(), head)
}

/// After the policy's rules saw the request, and an answer of status 200.
fn work(policy: &Arc<Policy>, received: Received, body: Option<&'static [u8]>) -> Work {
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let rules = policy.rules.live().unwrap();
    let mut transaction = Transaction::new(Arc::clone(rules), address, address, "id");
    received.feed(&mut transaction);
    if transaction.request_headers_done().is_none()
        && transaction.request_body(body.unwrap()).is_none()
    {
        transaction.response_headers(200, b"HTTP/1.1", []);
    }
    transaction.finish();
    let task = ShadowTask {
        policy: Arc::clone(policy),
        caller: None,
        client: address,
        server: address,
        body: body.map(Bytes::from_static),
        live: Judgement::of_request(&transaction),
        event: None,
    };
    Work {
        task,
        received,
        id: "id".to_owned(),
    }
}

#[test]
fn verdicts_and_rules_are_compared_as_of_the_request() {
    use RuleDifference::{AnsweredDifferently, NewlyAllowed, NewlyBlocked, OnlyLive, OnlyShadow};
    for mode in [EngineMode::On, EngineMode::DetectionOnly] {
        let policy = policy(mode);
        for (query, outcome, rules) in [
            ("1", ShadowOutcome::Same, vec![]),
            (
                "strange",
                ShadowOutcome::NewlyBlocked,
                vec![(11, NewlyBlocked)],
            ),
            (
                "attack",
                ShadowOutcome::NewlyAllowed,
                vec![(1, NewlyAllowed)],
            ),
            (
                "both",
                ShadowOutcome::AnsweredDifferently,
                vec![(2, AnsweredDifferently)],
            ),
            (
                "noted+told",
                ShadowOutcome::OtherRules,
                vec![(13, OnlyShadow), (3, OnlyLive)],
            ),
            // Of the last phase, which is about records.
            ("panic", ShadowOutcome::Same, vec![]),
        ] {
            let metrics = Arc::new(Metrics::default());
            let judge = Judge {
                metrics: Arc::clone(&metrics),
                events: None,
            };
            judge.judge(work(&policy, received(query, ""), Some(b"")));
            let pair = ShadowPair {
                policy: "default".to_owned(),
                live: "live".to_owned(),
                shadow: "shadow".to_owned(),
            };
            let found = metrics.shadow.findings(&pair).unwrap();
            assert_eq!(found.of(outcome), 1, "{query}: {found:?}");
            let mut differences = Vec::new();
            for (rule, of_rule) in &found.rules {
                assert_eq!(of_rule.last, "id");
                differences.extend(
                    of_rule
                        .requests
                        .iter()
                        .map(|(d, count)| (*rule, *d, *count)),
                );
            }
            let mut expected: Vec<_> = rules.into_iter().map(|(r, d)| (r, d, 1)).collect();
            expected.sort_unstable();
            assert_eq!(differences, expected, "{query}");
        }
    }
}

/// Whether a shadow would stop a request by its body is not known if the body never came.
#[test]
fn what_was_stopped_before_its_body_is_not_compared() {
    let metrics = Arc::new(Metrics::default());
    let judge = Judge {
        metrics: Arc::clone(&metrics),
        events: None,
    };
    let policy = policy(EngineMode::On);
    let received = received("1", "X-Early: yes\r\nContent-Length: 7\r\n");
    judge.judge(work(&policy, received, None));
    let mut seen = Vec::new();
    metrics.shadow.requests.each(|policy, outcome, counter| {
        seen.push((policy.to_owned(), outcome.clone(), counter.value()));
    });
    assert_eq!(seen, [("default".to_owned(), "not_compared".to_owned(), 1)]);
}

#[test]
fn a_mask_of_the_policys_secrets_takes_the_span_of_what_it_changes() {
    let secrets = [b"hunter2".to_vec()];
    let masked = |value: &str, transformed: Option<&str>| {
        let mut found = Match {
            rule_id: 1,
            phase: 2,
            variable: "ARGS:q".to_owned(),
            value: value.to_owned(),
            transformed: transformed.map(str::to_owned),
            span: Some([0, 1]),
            message: String::new(),
            data: "hunter2".to_owned(),
            severity: None,
            at: String::new(),
        };
        mask(&mut found, &secrets);
        assert_eq!(found.data, "***");
        (found.tested().to_owned(), found.span)
    };
    assert_eq!(masked("a1", None), ("a1".to_owned(), Some([0, 1])));
    assert_eq!(masked("hunter2", None), ("***".to_owned(), None));
    let changed = masked("hunter2", Some("a"));
    assert_eq!(changed, ("a".to_owned(), Some([0, 1])));
    assert_eq!(masked("a", Some("hunter2")), ("***".to_owned(), None));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// The thread hangs: nobody waits for it, and the queue does not grow without end.
#[test]
fn a_full_queue_drops_and_counts() {
    let metrics = Arc::new(Metrics::default());
    let (go, hang) = channel::<()>();
    let (judged, judging) = channel();
    let thread = ShadowThread::start_with(&metrics, move |_| {
        judged.send(()).unwrap();
        let _ = hang.recv();
    });
    let thread = thread.unwrap();
    let policy = policy(EngineMode::On);
    let offer = |bytes: usize| {
        let Work { task, received, id } = work(&policy, received("1", ""), Some(b""));
        let task = ShadowTask {
            body: Some(vec![0; bytes].into()),
            ..task
        };
        thread.offer(task, received, id);
    };
    offer(0);
    judging.recv().unwrap();
    for _ in 0..MOST_WAITING + 3 {
        offer(0);
    }
    assert_eq!(metrics.shadow.dropped_queue.value(), 3);
    drop(go);
    for _ in 0..MOST_WAITING {
        judging.recv().unwrap();
    }
    offer(MOST_BYTES);
    assert_eq!(metrics.shadow.dropped_queue.value(), 4);
    assert_eq!(thread.queue.bytes_waiting(), 0);
    thread.close(soon());
}

#[test]
fn a_panic_costs_one_request_and_a_close_drops_the_rest() {
    let metrics = Arc::new(Metrics::default());
    let (judged, judging) = channel();
    let thread = ShadowThread::start_with(&metrics, move |work| {
        assert_ne!(work.id, "panic");
        judged.send(work.id).unwrap();
    });
    let thread = thread.unwrap();
    let policy = policy(EngineMode::On);
    let offer = |id: &str| {
        let Work { task, received, .. } = work(&policy, received("1", ""), Some(b""));
        thread.offer(task, received, id.to_owned());
    };
    offer("panic");
    offer("a");
    assert_eq!(judging.recv().unwrap(), "a");
    assert_eq!(metrics.shadow.dropped_internal.value(), 1);
    thread.close(soon());
    offer("b");
    assert!(judging.recv().is_err(), "the thread has ended");
    assert_eq!(metrics.shadow.dropped_queue.value(), 1);
}
