//! How the limits of a route differ from one configuration to the next, in words.

use serde::{Deserialize, Serialize};

use crate::limits::{Action, Limit, Rate};

/// A limit that requests of a route ask. The format is that of [`Surface`](super::Surface).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceLimit {
    /// Its name.
    pub name: String,
    /// Like `100/s`.
    pub rate: String,
    /// How much is allowed at once.
    pub burst: u64,
    /// The parts of its key.
    pub key: Vec<String>,
    /// What it counts.
    pub count: String,
    /// What becomes of a request that is too much.
    pub action: String,
}

impl From<&Limit> for SurfaceLimit {
    fn from(limit: &Limit) -> Self {
        let settings = &limit.settings;
        Self {
            name: limit.name.clone(),
            rate: settings.rate.to_string(),
            burst: settings.burst,
            key: settings.key.iter().map(ToString::to_string).collect(),
            count: settings.count.to_string(),
            action: settings.action.name().to_owned(),
        }
    }
}

impl SurfaceLimit {
    fn words(&self) -> String {
        format!(
            "{} {} by {}, burst {}, action {}",
            self.rate,
            self.count,
            self.key.join(" and "),
            self.burst,
            self.action
        )
    }

    /// What of it differs, each with whether it refuses less (true), more (false), or neither is sure (None).
    fn differences(&self, next: &Self) -> Vec<(String, Option<bool>)> {
        let mut found = Vec::new();
        if self.rate != next.rate {
            let looser = match (self.rate.parse::<Rate>(), next.rate.parse::<Rate>()) {
                (Ok(old), Ok(new)) if new.allows_more_than(old) => Some(true),
                (Ok(old), Ok(new)) if old.allows_more_than(new) => Some(false),
                _ => None,
            };
            found.push((format!("rate {} -> {}", self.rate, next.rate), looser));
        }
        if self.burst != next.burst {
            let words = format!("burst {} -> {}", self.burst, next.burst);
            found.push((words, Some(next.burst > self.burst)));
        }
        if self.action != next.action {
            let looser = match (action(&self.action), action(&next.action)) {
                (Some(old), Some(new)) => Some(new < old),
                _ => None,
            };
            found.push((format!("action {} -> {}", self.action, next.action), looser));
        }
        // Another key or count is another limit under the same name: nobody can say which one refuses more.
        if self.key != next.key {
            let (old, new) = (self.key.join(" and "), next.key.join(" and "));
            found.push((format!("key {old} -> {new}"), None));
        }
        if self.count != next.count {
            found.push((format!("count {} -> {}", self.count, next.count), None));
        }
        found
    }
}

fn action(name: &str) -> Option<Action> {
    let mut all = Action::ALL.iter();
    all.find(|(known, _)| *known == name)
        .map(|(_, action)| *action)
}

/// Each limit that is removed, added, loosened or tightened.
pub(super) fn differences(old: &[SurfaceLimit], new: &[SurfaceLimit]) -> Vec<String> {
    fn named<'l>(limits: &'l [SurfaceLimit], name: &str) -> Option<&'l SurfaceLimit> {
        limits.iter().find(|limit| limit.name == name)
    }
    let mut words = Vec::new();
    for limit in old {
        let name = &limit.name;
        let Some(next) = named(new, name) else {
            words.push(format!("limit {name} removed ({})", limit.words()));
            continue;
        };
        let found = limit.differences(next);
        let what = match (
            found.iter().all(|(_, looser)| *looser == Some(true)),
            found.iter().all(|(_, looser)| *looser == Some(false)),
        ) {
            _ if found.is_empty() => continue,
            (true, _) => "loosened",
            (_, true) => "tightened",
            _ => "changed",
        };
        let found: Vec<_> = found.into_iter().map(|(words, _)| words).collect();
        words.push(format!("limit {name} {what}: {}", found.join(", ")));
    }
    for limit in new.iter().filter(|limit| named(old, &limit.name).is_none()) {
        words.push(format!("limit {} added ({})", limit.name, limit.words()));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: &str, burst: u64, action: &str, key: &str) -> SurfaceLimit {
        SurfaceLimit {
            name: "it".to_owned(),
            rate: rate.to_owned(),
            burst,
            key: vec![key.to_owned()],
            count: "requests".to_owned(),
            action: action.to_owned(),
        }
    }

    #[test]
    fn each_difference_says_in_which_direction() {
        let old = limit("1/s", 5, "429", "client");
        for (next, expected) in [
            (limit("1/s", 5, "429", "client"), None),
            (
                limit("2/s", 5, "429", "client"),
                Some("limit it loosened: rate 1/s -> 2/s"),
            ),
            (
                limit("59/m", 4, "429", "client"),
                Some("limit it tightened: rate 1/s -> 59/m, burst 5 -> 4"),
            ),
            (
                limit("2/s", 4, "429", "client"),
                Some("limit it changed: rate 1/s -> 2/s, burst 5 -> 4"),
            ),
            (
                limit("1/s", 5, "log", "client"),
                Some("limit it loosened: action 429 -> log"),
            ),
            (
                limit("1/s", 5, "close", "client"),
                Some("limit it tightened: action 429 -> close"),
            ),
            (
                limit("1/s", 5, "429", "host"),
                Some("limit it changed: key client -> host"),
            ),
        ] {
            let found = differences(std::slice::from_ref(&old), &[next]);
            assert_eq!(found.first().map(String::as_str), expected);
        }
        let words = "1/s requests by client, burst 5, action 429";
        let one = [old];
        assert_eq!(
            differences(&one, &[]),
            [format!("limit it removed ({words})")]
        );
        assert_eq!(
            differences(&[], &one),
            [format!("limit it added ({words})")]
        );
    }
}
