//! Writes and reads times as RFC 3339 in UTC. Years count from March inside, so that the leap day is the last day of a
//! year (Howard Hinnant's `days_from_civil`).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// The calendar repeats every 400 years, which have this many days.
const DAYS_IN_ERA: i64 = 146_097;
/// Days between 0000-03-01 and 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

/// A date and a time of day in UTC. Months and days count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Utc {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Utc {
    /// Of seconds since 1970; negative ones are before it.
    pub(crate) fn at(seconds: i64) -> Self {
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

impl fmt::Display for Utc {
    /// `2026-11-21 20:59:03 UTC`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

/// `2026-11-21T20:59:03.120Z`; times before 1970 are shown as 1970.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // A clock that far ahead is wrong in any case.
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let utc = Utc::at(seconds);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        utc.year,
        utc.month,
        utc.day,
        utc.hour,
        utc.minute,
        utc.second,
        since.subsec_millis()
    )
}

/// Seconds since 1970; 0 before.
#[must_use]
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Nanoseconds since 1970; 0 before.
#[must_use]
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970; 0 before.
#[must_use]
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time that is so long ago, in milliseconds since 1970; 0 for None.
pub(crate) fn milliseconds_ago(age: Option<Duration>) -> u64 {
    age.and_then(|age| SystemTime::now().checked_sub(age))
        .map_or(0, milliseconds)
}

/// The time of a field of HTTP such as `Sat, 21 Nov 2026 20:59:03 GMT` (RFC 9110, 5.6.7); None for the obsolete forms.
pub(crate) fn parse_http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let (day, month) = (parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let (year, clock) = (parts.next()?, parts.next()?);
    if (parts.next(), parts.next()) != (Some("GMT"), None) {
        return None;
    }
    parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}Z"))
}

/// The time in a text such as `2026-11-21T20:59:03Z` or `2026-11-21T21:59+01:00` (RFC 3339; seconds may be left out).
/// None if the text is malformed or the time is before 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-');
    let year = digits(date.next()?, 4)?;
    let month = digits(date.next()?, 2).filter(|m| (1..=12).contains(m))?;
    let day = digits(date.next()?, 2).filter(|d| (1..=31).contains(d))?;
    let days = days_since_1970(year, month, day);
    if days < 0 {
        return None;
    }
    // The way back differs for a day that its month does not have, such as 30 February.
    if date.next().is_some() || civil(days) != (year, month, day) {
        return None;
    }
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let mut clock = clock.split(':');
    let hour = digits(clock.next()?, 2).filter(|h| *h < 24)?;
    let minute = digits(clock.next()?, 2).filter(|m| *m < 60)?;
    let (second, fraction) = match clock.next() {
        Some(second) => second.split_once('.').unwrap_or((second, "0")),
        None => ("00", "0"),
    };
    // 60 is a leap second (RFC 3339, 5.6); it counts as the next second.
    let second = digits(second, 2).filter(|s| *s <= 60)?;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    if clock.next().is_some() || !is_fraction {
        return None;
    }
    // The fraction may have any number of digits; more than three are cut.
    let milliseconds = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    let time = UNIX_EPOCH + since + Duration::from_millis(milliseconds);
    let (sign, offset) = zone.split_at(1);
    if matches!(sign, "Z" | "z") {
        return offset.is_empty().then_some(time);
    }
    let (hours, minutes) = offset.split_once(':')?;
    let hours = digits(hours, 2).filter(|h| *h < 24)?;
    let minutes = digits(minutes, 2).filter(|m| *m < 60)?;
    let offset = Duration::from_secs(u64::try_from(hours * 3600 + minutes * 60).ok()?);
    match sign {
        // A local time ahead of UTC is that much earlier in UTC.
        "+" => time.checked_sub(offset).filter(|t| *t >= UNIX_EPOCH),
        _ => time.checked_add(offset),
    }
}

fn digits(text: &str, count: usize) -> Option<i64> {
    // Checked by hand, because `parse` accepts a plus sign.
    let all = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

/// The inverse of [`civil`].
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_IN_ERA + day_of_era - DAYS_BEFORE_1970
}

/// Days since 1970-01-01 as a proleptic Gregorian date: years of 400-year eras that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_IN_ERA), days.rem_euclid(DAYS_IN_ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let read = |text| parse_http_date(text).map(rfc3339);
        let expected = "1994-11-06T08:49:37.000Z".to_owned();
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(expected));
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Feb 1994 08:49:37 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn known_times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(rfc3339(time), expected);
            assert_eq!(parse_rfc3339(expected), Some(time));
        }
    }

    #[test]
    fn times_before_1970() {
        for (seconds, expected) in [
            (-1, "1969-12-31 23:59:59 UTC"),
            (-86_400, "1969-12-31 00:00:00 UTC"),
            (-2_203_891_201, "1900-02-28 23:59:59 UTC"),
            (-2_203_891_200, "1900-03-01 00:00:00 UTC"),
            (-62_135_596_800, "0001-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(Utc::at(seconds).to_string(), expected);
        }
    }

    #[test]
    fn times_as_people_write_them() {
        for (text, expected) in [
            ("2026-11-21T20:59:03.120Z", Some("2026-11-21T20:59:03.120Z")),
            ("2026-11-21T20:59Z", Some("2026-11-21T20:59:00.000Z")),
            ("2026-11-21 20:59:03z", Some("2026-11-21T20:59:03.000Z")),
            (
                "2026-01-01T00:30:00+01:00",
                Some("2025-12-31T23:30:00.000Z"),
            ),
            (
                "2026-01-01T00:30:00.5-02:30",
                Some("2026-01-01T03:00:00.500Z"),
            ),
            ("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00.000Z")),
            ("2026-02-29T00:00:00Z", None),
            ("2026-11-21T20:59:03", None),
            ("2026-11-21", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-21T24:00:00Z", None),
            ("2026-11-21T20:59:03.Z", None),
            ("2026-11-21T20:59:03Zx", None),
            ("+026-11-21T20:59:03Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("", None),
        ] {
            let parsed = parse_rfc3339(text).map(rfc3339);
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }
}
