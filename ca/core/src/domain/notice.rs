//! お知らせ (rule 6) as the home page shows them: what a certificate's remaining days call for. Days are Japan's.

use jiff::{Span, Timestamp, Unit, civil::Time};

use super::validity::{RENEWAL_WINDOW_DAYS, at_japan, japan_date};

/// Days before the last day of a certificate on which the second notice is due.
const URGENT_DAYS: i64 = 10;

/// A notice about a certificate's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// From 40 days before its last day on: the renewal is open.
    RenewalOpen,
    /// From 10 days before its last day on.
    Urgent,
    /// It is its last day.
    LastDay,
}

/// The notice that is due at `now`; `None` before the renewal opens, and after `not_after`, when there is nothing left to
/// renew.
pub fn notice(now: Timestamp, not_after: Timestamp) -> Option<Notice> {
    if now > not_after {
        return None;
    }
    match days_left(now, not_after) {
        ..=0 => Some(Notice::LastDay),
        1..=URGENT_DAYS => Some(Notice::Urgent),
        days if days <= i64::from(RENEWAL_WINDOW_DAYS) => Some(Notice::RenewalOpen),
        _ => None,
    }
}

/// Certificates with the same last day, which are due the same notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueDay {
    /// The notice.
    pub notice: Notice,
    /// notAfter from then on …
    pub from: Timestamp,
    /// … and before then.
    pub until: Timestamp,
}

/// The last days of all certificates that are due a notice at `now`, today's first. Of the three notices each certificate
/// is due one at a time: who comes late gets the present one, not those that are past.
pub fn due_days(now: Timestamp) -> impl Iterator<Item = DueDay> {
    let today = japan_date(now);
    let midnight = move |days: i32| {
        let date = today.checked_add(Span::new().days(days)).ok()?;
        at_japan(date, Time::midnight()).ok()
    };
    (0..=RENEWAL_WINDOW_DAYS).filter_map(move |days| {
        let (from, until) = (midnight(days)?.max(now), midnight(days + 1)?);
        let last = until.checked_sub(Span::new().nanoseconds(1)).ok()?;
        Some(DueDay { notice: notice(now, last)?, from, until })
    })
}

/// Days from today to the last day of a certificate, both in Japan: 0 on the last day, negative after it.
pub fn days_left(now: Timestamp, not_after: Timestamp) -> i64 {
    let between = japan_date(now).until((Unit::Day, japan_date(not_after)));
    // Days between two dates of the calendar always fit.
    between.map_or(0, |span| i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    /// Rule 6: "40 days before, 10 days before and on the expiry day: on the home page after login".
    #[test]
    fn rule_6_notices_are_due_forty_and_ten_days_before_and_on_the_expiry_day() {
        let not_after = at("2027-11-22T23:59:59+09");
        for (now, expected) in [
            ("2026-11-22T10:00:00+09", None),
            ("2027-10-12T23:59:59+09", None),
            ("2027-10-13T00:00:00+09", Some(Notice::RenewalOpen)),
            ("2027-11-11T23:59:59+09", Some(Notice::RenewalOpen)),
            ("2027-11-12T00:00:00+09", Some(Notice::Urgent)),
            ("2027-11-21T23:59:59+09", Some(Notice::Urgent)),
            ("2027-11-22T00:00:00+09", Some(Notice::LastDay)),
            ("2027-11-22T23:59:59+09", Some(Notice::LastDay)),
            // "never after renewal or revocation", and not when there is nothing left to renew.
            ("2027-11-23T00:00:00+09", None),
        ] {
            assert_eq!(notice(at(now), not_after), expected, "at {now}");
        }
    }

    /// The days that the job asks for are those on which the home page shows the same notice.
    #[test]
    fn rule_6_every_certificate_is_due_on_one_day_at_most() {
        let now = at("2027-10-13T09:30:00+09");
        let days: Vec<DueDay> = due_days(now).collect();
        assert_eq!(days.len(), 41);
        assert_eq!((days[0].from, days[0].until), (now, at("2027-10-14T00:00:00+09")));
        for pair in days.windows(2) {
            assert_eq!(pair[0].until, pair[1].from);
        }
        for (days_left, day) in days.iter().enumerate() {
            let expected = match days_left {
                0 => Notice::LastDay,
                1..=10 => Notice::Urgent,
                _ => Notice::RenewalOpen,
            };
            assert_eq!(day.notice, expected, "{days_left} days before");
            for not_after in [day.from, at("2027-10-13T23:59:59+09").max(day.from)] {
                assert_eq!(notice(now, not_after), Some(expected));
            }
        }
        assert_eq!(days[40].until, at("2027-11-23T00:00:00+09"));
    }

    #[test]
    fn days_are_counted_by_japans_calendar() {
        let not_after = at("2027-11-22T23:59:59+09");
        for (now, days) in [
            ("2027-11-20T15:00:00Z", 1),
            ("2027-11-20T14:59:59Z", 2),
            ("2027-11-22T14:59:59Z", 0),
            ("2027-11-22T15:00:00Z", -1),
        ] {
            assert_eq!(days_left(at(now), not_after), days, "at {now}");
        }
    }
}
