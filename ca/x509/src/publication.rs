//! The URLs that certificates carry: CRL distribution points, OCSP responders, CA certificates.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest URL that is put into a certificate, in octets.
const LONGEST: usize = 255;

/// Whether a certificate may carry `url`: plain HTTP (RFC 5280, 4.2.1.13 and 4.2.2.1), at most 255 octets, and a host
/// that every relying party finds, which is an IP address or a fully qualified domain name (RFC 5280, 4.2.1.6).
/// `localhost` and other names of one label are neither.
#[must_use]
pub fn is_publishable(url: &str) -> bool {
    let legal = |octet: u8| octet.is_ascii_graphic() && !b"\"<>\\^`{|}#@".contains(&octet);
    url.len() <= LONGEST
        && url.bytes().all(legal)
        && url.strip_prefix("http://").is_some_and(|rest| {
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            has_host(authority).is_some_and(is_port)
        })
}

/// What stands behind a good host.
fn has_host(authority: &str) -> Option<&str> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        return address.parse::<Ipv6Addr>().is_ok().then_some(port);
    }
    let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    (host.parse::<Ipv4Addr>().is_ok() || is_qualified(host)).then_some(port)
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Two labels or more of letters, digits and hyphens (RFC 1123, 2.1); the last is no number, or it would be an address.
fn is_qualified(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    host.contains('.')
        && host.split('.').all(is_label)
        && !host.rsplit('.').next().unwrap_or_default().bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_fully_qualified_names() {
        for good in [
            "http://pki.bank.example",
            "http://pki.bank.example/crl/customer-0.crl",
            "http://127.0.0.1:8080/ocsp",
            "http://[2001:db8::1]:80/ocsp",
            "http://xn--eckwd4c7c.example/a?b=c",
        ] {
            assert!(is_publishable(good), "{good}");
        }
        for bad in [
            "http://localhost:8080/ocsp",
            "http://pki/root.crl",
            "http:///root.crl",
            "http://",
            "https://pki.bank.example/root.crl",
            "ldap://pki.bank.example/root.crl",
            "http://pki..example/root.crl",
            "http://-pki.example/root.crl",
            "http://1.2.3.999/root.crl",
            "http://pki.example:0/root.crl",
            "http://pki.example:99999/root.crl",
            "http://[::1/root.crl",
            "http://user@pki.example/root.crl",
            "http://pki.example/root crl",
            "http://pki.example/根.crl",
        ] {
            assert!(!is_publishable(bad), "{bad}");
        }
        assert!(!is_publishable(&format!("http://pki.example/{}", "a".repeat(255))));
    }
}
