//! 有効期間 (rule 2) and the window for 更新 (rule 5). Civil days are Japan's, which has had +09:00 without summer time
//! since 1951.

use jiff::{
    Span, Timestamp,
    civil::{Date, Time},
    tz::{Offset, TimeZone},
};

/// Japan's offset from UTC.
pub const JAPAN: Offset = jiff::tz::offset(9);

/// Days before the last day of a certificate on which its renewal opens (rule 5).
pub const RENEWAL_WINDOW_DAYS: i32 = 40;

/// From when to when a certificate is valid, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
}

/// Why there is no validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidityError {
    /// Rule 2: refused, never shortened.
    #[error("the certificate would be valid until {wanted}, longer than its issuer's own {issuer}")]
    IssuerExpires {
        /// The notAfter that rule 2 asks for.
        wanted: Timestamp,
        /// The issuer's notAfter.
        issuer: Timestamp,
    },
    /// The clock is outside the years that certificates can express.
    #[error("{0} is not a time at which certificates can be issued")]
    OutOfRange(Timestamp),
}

/// The validity of a certificate that is issued at `now`: from this second to 23:59:59 Japan time on the same date of
/// the next year, 28 February for 29 February.
///
/// # Errors
/// [`ValidityError::IssuerExpires`] when that is after `issuer_not_after`.
pub fn one_year(now: Timestamp, issuer_not_after: Timestamp) -> Result<Validity, ValidityError> {
    let out_of_range = |_| ValidityError::OutOfRange(now);
    let not_before = Timestamp::from_second(now.as_second()).map_err(out_of_range)?;
    let last_day = japan_date(now).checked_add(Span::new().years(1)).map_err(out_of_range)?;
    let not_after = at_japan(last_day, jiff::civil::time(23, 59, 59, 0)).map_err(out_of_range)?;
    if not_after > issuer_not_after {
        return Err(ValidityError::IssuerExpires { wanted: not_after, issuer: issuer_not_after });
    }
    Ok(Validity { not_before, not_after })
}

/// When the renewal of a certificate opens: midnight, Japan time, 40 days before its last day. The notice of rule 6
/// goes out on the same day.
pub fn renewal_opens(not_after: Timestamp) -> Timestamp {
    let first_day = japan_date(not_after).saturating_sub(Span::new().days(RENEWAL_WINDOW_DAYS));
    at_japan(first_day, Time::midnight()).unwrap_or(Timestamp::MIN)
}

/// Whether a certificate can be renewed at `now`: from 40 days before expiry to notAfter, that second included.
pub fn renewal_is_open(now: Timestamp, not_after: Timestamp) -> bool {
    (renewal_opens(not_after)..=not_after).contains(&now)
}

/// Today in Japan.
pub fn japan_date(at: Timestamp) -> Date {
    JAPAN.to_datetime(at).date()
}

/// A time of day in Japan as an instant.
///
/// # Errors
/// Only `jiff`'s, at the end of its range.
pub fn at_japan(date: Date, time: Time) -> Result<Timestamp, jiff::Error> {
    Ok(date.to_datetime(time).to_zoned(TimeZone::fixed(JAPAN))?.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    /// Rule 2, 有効期間: "notAfter = 23:59:59 Japan time on the same date of the next year (29 February → 28 February)".
    #[test]
    fn rule_2_validity_ends_on_the_same_date_of_the_next_year() {
        for (now, not_after) in [
            ("2026-11-22T10:00:00+09", "2027-11-22T23:59:59+09"),
            ("2026-11-22T00:00:00+09", "2027-11-22T23:59:59+09"),
            ("2026-11-22T23:59:59.9+09", "2027-11-22T23:59:59+09"),
            // In UTC it is still the day before.
            ("2026-12-31T15:00:00Z", "2028-01-01T23:59:59+09"),
            ("2028-02-29T12:00:00+09", "2029-02-28T23:59:59+09"),
            ("2027-02-28T12:00:00+09", "2028-02-28T23:59:59+09"),
            ("2027-03-01T00:00:00+09", "2028-03-01T23:59:59+09"),
        ] {
            let validity = one_year(at(now), at("2040-01-01T00:00:00Z")).expect("a validity");
            assert_eq!(validity.not_after, at(not_after), "issued at {now}");
            assert_eq!(validity.not_before.as_second(), at(now).as_second());
            assert_eq!(validity.not_before.subsec_nanosecond(), 0);
        }
    }

    /// Rule 2, 有効期間: "refused, never shortened, if that is beyond the issuer's own notAfter".
    #[test]
    fn rule_2_validity_beyond_the_issuer_is_refused_not_shortened() {
        let now = at("2026-11-22T10:00:00+09");
        let wanted = at("2027-11-22T23:59:59+09");
        assert!(one_year(now, wanted).is_ok(), "the same second is not beyond");
        let issuer = at("2027-11-22T23:59:58+09");
        assert_eq!(one_year(now, issuer), Err(ValidityError::IssuerExpires { wanted, issuer }));
    }

    /// Rule 5: "更新 opens 40 days before expiry and stays open to notAfter."
    #[test]
    fn rule_5_renewal_opens_forty_days_before_expiry() {
        let not_after = at("2027-11-22T23:59:59+09");
        assert_eq!(renewal_opens(not_after), at("2027-10-13T00:00:00+09"));
        for (now, open) in [
            ("2027-10-12T23:59:59+09", false),
            ("2027-10-13T00:00:00+09", true),
            ("2027-11-22T23:59:59+09", true),
            ("2027-11-23T00:00:00+09", false),
        ] {
            assert_eq!(renewal_is_open(at(now), not_after), open, "at {now}");
        }
    }

    proptest! {
        #[test]
        fn a_certificate_lives_between_365_and_367_days(second in 1_600_000_000_i64..4_000_000_000) {
            let now = Timestamp::from_second(second).expect("in range");
            let validity = one_year(now, Timestamp::MAX).expect("a validity");
            let seconds = validity.not_after.as_second() - second;
            prop_assert!((365 * 86_400 - 1..367 * 86_400).contains(&seconds), "{seconds} s");
        }
    }
}
