//! The node's randomness: AWS-LC's generator, seeded by the system.

use ca_core::ports::rng::Rng;

/// AWS-LC's generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // A predictable serial number or session token is worse than no service.
            tracing::error!("the random number generator failed; the process ends");
            std::process::abort();
        }
    }
}
