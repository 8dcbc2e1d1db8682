//! Japan's calendar, by which users' days are counted, for a bank whose clock can be moved: every day of it is looked at at
//! noon, so that no midnight passes while a test runs, and a year has as many days as it has.

use jiff::{SignedDuration, Span, Timestamp, civil::time, tz::TimeZone};

pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The first day is the one of the next noon in Japan.
pub(crate) struct Calendar {
    /// How long it is until then.
    noon: SignedDuration,
    /// Days from the first day to the same date of the next year, on which a certificate of the first day ends.
    pub(crate) year: i32,
}

impl Calendar {
    pub(crate) fn begin() -> Self {
        let now = Timestamp::now().to_zoned(TimeZone::fixed(jiff::tz::offset(9)));
        let today =
            now.date().to_datetime(time(12, 0, 0, 0)).to_zoned(now.time_zone().clone()).expect("noon");
        let noon = if today < now { today.checked_add(DAY).expect("a day") } else { today };
        let next_year = noon.date().checked_add(Span::new().years(1)).expect("a year");
        let year = noon.date().until(next_year).expect("days").get_days();
        Self { noon: noon.timestamp().duration_since(now.timestamp()), year }
    }

    /// How far the clock is put forward at noon, so many days after the first.
    pub(crate) fn day(&self, number: i32) -> SignedDuration {
        self.noon + DAY * number
    }
}
