//! What is being signed at this moment: between the look at the journal and the entry in it, no second request may
//! have the same intent or serial number signed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use signer_protocol::message::KeyLabel;
use tokio::sync::watch;
use uuid::Uuid;

use crate::journal::Serial;

#[derive(Debug, Default)]
struct Held {
    intents: HashMap<Uuid, watch::Receiver<()>>,
    serials: HashSet<(KeyLabel, Serial)>,
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
    _end: watch::Sender<()>,
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
        Reserved::Held(Reservation { all: self.clone(), intent, serial: None, _end: end })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Reserves a serial number as well; false when another holds it.
    pub(super) fn serial(&mut self, key: &KeyLabel, serial: Serial) -> bool {
        let held = (key.clone(), serial);
        let free = self.all.lock().serials.insert(held.clone());
        if free {
            self.serial = Some(held);
        }
        free
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut held = self.all.lock();
        held.intents.remove(&self.intent);
        if let Some(serial) = &self.serial {
            held.serials.remove(serial);
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
}
