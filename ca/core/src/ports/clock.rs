//! Time.

use jiff::Timestamp;

/// The clock of this node.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> Timestamp;
}
