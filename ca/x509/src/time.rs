//! Between `jiff::Timestamp` and RFC 5280's `Time`, in whole seconds.

use der::{
    DateTime,
    asn1::{GeneralizedTime, UtcTime},
};
use jiff::Timestamp;
use std::time::Duration;
use x509_cert::time::{Time, Validity};

/// `Time` for a certificate or CRL: UTCTime to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5). Fractions of a second
/// are cut.
///
/// # Errors
/// A `der` error outside 1970..=9999.
pub fn to_x509(at: Timestamp) -> der::Result<Time> {
    let date_time = to_date_time(at)?;
    Ok(match UtcTime::from_date_time(date_time) {
        Ok(utc) => Time::UtcTime(utc),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_date_time(date_time)),
    })
}

/// `GeneralizedTime`, as OCSP uses it throughout. Fractions of a second are cut.
///
/// # Errors
/// A `der` error outside 1970..=9999.
pub fn to_generalized(at: Timestamp) -> der::Result<GeneralizedTime> {
    Ok(GeneralizedTime::from_date_time(to_date_time(at)?))
}

fn to_date_time(at: Timestamp) -> der::Result<DateTime> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| der::ErrorKind::DateTime)?;
    DateTime::from_unix_duration(Duration::from_secs(seconds))
}

/// A `Time` as timestamp.
///
/// # Errors
/// A `jiff` error beyond its range, which 9999-12-31 isn't.
pub fn from_x509(time: &Time) -> Result<Timestamp, jiff::Error> {
    from_unix(time.to_unix_duration())
}

/// A `GeneralizedTime` as timestamp.
///
/// # Errors
/// A `jiff` error beyond its range, which 9999-12-31 isn't.
pub fn from_generalized(time: &GeneralizedTime) -> Result<Timestamp, jiff::Error> {
    from_unix(time.to_unix_duration())
}

fn from_unix(since_epoch: Duration) -> Result<Timestamp, jiff::Error> {
    Timestamp::from_second(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
}

/// `Validity` from notBefore and notAfter.
///
/// # Errors
/// A `der` error outside 1970..=9999.
pub fn validity(not_before: Timestamp, not_after: Timestamp) -> der::Result<Validity> {
    Ok(Validity::new(to_x509(not_before)?, to_x509(not_after)?))
}
