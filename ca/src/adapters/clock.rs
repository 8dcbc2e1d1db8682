//! The node's clock: the only place where `inro-ca` asks what time it is.

use ca_core::ports::clock::Clock;
use jiff::Timestamp;

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the adapter behind the clock port")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
