//! The portal's three cookies. All have the `__Host-` prefix: only over TLS, for this host alone, for every path.

use axum::http::{HeaderMap, HeaderValue, header};

/// The session's token.
pub(super) const SESSION: &str = "__Host-inro-session";
/// The random value behind the login form's token, before there is a session.
pub(super) const FORM: &str = "__Host-inro-form";
/// The chosen language.
pub(super) const LANGUAGE: &str = "__Host-inro-lang";

/// A cookie's value. One that was sent twice is none: somebody planted the other.
pub(crate) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = pairs
        .flat_map(|pairs| pairs.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Sets a cookie until the browser closes. `value` is one of our own, without separators.
pub(crate) fn set(name: &str, value: &str) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Deletes a cookie.
pub(crate) fn delete(name: &str) -> Option<HeaderValue> {
    let text = format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_was_sent_twice_is_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; __Host-inro-session=x"));
        assert_eq!(value(&headers, SESSION), Some("x"));
        assert_eq!(value(&headers, "inro-session"), None);
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-inro-session=y"));
        assert_eq!(value(&headers, SESSION), None);
    }
}
