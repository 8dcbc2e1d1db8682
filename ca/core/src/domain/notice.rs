//! お知らせ (rule 6) as the home page shows them: what a certificate's remaining days call for. Days are Japan's.

use jiff::{Timestamp, Unit};

use super::validity::{RENEWAL_WINDOW_DAYS, japan_date};

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
