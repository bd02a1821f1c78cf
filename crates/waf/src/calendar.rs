//! Dates and times of day in UTC, from seconds since 1970: for `TIME...` variables and for records.

/// A moment in UTC.
pub(crate) struct UtcTime {
    pub year: u64,
    /// From 1.
    pub month: u64,
    pub day: u64,
    /// Sunday is 0.
    pub weekday: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
}

impl UtcTime {
    /// Days to a date by the civil calendar's 400-year cycle, counted from 1 March 0000.
    pub(crate) fn at(epoch: u64) -> Self {
        let days = epoch / 86_400;
        // The days from 1 March 0000 to 1 January 1970. A year that begins in March has its leap day at its end.
        let shifted = days + 719_468;
        // The days of 400 years, after which the calendar repeats itself.
        let cycle = shifted / 146_097;
        let day_of_cycle = shifted % 146_097;
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524
            - day_of_cycle / 146_096)
            / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        // From March on, each five months have 153 days.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Self {
            year: cycle * 400 + year_of_cycle + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            // 1 January 1970 was a Thursday.
            weekday: (days + 4) % 7,
            hour: epoch / 3600 % 24,
            minute: epoch / 60 % 60,
            second: epoch % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right() {
        let c = UtcTime::at(1_709_208_000); // 2024-02-29 12:00:00, a Thursday
        assert_eq!(
            (c.year, c.month, c.day, c.weekday, c.hour),
            (2024, 2, 29, 4, 12)
        );
        let c = UtcTime::at(0);
        assert_eq!((c.year, c.month, c.day, c.weekday), (1970, 1, 1, 4));
    }
}
