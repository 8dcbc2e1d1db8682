//! The number that a person reads to the help desk and that finds the log lines of a request.

use std::fmt;

use ca_core::ports::rng::Rng;

/// A request's support ID: 10 characters without look-alikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SupportId([u8; 10]);

impl SupportId {
    /// A new one.
    pub(crate) fn random(rng: &dyn Rng) -> Self {
        const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
        Self(rng.bytes().map(|octet: u8| ALPHABET[usize::from(octet % 32)]))
    }
}

impl fmt::Display for SupportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| fmt::Write::write_char(f, char::from(*octet)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_ids_can_be_read_aloud() {
        let rng = crate::adapters::rng::SystemRng;
        let id = SupportId::random(&rng).to_string();
        assert_eq!(id.len(), 10);
        assert!(!id.contains(['0', 'O', '1', 'I']), "{id}");
        assert_ne!(id, SupportId::random(&rng).to_string());
    }
}
