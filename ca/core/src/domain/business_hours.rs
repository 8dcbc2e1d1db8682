//! 取得できる時間帯 (rule 3): certificates are obtained on bank business days from 9:00 to 21:00 Japan time.
//!
//! National holidays, with substitute and "between" holidays, come from `jpholiday`, which computes them from the law,
//! and the bank overrides single days. The equinoxes are computed as well, up to [`LAST_YEAR`]; beyond it no day is a
//! business day, so that the service refuses rather than guesses.

use std::collections::BTreeSet;

use jiff::{
    Timestamp,
    civil::{Date, Weekday},
};
use jpholiday::{chrono::NaiveDate, jpholiday::JPHoliday};

use super::validity::{at_japan, japan_date};

/// The last year whose holidays can be computed.
pub const LAST_YEAR: i16 = 2099;

/// Days to look ahead for the next business day; Japan's longest closure so far was ten days.
const LONGEST_CLOSURE_DAYS: usize = 60;

/// When certificates can be obtained. Renewal, login and revocation are not bound to hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuingHours {
    /// 9:00 to 21:00 on the bank's business days.
    BankBusinessHours(BankCalendar),
    /// At any time. For demonstrations and tests: in production it breaks rule 3.
    AlwaysOpenForDemonstration,
}

/// The bank's business days: not Saturday, Sunday, national holiday, nor 31 December to 3 January, unless the bank
/// says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankCalendar {
    closed: BTreeSet<Date>,
    open: BTreeSet<Date>,
}

/// A day that the bank's calendar calls both open and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is listed both as an open and as a closed day")]
pub struct ContradictoryDay(pub Date);

impl BankCalendar {
    /// The ordinary calendar with the bank's own `closed` and `open` days.
    ///
    /// # Errors
    /// [`ContradictoryDay`] for a day that is in both.
    pub fn new(
        closed: impl IntoIterator<Item = Date>,
        open: impl IntoIterator<Item = Date>,
    ) -> Result<Self, ContradictoryDay> {
        let calendar = Self { closed: closed.into_iter().collect(), open: open.into_iter().collect() };
        match calendar.closed.intersection(&calendar.open).next() {
            Some(day) => Err(ContradictoryDay(*day)),
            None => Ok(calendar),
        }
    }

    /// Whether the bank is open on that day.
    pub fn is_business_day(&self, day: Date) -> bool {
        if self.open.contains(&day) {
            return true;
        }
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        let turn_of_year = matches!((day.month(), day.day()), (12, 31) | (1, 1..=3));
        let beyond = day.year() > LAST_YEAR;
        !(self.closed.contains(&day) || weekend || turn_of_year || beyond || is_national_holiday(day))
    }
}

/// 国民の祝日, 振替休日 or 国民の休日.
fn is_national_holiday(day: Date) -> bool {
    let converted = NaiveDate::from_ymd_opt(
        day.year().into(),
        day.month().unsigned_abs().into(),
        day.day().unsigned_abs().into(),
    );
    converted.is_some_and(|day| JPHoliday::new().is_holiday(&day))
}

impl IssuingHours {
    /// Whether certificates can be obtained at `now`.
    pub fn are_open(&self, now: Timestamp) -> bool {
        self.opens_next(now) == Some(now)
    }

    /// The first moment from `now` on at which certificates can be obtained: `now` itself when they can be, `None`
    /// beyond the calendar.
    pub fn opens_next(&self, now: Timestamp) -> Option<Timestamp> {
        let calendar = match self {
            Self::AlwaysOpenForDemonstration => return Some(now),
            Self::BankBusinessHours(calendar) => calendar,
        };
        let days = japan_date(now).series(jiff::Span::new().days(1)).take(LONGEST_CLOSURE_DAYS);
        days.filter(|day| calendar.is_business_day(*day)).find_map(|day| {
            let opens = at_japan(day, jiff::civil::time(9, 0, 0, 0)).ok()?;
            let closes = at_japan(day, jiff::civil::time(21, 0, 0, 0)).ok()?;
            (now < closes).then_some(opens.max(now))
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn bank() -> IssuingHours {
        IssuingHours::BankBusinessHours(BankCalendar::default())
    }

    /// Rule 3, 取得できる時間帯: "not Saturday, Sunday, national holiday (incl. substitute and "between" holidays), nor
    /// 31 December to 3 January". The holidays of 2026 and 2027 as the Cabinet Office published them.
    #[test]
    fn rule_3_the_holidays_are_those_that_the_government_published() {
        let published = [
            (
                2026,
                vec![
                    (1, 1),
                    (1, 12),
                    (2, 11),
                    (2, 23),
                    (3, 20),
                    (4, 29),
                    (5, 3),
                    (5, 4),
                    (5, 5),
                    (5, 6),
                    (7, 20),
                    (8, 11),
                    (9, 21),
                    (9, 22),
                    (9, 23),
                    (10, 12),
                    (11, 3),
                    (11, 23),
                ],
            ),
            (
                2027,
                vec![
                    (1, 1),
                    (1, 11),
                    (2, 11),
                    (2, 23),
                    (3, 21),
                    (3, 22),
                    (4, 29),
                    (5, 3),
                    (5, 4),
                    (5, 5),
                    (7, 19),
                    (8, 11),
                    (9, 20),
                    (9, 23),
                    (10, 11),
                    (11, 3),
                    (11, 23),
                ],
            ),
        ];
        for (year, expected) in published {
            let days =
                date(year, 1, 1).series(jiff::Span::new().days(1)).take_while(|day| day.year() == year);
            let found: Vec<(i8, i8)> =
                days.filter(|day| is_national_holiday(*day)).map(|day| (day.month(), day.day())).collect();
            assert_eq!(found, expected, "{year}");
        }
    }

    /// Rule 3: "bank business days, 9:00 to 21:00 Japan time … Outside these hours the refusal says when it opens
    /// next."
    #[test]
    fn rule_3_closed_hours_say_when_they_end() {
        for (now, opens) in [
            ("2026-11-24T09:00:00+09", "2026-11-24T09:00:00+09"),
            ("2026-11-24T20:59:59.999+09", "2026-11-24T20:59:59.999+09"),
            ("2026-11-24T08:59:59+09", "2026-11-24T09:00:00+09"),
            ("2026-11-24T21:00:00+09", "2026-11-25T09:00:00+09"),
            // Friday evening before a weekend and 勤労感謝の日.
            ("2026-11-20T21:00:00+09", "2026-11-24T09:00:00+09"),
            // Sunday in Japan, Saturday in UTC.
            ("2026-11-21T16:00:00Z", "2026-11-24T09:00:00+09"),
            // シルバーウィーク: 22 September 2026 is a "between" holiday.
            ("2026-09-18T21:00:00+09", "2026-09-24T09:00:00+09"),
            // 年末年始: 31 December 2026 is a Thursday, 4 January 2027 a Monday.
            ("2026-12-30T21:00:00+09", "2027-01-04T09:00:00+09"),
        ] {
            assert_eq!(bank().opens_next(at(now)), Some(at(opens)), "at {now}");
            assert_eq!(bank().are_open(at(now)), now == opens, "at {now}");
        }
    }

    /// Rule 3: "Calendar overridable by the bank (a file of extra closed / open days)."
    #[test]
    fn rule_3_the_bank_overrides_single_days() {
        let calendar = BankCalendar::new([date(2026, 11, 24)], [date(2026, 11, 22)]).expect("a calendar");
        assert!(calendar.is_business_day(date(2026, 11, 22)), "an extra open Sunday");
        assert!(!calendar.is_business_day(date(2026, 11, 24)), "an extra closed Tuesday");
        let hours = IssuingHours::BankBusinessHours(calendar);
        assert_eq!(hours.opens_next(at("2026-11-22T21:00:00+09")), Some(at("2026-11-25T09:00:00+09")));
        let day = date(2026, 11, 24);
        assert_eq!(BankCalendar::new([day], [day]), Err(ContradictoryDay(day)));
    }

    #[test]
    fn beyond_the_calendar_nothing_opens() {
        assert!(bank().opens_next(at("2099-12-01T10:00:00+09")).is_some());
        assert_eq!(bank().opens_next(at("2100-01-04T10:00:00+09")), None);
        let always = IssuingHours::AlwaysOpenForDemonstration;
        assert!(always.are_open(at("2100-01-01T03:00:00+09")));
    }
}
