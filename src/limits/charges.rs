//! What one request asks of all limits that apply to it, and what it turns out to be.
//!
//! A request that any limit refuses counts in none: otherwise a client that is refused could use up a limit that it shares
//! with everybody.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::gcra::Standing;
use super::key::Facts;
use super::limit::{Limit, seconds};
use super::settings::{Action, Count};

/// The limits that a request has asked.
#[derive(Debug, Default)]
pub struct Charges {
    asked: Vec<Asked>,
    is_refused: bool,
}

#[derive(Debug)]
struct Asked {
    limit: Arc<Limit>,
    key: u64,
    /// Before this request.
    standing: Standing,
    /// One was taken.
    is_taken: bool,
}

/// Why a request is refused, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRefusal {
    /// The name of the limit.
    pub limit: String,
    /// What becomes of the request; never [`Action::Log`].
    pub action: Action,
    /// How long a tarpit holds it.
    pub delay: Duration,
    /// Seconds until there is room.
    pub retry_after: u64,
    /// The fields of the answer.
    pub fields: LimitFields,
}

/// The values of header fields of an answer (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitFields {
    /// `RateLimit-Policy`
    pub policy: String,
    /// `RateLimit`
    pub standing: String,
}

/// What a request turned out to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct End {
    /// The status of its answer; 0 for none.
    pub status: u16,
    /// The rules stopped it.
    pub is_blocked: bool,
    /// Of bodies, in both directions.
    pub bytes: u64,
    /// How long the rules worked.
    pub cost: Duration,
}

impl Charges {
    /// Asks these limits. A limit that was asked before is not asked again.
    ///
    /// # Errors
    /// The strictest refusal, and of equal ones the longest.
    pub fn ask<'l>(
        &mut self,
        limits: impl Iterator<Item = &'l Arc<Limit>>,
        facts: &Facts<'_>,
        now: u64,
    ) -> Result<(), LimitRefusal> {
        for limit in limits {
            if self
                .asked
                .iter()
                .any(|asked| asked.limit.name == limit.name)
            {
                continue;
            }
            let key = limit.key(facts);
            let standing = limit.take(key, now, facts);
            self.asked.push(Asked {
                is_taken: standing.has_room && limit.settings.count == Count::Requests,
                limit: Arc::clone(limit),
                key,
                standing,
            });
        }
        let refuses =
            |asked: &&Asked| !asked.standing.has_room && asked.limit.settings.action != Action::Log;
        let refusing = self.asked.iter().filter(refuses);
        let strictness = |asked: &&Asked| (asked.limit.settings.action, asked.standing.wait);
        let Some(strictest) = refusing.max_by_key(strictness) else {
            return Ok(());
        };
        let settings = &strictest.limit.settings;
        let refusal = LimitRefusal {
            limit: strictest.limit.name.clone(),
            action: settings.action,
            delay: settings.delay,
            retry_after: seconds(strictest.standing.wait).max(1),
            fields: fields([strictest].into_iter()).unwrap_or_default(),
        };
        self.is_refused = true;
        for asked in self.asked.iter_mut().filter(|asked| asked.is_taken) {
            asked.limit.give_back(asked.key, now);
            asked.is_taken = false;
        }
        Err(refusal)
    }

    /// Whether it has asked none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The fields of an answer that passes; None if no limit tells.
    #[must_use]
    pub fn fields(&self) -> Option<LimitFields> {
        fields(self.asked.iter().filter(|asked| asked.limit.settings.tell))
    }

    /// Counts what the request turned out to be.
    pub fn settle(&self, end: &End, now: u64) {
        if self.is_refused {
            return;
        }
        for asked in &self.asked {
            let amount = match asked.limit.settings.count {
                Count::Requests => 0,
                Count::Blocked => u64::from(end.is_blocked),
                Count::Status(status) => u64::from(end.status == status),
                Count::Bytes => end.bytes,
                Count::Cost => u64::try_from(end.cost.as_micros()).unwrap_or(u64::MAX),
            };
            if amount > 0 {
                asked.limit.charge(asked.key, now, amount);
            }
        }
    }
}

/// `"api";q=100;w=60` and `"api";r=99;t=1`: a burst of 100 that is there again after 60 seconds, 99 of it left now, all of it
/// in 1 second. A name has no character that a string of structured fields escapes.
fn fields<'a>(asked: impl Iterator<Item = &'a Asked>) -> Option<LimitFields> {
    let mut asked: Vec<&Asked> = asked.collect();
    if asked.is_empty() {
        return None;
    }
    // A client that reads one member only should read the one that matters.
    asked.sort_by_key(|asked| (asked.standing.remaining, Reverse(asked.standing.owed)));
    let mut fields = LimitFields::default();
    for Asked {
        limit,
        standing,
        is_taken,
        ..
    } in asked
    {
        let gcra = limit.gcra();
        let (taken, cost) = match is_taken {
            true => (1, gcra.one()),
            false => (0, 0),
        };
        let remaining = standing.remaining.saturating_sub(taken);
        let full_in = seconds(standing.owed.saturating_add(cost));
        let (name, quota, window) = (&limit.name, gcra.burst(), seconds(gcra.window()));
        add(
            &mut fields.policy,
            &format!("\"{name}\";q={quota};w={window}"),
        );
        add(
            &mut fields.standing,
            &format!("\"{name}\";r={remaining};t={full_in}"),
        );
    }
    Some(fields)
}

fn add(list: &mut String, member: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(member);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::key::tests::{Plain, facts};
    use crate::limits::settings::LimitSettings;

    const SECOND: u64 = 1_000_000_000;

    fn limit(
        name: &str,
        rate: &str,
        burst: u64,
        key: &str,
        count: &str,
        action: Action,
    ) -> Arc<Limit> {
        let settings = settings(rate, burst, key, count, action);
        Arc::new(Limit::new(name, settings, None))
    }

    fn settings(rate: &str, burst: u64, key: &str, count: &str, action: Action) -> LimitSettings {
        LimitSettings {
            rate: rate.parse().unwrap(),
            burst,
            key: vec![key.parse().unwrap()],
            count: count.parse().unwrap(),
            action,
            tell: true,
            max_keys: 1000,
            delay: Duration::ZERO,
        }
    }

    fn ask(limits: &[&Arc<Limit>], client: &str, now: u64) -> Result<Charges, LimitRefusal> {
        let head = Plain(Vec::new(), "");
        let mut charges = Charges::default();
        charges.ask(limits.iter().copied(), &facts(client, &head), now)?;
        Ok(charges)
    }

    #[test]
    fn each_key_has_its_own_bucket_and_learns_how_it_stands() {
        let api = limit("api", "1/m", 2, "client", "requests", Action::TooMany);
        let first = ask(&[&api], "192.0.2.1", SECOND).unwrap();
        let told = first.fields().unwrap();
        assert_eq!(told.policy, "\"api\";q=2;w=120");
        assert_eq!(told.standing, "\"api\";r=1;t=60");
        ask(&[&api], "192.0.2.1", SECOND).unwrap();
        let refused = ask(&[&api], "192.0.2.1", SECOND).unwrap_err();
        assert_eq!((refused.action, refused.retry_after), (Action::TooMany, 60));
        assert_eq!(refused.fields.standing, "\"api\";r=0;t=120");
        ask(&[&api], "192.0.2.2", SECOND).unwrap();
        ask(&[&api], "192.0.2.1", 61 * SECOND).unwrap();
        let counts = api.counts();
        assert_eq!((counts.passed.value(), counts.refused.value()), (4, 1));
    }

    #[test]
    fn what_one_limit_refuses_counts_in_no_other() {
        let all = limit("all", "1/h", 10, "host", "requests", Action::TooMany);
        let own = limit("own", "1/h", 1, "client", "requests", Action::TooMany);
        for _ in 0..50 {
            let _ = ask(&[&all, &own], "192.0.2.1", SECOND);
        }
        for client in 2..11 {
            ask(&[&all, &own], &format!("192.0.2.{client}"), SECOND).unwrap();
        }
        let refused = ask(&[&all, &own], "192.0.2.99", SECOND).unwrap_err();
        assert_eq!(refused.limit, "all");
    }

    #[test]
    fn the_strictest_answer_wins_and_a_log_refuses_nothing() {
        let make = |name, action| limit(name, "1/h", 1, "client", "requests", action);
        let (log, many) = (make("log", Action::Log), make("many", Action::TooMany));
        let (block, close) = (make("block", Action::Block), make("close", Action::Close));
        ask(&[&log, &many, &block, &close], "::1", SECOND).unwrap();
        for (limits, strictest) in [
            (&[&log, &many][..], "many"),
            (&[&block, &many], "block"),
            (&[&block, &close, &many, &log], "close"),
        ] {
            let refused = ask(limits, "::1", SECOND).unwrap_err();
            assert_eq!(refused.limit, strictest);
        }
        ask(&[&log], "::1", SECOND).unwrap();
        assert_eq!(log.counts().would_refuse.value(), 3);
        assert_eq!(log.counts().refused.value(), 0);
    }

    #[test]
    fn what_a_request_turned_out_to_be_refuses_the_next() {
        let end = End {
            status: 401,
            is_blocked: true,
            bytes: 5000,
            cost: Duration::from_micros(700),
        };
        for (count, harmless) in [
            ("status:401", End { status: 403, ..end }),
            (
                "blocked",
                End {
                    is_blocked: false,
                    ..end
                },
            ),
            ("bytes", End { bytes: 0, ..end }),
            (
                "cost",
                End {
                    cost: Duration::ZERO,
                    ..end
                },
            ),
        ] {
            let limit = limit("it", "1/h", 1, "client", count, Action::TooMany);
            for _ in 0..3 {
                ask(&[&limit], "::1", SECOND)
                    .unwrap()
                    .settle(&harmless, SECOND);
            }
            ask(&[&limit], "::1", SECOND).unwrap().settle(&end, SECOND);
            assert!(ask(&[&limit], "::1", SECOND).is_err(), "{count}");
            assert!(ask(&[&limit], "2001:db8::1", SECOND).is_ok(), "{count}");
        }
    }

    #[test]
    fn a_reload_keeps_the_buckets_of_the_same_key() {
        let old = limit("it", "1/h", 1, "client", "requests", Action::TooMany);
        ask(&[&old], "::1", SECOND).unwrap();
        let next = |settings| Arc::new(Limit::new("it", settings, Some(&old)));
        let same = next(settings("1/h", 1, "client", "requests", Action::Block));
        assert_eq!(
            ask(&[&same], "::1", SECOND).unwrap_err().action,
            Action::Block
        );
        let wider = next(settings("1/h", 2, "client", "requests", Action::TooMany));
        ask(&[&wider], "::1", SECOND).unwrap();
        assert!(
            ask(&[&wider], "::1", SECOND).is_err(),
            "one of two was used up before"
        );
        let other = next(settings("1/h", 1, "host", "requests", Action::TooMany));
        ask(&[&other], "::1", SECOND).unwrap();
    }

    #[test]
    fn who_is_near_is_shown_most_used_first() {
        let limit = limit("it", "1/h", 4, "client", "requests", Action::TooMany);
        for (client, requests) in [("192.0.2.1", 1), ("192.0.2.2", 4), ("192.0.2.3", 3)] {
            for _ in 0..requests {
                ask(&[&limit], client, SECOND).unwrap();
            }
        }
        let (rows, known) = limit.report(2, SECOND);
        assert_eq!(known, 3);
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.key.as_deref(), row.remaining, row.used_percent))
            .collect();
        assert_eq!(
            rows,
            [(Some("192.0.2.2"), 0, 100), (Some("192.0.2.3"), 1, 75)]
        );
        assert_eq!(limit.report(2, 4 * 3600 * SECOND + SECOND + 1).1, 0);
    }
}
