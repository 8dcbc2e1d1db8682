//! Cards and readers that come and go, as PC/SC tells it (`SCardGetStatusChange`). Only looked at: no card is connected to
//! and nobody's session is disturbed.

use std::{
    ffi::{CStr, CString},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use pcsc::{Context, Error, PNP_NOTIFICATION, ReaderState, Scope, State};

/// The longest wait for news, so that a watch that nobody holds any more ends; and between attempts to reach a service that
/// isn't there.
const TURN: Duration = Duration::from_secs(2);

/// What the watch sees.
#[derive(Default)]
struct Seen {
    /// Rises with every change.
    changes: AtomicU64,
    card: AtomicBool,
    running: AtomicBool,
}

/// A watch over the readers; it ends when this is dropped.
pub(crate) struct Watch(Arc<Seen>);

impl Watch {
    /// Begins to watch; `changed` is called at each change, on a thread of its own.
    pub(crate) fn start(changed: impl Fn() + Send + 'static) -> Self {
        let seen = Arc::new(Seen { running: AtomicBool::new(true), ..Seen::default() });
        let watched = seen.clone();
        thread::spawn(move || {
            while watched.running.load(Ordering::Relaxed) {
                // The service may be restarted, or come with the first reader.
                if watch(&watched, &changed).is_err() {
                    thread::sleep(TURN);
                }
            }
        });
        Self(seen)
    }

    /// Rises with every change.
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Relaxed)
    }

    /// Whether there is a card in any reader.
    pub(crate) fn sees_card(&self) -> bool {
        self.0.card.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Relaxed);
    }
}

/// Watches until nobody wants it any more, or the service is gone.
fn watch(seen: &Seen, changed: &impl Fn()) -> Result<(), Error> {
    let context = Context::establish(Scope::User)?;
    let mut readers = vec![ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)];
    let mut known = Vec::new();
    while seen.running.load(Ordering::Relaxed) {
        let names = names(&context)?;
        let mut news = names != known;
        if news {
            readers.truncate(1);
            readers.extend(names.iter().map(|name| ReaderState::new(name.as_c_str(), State::UNAWARE)));
            known = names;
        }
        match context.get_status_change(TURN, &mut readers) {
            Ok(()) => {
                let cards = readers.iter().skip(1);
                news |= cards.clone().any(|reader| reader.event_state().contains(State::CHANGED));
                let there = |reader: &ReaderState| reader.event_state().contains(State::PRESENT);
                seen.card.store(cards.clone().any(there), Ordering::Relaxed);
                readers.iter_mut().for_each(ReaderState::sync_current_state);
            }
            Err(Error::Timeout) => {}
            // The list is read again.
            Err(Error::UnknownReader | Error::ReaderUnavailable) => known.clear(),
            Err(error) => {
                seen.card.store(false, Ordering::Relaxed);
                return Err(error);
            }
        }
        if news {
            seen.changes.fetch_add(1, Ordering::Relaxed);
            changed();
        }
    }
    Ok(())
}

fn names(context: &Context) -> Result<Vec<CString>, Error> {
    match context.list_readers_owned() {
        Err(Error::NoReadersAvailable) => Ok(Vec::new()),
        names => Ok(names?.iter().map(|name| CStr::to_owned(name)).collect()),
    }
}
