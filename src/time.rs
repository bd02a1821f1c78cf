//! Writes and reads times as RFC 3339 in UTC. Years count from March inside, so that the leap day is the last day of a
//! year (Howard Hinnant's `days_from_civil`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-21T20:59:03.120Z`; times before 1970 are shown as 1970.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
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
    let days = days_since_1970(year, month, day)?;
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
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(milliseconds);
    let (sign, offset) = zone.split_at(1);
    if matches!(sign, "Z" | "z") {
        return offset.is_empty().then_some(time);
    }
    let (hours, minutes) = offset.split_once(':')?;
    let hours = digits(hours, 2).filter(|h| *h < 24)?;
    let minutes = digits(minutes, 2).filter(|m| *m < 60)?;
    let offset = Duration::from_secs(hours * 3600 + minutes * 60);
    match sign {
        // A local time ahead of UTC is that much earlier in UTC.
        "+" => time.checked_sub(offset).filter(|t| *t >= UNIX_EPOCH),
        _ => time.checked_add(offset),
    }
}

fn digits(text: &str, count: usize) -> Option<u64> {
    // Checked by hand, because `parse` accepts a plus sign.
    let all = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

/// The inverse of [`civil`].
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    // The calendar repeats every 400 years, which have 146,097 days.
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

/// Days since 1970-01-01 as a Gregorian date: years of 400-year eras that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
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
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

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
