//! The one place where the signer asks for the time.

use jiff::Timestamp;

pub(super) fn now() -> Timestamp {
    Timestamp::now()
}
