//! Randomness.

/// A cryptographically secure random number generator.
pub trait Rng: Send + Sync {
    /// Fills `bytes` with random octets. A generator that can't aborts the process rather than returning less.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Rng + '_ {
    /// `N` random octets.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}
