//! Addresses that mail is sent to. What isn't surely one line of one address is none: nothing typed by anybody reaches a
//! header of a mail or a command to a mail server in another form.

use std::fmt;

/// The longest path that mail servers must take (RFC 5321, 4.5.3.1.3), without its angle brackets.
const LONGEST: usize = 254;
/// The longest local part (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;
/// The longest label of a host name (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

/// An e-mail address: an RFC 5321 mailbox in ASCII whose local part is a dot-string and whose domain is a host name of
/// two labels or more. Quoted local parts, address literals and internationalised addresses (RFC 6531) are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

/// A text that isn't an address that mail is sent to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an e-mail address")]
pub struct InvalidAddress(pub String);

impl EmailAddress {
    /// Parses an address. The case of its letters is kept.
    ///
    /// # Errors
    /// [`InvalidAddress`] for any other form.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let valid = text.len() <= LONGEST
            && text.rsplit_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidAddress(text.to_owned())) }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A dot-string (RFC 5321, 4.1.2).
fn is_local(text: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= LONGEST_LOCAL && text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// A host name (RFC 1123, 2.1) with a dot, so that no bare name of a machine is taken for a domain.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_addresses_are_taken_as_they_are() {
        let long = format!("{}@example.jp", "a".repeat(64));
        for text in
            ["yamada@hokkai.example", "Taro.Yamada+bank@mail.example.co.jp", "o'neil@x-1.example", &long]
        {
            assert_eq!(EmailAddress::parse(text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn nothing_gets_into_a_header_or_a_command() {
        let too_long = format!("a@{}example.jp", "label.".repeat(50));
        let long_local = format!("{}@example.jp", "a".repeat(65));
        let long_label = format!("a@{}.jp", "a".repeat(64));
        for text in [
            "",
            "@",
            "a@",
            "@example.jp",
            "a@example",
            "a.example.jp",
            "a@@example.jp",
            "a@b@example.jp",
            "a@example.jp\r\nBcc: b@example.jp",
            "a\r\n@example.jp",
            "a@example.jp\n",
            "a@example.jp\r",
            "\na@example.jp",
            "a@exam\0ple.jp",
            "a b@example.jp",
            "a@example.jp ",
            " a@example.jp",
            "a\t@example.jp",
            "<a@example.jp>",
            "a@example.jp>",
            "Taro <a@example.jp>",
            "a@example.jp, b@example.jp",
            "a@example.jp;b@example.jp",
            "a(comment)@example.jp",
            "\"a b\"@example.jp",
            "a\\@example.jp",
            "a:b@example.jp",
            "a@[192.0.2.1]",
            "a@192.0.2.1:25",
            ".a@example.jp",
            "a.@example.jp",
            "a..b@example.jp",
            "a@.example.jp",
            "a@example.jp.",
            "a@example..jp",
            "a@-example.jp",
            "a@example-.jp",
            "a@exa_mple.jp",
            "山田@example.jp",
            "a@例え.jp",
            "a@example.jp\u{2028}",
            "a\u{202e}@example.jp",
            "ａ@example.jp",
            &too_long,
            &long_local,
            &long_label,
        ] {
            assert_eq!(EmailAddress::parse(text), Err(InvalidAddress(text.to_owned())), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_one_line_of_printable_ascii(text in "(?s)[a-z.\\-\r\n\0 <>@,:;\"é]{0,40}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert!(address.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(address.as_str().matches('@').count(), 1);
                prop_assert!(!address.as_str().contains(['<', '>', ',', ':', ';', '"']));
            }
        }
    }
}
