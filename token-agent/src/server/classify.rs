//! From what the HTTP client reports to what has happened, for people to be told.

use std::{error::Error, io};

use jiff::Timestamp;
use rustls::{CertificateError, pki_types::UnixTime};

use super::{BadCertificate, Hop, ServerError, trust::Presented};

/// What is known of the way when a request fails.
pub(super) struct Circumstances {
    /// `host:port` of the server.
    pub(super) server: String,
    /// `host:port` of the proxy, if there is one, and whether it was given a user name and password.
    pub(super) proxy: Option<(String, bool)>,
    /// A script (PAC) that would choose a proxy; it isn't run.
    pub(super) script: Option<String>,
    /// What was presented last.
    pub(super) presented: Option<Presented>,
}

impl Circumstances {
    /// What is connected to.
    fn hop(&self) -> Hop {
        match &self.proxy {
            Some((name, _)) => Hop { name: name.clone(), is_proxy: true, script: None },
            None => self.server(),
        }
    }

    pub(super) fn server(&self) -> Hop {
        Hop { name: self.server.clone(), is_proxy: false, script: self.script.clone() }
    }
}

/// Why a request failed.
pub(super) fn classify(error: reqwest::Error, known: &Circumstances) -> ServerError {
    // The address holds nothing secret, but nothing that helps either.
    let source = error.without_url();
    if let Some(tls) = cause::<rustls::Error>(&source) {
        return match tls {
            rustls::Error::InvalidCertificate(why) => {
                ServerError::Certificate(certificate(why, known.presented.as_ref()), source)
            }
            rustls::Error::NoCertificatesPresented => ServerError::Certificate(BadCertificate::Other, source),
            _ => ServerError::NotTls { hop: known.server(), source },
        };
    }
    let says = |words: &str| causes(&source).any(|cause| cause.to_string().contains(words));
    if let Some((proxy, given)) = &known.proxy {
        let (proxy, given) = (proxy.clone(), *given);
        if says("proxy authorization required") {
            return ServerError::ProxyAuthentication { proxy, given, schemes: Vec::new(), source };
        }
        if says("tunnel error: ") && !says("failed to create underlying connection") {
            return ServerError::ProxyRefused { proxy, status: None, source };
        }
    }
    if !source.is_connect() {
        return if source.is_timeout() {
            ServerError::Timeout(Some(source))
        } else {
            ServerError::Broken(source)
        };
    }
    let hop = known.hop();
    if says("dns error") {
        return ServerError::NameUnknown { hop, source };
    }
    match cause::<io::Error>(&source).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => ServerError::ConnectionRefused { hop, source },
        Some(io::ErrorKind::TimedOut) => ServerError::Silent { hop, source },
        _ if source.is_timeout() => ServerError::Silent { hop, source },
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
            ServerError::Broken(source)
        }
        _ => ServerError::Unreachable { hop, source },
    }
}

fn certificate(why: &CertificateError, presented: Option<&Presented>) -> BadCertificate {
    let time = |at: &UnixTime| Timestamp::from_second(i64::try_from(at.as_secs()).ok()?).ok();
    match why {
        CertificateError::Expired => {
            BadCertificate::Expired { not_after: presented.map(|presented| presented.not_after) }
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            BadCertificate::Expired { not_after: time(not_after) }
        }
        CertificateError::NotValidYet => {
            BadCertificate::NotYetValid { not_before: presented.map(|presented| presented.not_before) }
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            BadCertificate::NotYetValid { not_before: time(not_before) }
        }
        CertificateError::NotValidForName => BadCertificate::OtherName { names: Vec::new() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            BadCertificate::OtherName { names: presented.iter().map(|name| bare(name)).collect() }
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            BadCertificate::UnknownIssuer { issuer: presented.map(|presented| presented.issuer.clone()) }
        }
        _ => BadCertificate::Other,
    }
}

/// Without the library's quoting, such as `DnsName("portal.example")`.
fn bare(name: &str) -> String {
    let inner = name.split_once("(\"").and_then(|(_, rest)| rest.split_once('"'));
    inner.map_or(name, |(inner, _)| inner).to_owned()
}

/// The first error of this type behind `error`.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The error and what is behind it. `io::Error` passes over the error it wraps; that is the one of interest here.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => (*error).source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_certificate_are_shown_without_quotes() {
        assert_eq!(bare("DnsName(\"login.hotel.example\")"), "login.hotel.example");
        assert_eq!(bare("IpAddress(10.0.0.1)"), "IpAddress(10.0.0.1)");
    }
}
