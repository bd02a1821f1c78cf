//! What a limit is set to, and how its parts are written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::error::SettingsError;
use super::key::KeyPart;

const SECOND: u64 = 1_000_000_000;
const MOST: u64 = 1_000_000_000;
/// A bucket that takes longer to fill is most likely a typing error.
const LONGEST_WINDOW: u64 = 366 * 24 * 3600 * SECOND;

/// Everything that a limit decides by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// How much is allowed in the long run.
    pub rate: Rate,
    /// How much is allowed at once.
    pub burst: u64,
    /// Requests with equal parts share a bucket.
    pub key: Vec<KeyPart>,
    /// What is counted.
    pub count: Count,
    /// What becomes of a request that is too much.
    pub action: Action,
    /// Whether answers that pass have the `RateLimit` fields too.
    pub tell: bool,
    /// For how many keys there is room.
    pub max_keys: usize,
    /// How long a tarpit holds a request.
    pub delay: Duration,
}

/// So many in a second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub(super) count: u64,
    pub(super) period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Second,
    Minute,
    Hour,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Each request that is asked about.
    Requests,
    /// Requests that the rules stopped.
    Blocked,
    /// Requests that were answered with this status, by the gateway or by us.
    Status(u16),
    /// The bytes of bodies, in both directions.
    Bytes,
    /// Microseconds that the rules worked.
    Cost,
}

/// What becomes of a request that is too much. In the order of strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It passes, and is counted.
    Log,
    /// 429
    TooMany,
    /// It is held for a while, then 429.
    Tarpit,
    /// 403
    Block,
    /// The connection is closed without an answer.
    Close,
}

impl Rate {
    /// The burst where none is written: what the rate allows in its period.
    #[must_use]
    pub fn default_burst(self) -> u64 {
        self.count
    }

    /// In nanoseconds.
    pub(super) fn period(self) -> u64 {
        match self.period {
            Period::Second => SECOND,
            Period::Minute => 60 * SECOND,
            Period::Hour => 3600 * SECOND,
        }
    }

    /// Whether a bucket of this burst fills again within a year.
    #[must_use]
    pub fn takes_burst(self, burst: u64) -> bool {
        let one = self.period().div_ceil(self.count.max(1));
        one.checked_mul(burst)
            .is_some_and(|window| window <= LONGEST_WINDOW)
    }

    /// Of how many parts this allows more in the long run: compared without rounding.
    #[must_use]
    pub fn allows_more_than(self, other: Self) -> bool {
        let scaled = |a: Self, b: Self| u128::from(a.count) * u128::from(b.period());
        scaled(self, other) > scaled(other, self)
    }
}

impl FromStr for Rate {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let wrong = || {
            SettingsError(format!(
                "\"{text}\" is no rate: write a number from 1 to {MOST} and /s, /m or /h, like \"100/s\""
            ))
        };
        let (count, period) = text.split_once('/').ok_or_else(wrong)?;
        let is_number = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let count = count.parse().ok().filter(|_| is_number);
        let count = count.filter(|count| (1..=MOST).contains(count));
        let period = match period {
            "s" => Period::Second,
            "m" => Period::Minute,
            "h" => Period::Hour,
            _ => return Err(wrong()),
        };
        Ok(Self {
            count: count.ok_or_else(wrong)?,
            period,
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Second => 's',
            Period::Minute => 'm',
            Period::Hour => 'h',
        };
        write!(f, "{}/{period}", self.count)
    }
}

impl FromStr for Count {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let status = text.strip_prefix("status:").map(str::parse::<u16>);
        match (text, status) {
            ("requests", _) => Ok(Self::Requests),
            ("blocked", _) => Ok(Self::Blocked),
            ("bytes", _) => Ok(Self::Bytes),
            ("cost", _) => Ok(Self::Cost),
            (_, Some(Ok(status @ 200..=599))) => Ok(Self::Status(status)),
            _ => Err(SettingsError(format!(
                "\"{text}\" is nothing to count: write \"requests\", \"blocked\", \"status:401\", \"bytes\" or \"cost\""
            ))),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests => f.write_str("requests"),
            Self::Blocked => f.write_str("blocked"),
            Self::Status(status) => write!(f, "status:{status}"),
            Self::Bytes => f.write_str("bytes"),
            Self::Cost => f.write_str("cost"),
        }
    }
}

impl Action {
    /// The words of the configuration, with what they mean.
    pub const ALL: [(&'static str, Self); 5] = [
        ("429", Self::TooMany),
        ("block", Self::Block),
        ("close", Self::Close),
        ("tarpit", Self::Tarpit),
        ("log", Self::Log),
    ];

    /// As the configuration writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        let found = all.find(|(_, action)| *action == self);
        found.map_or("429", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_in_a_period() {
        for text in ["100/s", "1/h", "60/m", "1000000000/s"] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
        }
        for text in ["0/s", "+1/s", "1", "/s", "1/d", "1000000001/s", "1.5/s", ""] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_compare_over_periods() {
        let rate = |text: &str| text.parse::<Rate>().unwrap();
        assert!(rate("1/s").allows_more_than(rate("59/m")));
        assert!(!rate("1/s").allows_more_than(rate("60/m")));
        assert!(rate("61/m").allows_more_than(rate("1/s")));
        assert!(!rate("1/h").takes_burst(10_000));
        assert!(rate("1/h").takes_burst(1000));
    }

    #[test]
    fn counts_are_words_or_a_status() {
        for text in ["requests", "blocked", "bytes", "cost", "status:401"] {
            assert_eq!(text.parse::<Count>().unwrap().to_string(), text);
        }
        for text in ["status:", "status:99", "status:600", "Requests", ""] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
    }
}
