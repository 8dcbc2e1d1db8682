//! The number of the latest revocation, remembered for a moment: OCSP asks for it with every request.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ca_core::ports::store::HEAD_LAG;

use crate::failure::Failure;

/// What is known of it.
#[derive(Debug, Default)]
pub struct Head(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The number, and from when on it was asked for.
    latest: Option<(u64, Instant)>,
    /// How often it was forgotten: an answer to what was asked before isn't remembered.
    forgotten: u64,
}

impl Head {
    /// The number: as remembered, or as `read`.
    ///
    /// # Errors
    /// What `read` failed with.
    pub async fn get(&self, read: impl Future<Output = Result<u64, Failure>>) -> Result<u64, Failure> {
        let asked = Instant::now();
        let forgotten = {
            let known = self.known();
            if let Some((number, at)) = known.latest
                && asked.saturating_duration_since(at) < HEAD_LAG
            {
                return Ok(number);
            }
            known.forgotten
        };
        let number = read.await?;
        let mut known = self.known();
        if known.forgotten == forgotten {
            known.latest = Some((number, asked));
        }
        Ok(number)
    }

    /// Something was revoked here, or seen to be: what is remembered is worth nothing any more.
    pub fn forget(&self) {
        let mut known = self.known();
        *known = Known { latest: None, forgotten: known.forgotten.wrapping_add(1) };
    }

    /// A revocation with this number was seen.
    pub fn saw(&self, number: u64) {
        if self.known().latest.is_none_or(|(latest, _)| latest < number) {
            self.forget();
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(head: &Head, number: u64) -> u64 {
        head.get(async move { Ok(number) }).await.expect("a number")
    }

    #[tokio::test]
    async fn it_is_remembered_until_something_is_revoked() {
        let head = Head::default();
        assert_eq!((get(&head, 1).await, get(&head, 2).await), (1, 1));
        head.saw(1);
        assert_eq!(get(&head, 2).await, 1, "that is known");
        head.saw(2);
        assert_eq!(get(&head, 2).await, 2);
        head.forget();
        assert_eq!(get(&head, 3).await, 3);
    }

    #[tokio::test]
    async fn an_answer_that_was_on_its_way_at_a_revocation_is_not_remembered() {
        let head = Head::default();
        let overtaken = head.get(async {
            head.forget();
            Ok(1)
        });
        assert_eq!(overtaken.await.expect("a number"), 1);
        assert_eq!(get(&head, 2).await, 2);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_remembered() {
        let head = Head::default();
        assert!(head.get(async { Err(Failure::Corrupt("x".to_owned())) }).await.is_err());
        assert_eq!(get(&head, 2).await, 2);
    }
}
