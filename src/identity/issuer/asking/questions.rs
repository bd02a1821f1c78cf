//! The questions that are under way, the answers that count, and who may ask.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use identity::{CacheKey, Recent};
use tokio::sync::watch;

use super::{Asked, AskingBounds};

/// How long it counts that the issuer does not take a token.
pub(super) const REFUSED_AGE: Duration = Duration::from_secs(10);
/// How long nobody asks again about a token after there was no answer.
pub(super) const FAILED_AGE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) enum Answer<T> {
    Good(T),
    Refused(&'static str),
    Failed,
}

/// What a request does that needs an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// It is there.
    Known,
    /// None may be had now.
    Refused,
    /// Wait for a question that is under way.
    Join(watch::Receiver<()>),
    /// Ask, and drop the sender at the end.
    Ask(watch::Receiver<()>, watch::Sender<()>),
}

#[derive(Debug)]
pub(super) struct Questions<T> {
    bounds: AskingBounds,
    /// Apart, so that a flood of tokens that do not hold forgets none that does.
    good: Recent<(Answer<T>, Instant)>,
    others: Recent<(Answer<T>, Instant)>,
    under_way: HashMap<CacheKey, watch::Receiver<()>>,
    verified: Share,
    opaque: Share,
    unknown: Budget,
}

#[derive(Debug, Default)]
struct Share {
    under_way: usize,
    waiting: usize,
}

/// Questions about opaque tokens that may still turn out not to hold.
#[derive(Debug)]
struct Budget {
    left: f64,
    at: Option<Instant>,
}

impl<T: Clone> Questions<T> {
    pub(super) fn new(bounds: AskingBounds) -> Self {
        Self {
            good: Recent::new(bounds.kept),
            others: Recent::new(bounds.kept),
            under_way: HashMap::new(),
            verified: Share::default(),
            opaque: Share::default(),
            unknown: Budget {
                left: f64::from(bounds.unknown_burst),
                at: None,
            },
            bounds,
        }
    }

    pub(super) fn find(&mut self, key: &CacheKey, now: Instant) -> Option<Answer<T>> {
        let good = self.good.find(key);
        let counts = |(_, until): &(Answer<T>, Instant)| *until > now;
        let found = good.filter(counts);
        let found = found.or_else(|| self.others.find(key).filter(counts));
        found.map(|(answer, _)| answer)
    }

    pub(super) fn next(&mut self, key: CacheKey, asked: Asked, now: Instant) -> Next {
        match self.find(&key, now) {
            Some(Answer::Good(_) | Answer::Refused(_)) => return Next::Known,
            Some(Answer::Failed) => return Next::Refused,
            None => {}
        }
        let bounds = self.bounds;
        if self.share(asked).waiting >= bounds.waiting {
            return Next::Refused;
        }
        if let Some(ended) = self.under_way.get(&key).cloned() {
            self.share(asked).waiting += 1;
            return Next::Join(ended);
        }
        let is_spent = asked == Asked::Opaque && !self.unknown.has_some(&bounds, now);
        let share = self.share(asked);
        if is_spent || share.under_way >= bounds.under_way {
            return Next::Refused;
        }
        share.under_way += 1;
        share.waiting += 1;
        let (end, ended) = watch::channel(());
        self.under_way.insert(key, ended.clone());
        Next::Ask(ended, end)
    }

    pub(super) fn keep(&mut self, key: CacheKey, asked: Asked, answer: Answer<T>, until: Instant) {
        if asked == Asked::Opaque && matches!(answer, Answer::Refused(_)) {
            self.unknown.left -= 1.0;
        }
        let kept = match &answer {
            Answer::Good(_) => &mut self.good,
            Answer::Refused(_) | Answer::Failed => &mut self.others,
        };
        kept.keep(key, (answer, until));
    }

    pub(super) fn end(&mut self, key: &CacheKey, asked: Asked) {
        self.under_way.remove(key);
        self.share(asked).under_way -= 1;
    }

    pub(super) fn leave(&mut self, asked: Asked) {
        self.share(asked).waiting -= 1;
    }

    fn share(&mut self, asked: Asked) -> &mut Share {
        match asked {
            Asked::Verified => &mut self.verified,
            Asked::Opaque => &mut self.opaque,
        }
    }
}

impl Budget {
    fn has_some(&mut self, bounds: &AskingBounds, now: Instant) -> bool {
        let before = self.at.replace(now).unwrap_or(now);
        let since = now.saturating_duration_since(before).as_secs_f64();
        let more = since * f64::from(bounds.unknown_each_second);
        self.left = (self.left + more).min(f64::from(bounds.unknown_burst));
        self.left >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions() -> Questions<()> {
        Questions::new(AskingBounds {
            under_way: 2,
            waiting: 3,
            unknown_burst: 4,
            unknown_each_second: 1,
            kept: 64,
        })
    }

    fn key(n: usize) -> CacheKey {
        CacheKey::of(&n.to_be_bytes())
    }

    #[test]
    fn one_question_about_a_token_and_bounded_many_wait() {
        let (mut questions, now) = (questions(), Instant::now());
        let is_ask = |next: &Next| matches!(next, Next::Ask(..));
        assert!(is_ask(&questions.next(key(1), Asked::Opaque, now)));
        let again = questions.next(key(1), Asked::Opaque, now);
        assert!(matches!(again, Next::Join(_)));
        assert!(is_ask(&questions.next(key(2), Asked::Opaque, now)));
        // Three wait.
        let more = questions.next(key(1), Asked::Opaque, now);
        assert!(matches!(more, Next::Refused));
        questions.leave(Asked::Opaque);
        // Two are under way.
        let more = questions.next(key(3), Asked::Opaque, now);
        assert!(matches!(more, Next::Refused));
        // What was verified has a share of its own.
        assert!(is_ask(&questions.next(key(4), Asked::Verified, now)));
        questions.end(&key(1), Asked::Opaque);
        assert!(is_ask(&questions.next(key(3), Asked::Opaque, now)));
    }

    #[test]
    fn answers_count_until_they_do_not() {
        let (mut questions, now) = (questions(), Instant::now());
        let until = now + Duration::from_secs(5);
        questions.keep(key(1), Asked::Verified, Answer::Refused("inactive"), until);
        let known = questions.next(key(1), Asked::Verified, now);
        assert!(matches!(known, Next::Known));
        assert!(questions.find(&key(1), until).is_none());
        questions.keep(key(2), Asked::Verified, Answer::Failed, until);
        let failed = questions.next(key(2), Asked::Verified, now);
        assert!(matches!(failed, Next::Refused));
        assert!(matches!(
            questions.next(key(2), Asked::Verified, until),
            Next::Ask(..)
        ));
    }

    #[test]
    fn made_up_tokens_cause_few_questions_and_hinder_no_verified_one() {
        let (mut questions, now) = (questions(), Instant::now());
        let ask = |questions: &mut Questions<()>, n, now| {
            let asks = matches!(questions.next(key(n), Asked::Opaque, now), Next::Ask(..));
            if asks {
                let until = now + REFUSED_AGE;
                questions.keep(key(n), Asked::Opaque, Answer::Refused("inactive"), until);
                questions.end(&key(n), Asked::Opaque);
                questions.leave(Asked::Opaque);
            }
            asks
        };
        let asked = (0..1000).filter(|n| ask(&mut questions, *n, now)).count();
        assert_eq!(asked, 4);
        let later = now + Duration::from_secs(2);
        let asked = (1000..2000)
            .filter(|n| ask(&mut questions, *n, later))
            .count();
        assert_eq!(asked, 2);
        let verified = questions.next(key(9999), Asked::Verified, later);
        assert!(matches!(verified, Next::Ask(..)));
    }
}
