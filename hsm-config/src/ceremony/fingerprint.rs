//! Fingerprints as people read them aloud to each other: SHA-256 in sixteen groups of four hexadecimal digits.

use std::fmt::Write as _;

/// Groups in a line.
const GROUPS: usize = 4;

/// SHA-256 of a structure's DER, in hexadecimal.
pub fn of(der: &[u8]) -> String {
    super::sha256(der)
}

/// Sixteen groups in four lines, each line after `indent`.
pub fn shown(sha256: &str, indent: &str) -> String {
    let digits: Vec<char> = sha256.chars().collect();
    let mut text = String::new();
    for (index, line) in digits.chunks(4 * GROUPS).enumerate() {
        let groups: Vec<String> = line.chunks(4).map(|group| group.iter().collect()).collect();
        let end = if index == 0 { "" } else { "\n" };
        // Writing into a string can't fail.
        let _ = write!(text, "{end}{indent}{}", groups.join(" "));
    }
    text
}

/// What was heard and typed: hexadecimal digits, in which case, blanks and colons don't count.
pub fn heard(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':' && *c != '-').collect();
    let octets = hex::decode(bare).ok()?;
    (octets.len() == 32).then(|| hex::encode(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_heard() {
        let sha256 = crate::ceremony::sha256(b"abc");
        let text = shown(&sha256, "  ");
        assert_eq!(text.lines().count(), 4);
        assert!(text.starts_with("  ba78 16bf 8f01 cfea\n"), "{text}");
        assert_eq!(heard(&text.to_uppercase()).as_deref(), Some(sha256.as_str()));
        assert_eq!(heard("ba78"), None);
    }
}
