//! What is being signed or revoked at this moment: between the look at the journal and the entry in it, no second
//! request may have the same intent or serial number signed, and no serial number is signed while it is being revoked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use signer_protocol::message::KeyLabel;
use tokio::sync::watch;
use uuid::Uuid;

use crate::journal::Serial;

#[derive(Debug, Default)]
struct Held {
    intents: HashMap<Uuid, watch::Receiver<()>>,
    signing: HashMap<(KeyLabel, Serial), watch::Receiver<()>>,
    /// By how many requests each is being revoked.
    revoking: HashMap<(KeyLabel, Serial), usize>,
}

/// All reservations of one signer.
#[derive(Clone, Debug, Default)]
pub(super) struct Reservations(Arc<Mutex<Held>>);

/// What came of reserving an intent.
#[derive(Debug)]
pub(super) enum Reserved<T> {
    /// It is the caller's until the reservation is dropped.
    Held(Reservation),
    /// It is another's; wait until that one ends, then ask again.
    Busy(watch::Receiver<()>),
    /// The journal has it.
    Found(T),
}

/// An intent, and perhaps a serial number, held until dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    all: Reservations,
    intent: Uuid,
    serial: Option<(KeyLabel, Serial)>,
    /// Dropped with the reservation, which is what the waiting see.
    end: watch::Sender<()>,
}

/// Serial numbers that are being revoked, held until dropped.
#[derive(Debug)]
pub(super) struct Revoking {
    all: Reservations,
    serials: Vec<(KeyLabel, Serial)>,
}

impl Reservations {
    /// Reserves an intent unless it is held or `journaled` finds it. An entry is in the journal's index before its
    /// reservation ends, so one look after the other misses nothing.
    pub(super) fn intent<T>(&self, intent: Uuid, journaled: impl FnOnce() -> Option<T>) -> Reserved<T> {
        let mut held = self.lock();
        if let Some(other) = held.intents.get(&intent) {
            return Reserved::Busy(other.clone());
        }
        if let Some(found) = journaled() {
            return Reserved::Found(found);
        }
        let (end, receiver) = watch::channel(());
        held.intents.insert(intent, receiver);
        drop(held);
        Reserved::Held(Reservation { all: self.clone(), intent, serial: None, end })
    }

    /// Reserves serial numbers for being revoked, all or none.
    ///
    /// # Errors
    /// When one of them is being signed: what to wait for before asking again.
    pub(super) fn revoking(
        &self,
        key: &KeyLabel,
        serials: impl IntoIterator<Item = Serial>,
    ) -> Result<Revoking, watch::Receiver<()>> {
        let serials: Vec<_> = serials.into_iter().map(|serial| (key.clone(), serial)).collect();
        let mut held = self.lock();
        if let Some(signing) = serials.iter().find_map(|serial| held.signing.get(serial)) {
            return Err(signing.clone());
        }
        for serial in &serials {
            *held.revoking.entry(serial.clone()).or_default() += 1;
        }
        drop(held);
        Ok(Revoking { all: self.clone(), serials })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Reserves a serial number for being signed as well; false when another signs or revokes it.
    pub(super) fn serial(&mut self, key: &KeyLabel, serial: Serial) -> bool {
        let wanted = (key.clone(), serial);
        let mut held = self.all.lock();
        if held.signing.contains_key(&wanted) || held.revoking.contains_key(&wanted) {
            return false;
        }
        held.signing.insert(wanted.clone(), self.end.subscribe());
        drop(held);
        self.serial = Some(wanted);
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut held = self.all.lock();
        held.intents.remove(&self.intent);
        if let Some(serial) = &self.serial {
            held.signing.remove(serial);
        }
    }
}

impl Drop for Revoking {
    fn drop(&mut self) {
        let mut held = self.all.lock();
        for serial in &self.serials {
            if let Some(count) = held.revoking.get_mut(serial) {
                *count -= 1;
                if *count == 0 {
                    held.revoking.remove(serial);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_intent_is_held_by_one_and_others_learn_when_it_ends() {
        let all = Reservations::default();
        let intent = Uuid::from_u128(1);
        let Reserved::Held(mut first) = all.intent(intent, || None::<()>) else { panic!("free") };
        let Reserved::Busy(mut end) = all.intent(intent, || None::<()>) else { panic!("held") };
        let key = KeyLabel("key".to_owned());
        let serial = Serial::from_content(&[1; 9]).expect("a serial number");
        assert!(first.serial(&key, serial));
        let Reserved::Held(mut second) = all.intent(Uuid::from_u128(2), || None::<()>) else {
            panic!("free")
        };
        assert!(!second.serial(&key, serial), "another intent, the same serial number");
        assert!(second.serial(&KeyLabel("other".to_owned()), serial), "another issuer's serial numbers");
        drop(first);
        assert!(end.changed().await.is_err(), "its sender is gone");
        let Reserved::Held(mut third) = all.intent(intent, || None::<()>) else { panic!("free again") };
        assert!(third.serial(&key, serial));
        assert!(matches!(all.intent(Uuid::from_u128(3), || Some(7)), Reserved::Found(7)));
    }

    #[tokio::test]
    async fn a_serial_number_is_not_signed_and_revoked_at_once() {
        let all = Reservations::default();
        let key = KeyLabel("key".to_owned());
        let [one, two] = [1, 2].map(|octet| Serial::from_content(&[octet; 9]).expect("a serial number"));
        let Reserved::Held(mut signing) = all.intent(Uuid::from_u128(1), || None::<()>) else {
            panic!("free")
        };
        assert!(signing.serial(&key, one));
        let mut end = all.revoking(&key, [two, one]).expect_err("one of them is being signed");
        drop(signing);
        assert!(end.changed().await.is_err(), "its sender is gone");

        let revoking = all.revoking(&key, [two, one]).expect("free");
        let again = all.revoking(&key, [one]).expect("by several at once");
        let Reserved::Held(mut signing) = all.intent(Uuid::from_u128(2), || None::<()>) else {
            panic!("free")
        };
        assert!(!signing.serial(&key, one));
        drop(revoking);
        assert!(!signing.serial(&key, one), "the other still revokes it");
        drop(again);
        assert!(signing.serial(&key, one) && all.lock().revoking.is_empty());
    }
}
