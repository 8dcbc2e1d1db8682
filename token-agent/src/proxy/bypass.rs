//! Lists of hosts that are reached without the proxy: `NO_PROXY`, GNOME's and Windows', whose forms differ a little.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Whether the list names this host. Entries are separated by commas, semicolons or blanks: `*`, `host`, `host:port`,
/// `.domain` and `*.domain` (with all below), addresses, networks (`10.0.0.0/8`), `10.*`, and Windows' `<local>`, which
/// is every name without a dot.
pub(super) fn covers(list: &str, host: &str, port: u16) -> bool {
    let entries = list.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace());
    entries.map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| names(entry, host, port))
}

fn names(entry: &str, host: &str, port: u16) -> bool {
    let entry = entry.to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    if entry == "<local>" {
        return !host.contains('.') && !host.contains(':');
    }
    let entry = match entry.rsplit_once(':') {
        // An IPv6 address has more than one colon.
        Some((before, digits)) if !before.contains(':') => match digits.parse::<u16>() {
            Ok(number) if number == port => before,
            _ => return false,
        },
        _ => &entry,
    };
    match entry.strip_prefix("*.") {
        Some(domain) => matches_plain(domain, &host),
        None if entry == "*" => true,
        None if entry.contains('*') => matches_pattern(entry, &host),
        None => matches_plain(entry, &host),
    }
}

/// Domains, addresses and networks, by curl's rules.
fn matches_plain(entry: &str, host: &str) -> bool {
    let matcher = Matcher::builder().https("http://proxy").no(entry.to_owned()).build();
    let uri = Uri::builder().scheme("https").authority(host).path_and_query("/").build();
    uri.is_ok_and(|uri| matcher.intercept(&uri).is_none())
}

/// `*` stands for any number of characters.
fn matches_pattern(pattern: &str, host: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = host.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_s_form_is_understood() {
        for (list, host) in [
            ("*", "www.bank.example"),
            ("localhost, www.bank.example", "www.bank.example"),
            ("bank.example", "www.bank.example"),
            (".bank.example", "www.bank.example"),
            ("*.bank.example", "www.bank.example"),
            ("www.bank.example:443", "www.bank.example"),
            ("WWW.Bank.example", "www.bank.example"),
            ("localhost;<local>", "intranet"),
            ("10.0.0.0/8", "10.1.2.3"),
            ("10.*;192.168.*", "192.168.3.4"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "[::1]"),
            ("www*.bank.*", "www3.bank.example"),
        ] {
            assert!(covers(list, host, 443), "{list} doesn't name {host}");
        }
        for (list, host) in [
            ("", "www.bank.example"),
            ("bank.example", "notbank.example"),
            ("www.bank.example:8443", "www.bank.example"),
            ("<local>", "www.bank.example"),
            ("<local>", "[::1]"),
            ("10.0.0.0/8", "11.1.2.3"),
            ("10.*", "110.1.2.3"),
            ("www*.bank.example", "api.bank.example"),
        ] {
            assert!(!covers(list, host, 443), "{list} names {host}");
        }
    }
}
