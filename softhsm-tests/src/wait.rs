//! Awaiting a state that comes about by itself, however loaded the machine is. There is one limit, far beyond what anything
//! takes: whoever reaches it is told what was awaited and what was seen last.

use std::{
    fmt::Debug,
    panic::Location,
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;

/// Nothing that a test waits for takes this long, also on a machine with twenty times the work that it can do.
pub const PATIENCE: Duration = Duration::from_mins(3);
/// Between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// So much is told of what was seen last, in characters.
const TOLD: usize = 4000;

/// What was awaited hasn't come about.
#[derive(Debug, Error)]
#[error("{what} hasn't come about within {PATIENCE:?}; last seen: {seen}")]
pub struct Late {
    what: String,
    seen: String,
}

impl Late {
    fn new(what: &str, seen: &impl Debug) -> Self {
        Self { what: what.to_owned(), seen: format!("{seen:?}").chars().take(TOLD).collect() }
    }
}

/// Looks again and again until what is seen is as it is wanted, and returns it.
///
/// # Errors
/// After [`PATIENCE`].
pub fn awaited<T: Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> Result<T, Late> {
    let began = Instant::now();
    loop {
        let seen = look();
        if wanted(&seen) {
            return Ok(seen);
        }
        if began.elapsed() > PATIENCE {
            return Err(Late::new(what, &seen));
        }
        thread::sleep(POLL);
    }
}

/// [`awaited`], where the test fails otherwise.
///
/// # Panics
/// After [`PATIENCE`].
#[track_caller]
pub fn until<T: Debug>(what: &str, look: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    // No closure: the panic is told with the test's own place.
    match awaited(what, look, wanted) {
        Ok(seen) => seen,
        Err(late) => panic!("{late}"),
    }
}

/// [`until`] among other tasks of a runtime.
///
/// # Panics
/// After [`PATIENCE`].
#[track_caller]
pub fn settled<T: Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        let began = Instant::now();
        loop {
            let seen = look().await;
            if wanted(&seen) {
                return seen;
            }
            assert!(began.elapsed() <= PATIENCE, "{place}: {}", Late::new(what, &seen));
            tokio::time::sleep(POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_returned_as_it_was_seen() {
        let mut looks = 0;
        let look = || {
            looks += 1;
            looks
        };
        assert_eq!(until("the third look", look, |seen| *seen == 3), 3);
    }

    #[test]
    fn whoever_waits_in_vain_is_told_for_what_and_what_was_seen() {
        let told = Late::new("a certificate", &Some("no certificate yet")).to_string();
        assert!(told.contains("a certificate hasn't") && told.contains("no certificate yet"), "{told}");
        assert!(Late::new("an end", &"x".repeat(100_000)).to_string().len() < 2 * TOLD);
    }
}
