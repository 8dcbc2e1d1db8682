//! Whoever sits before the browser and types the token's PIN each time that it asks for it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;

use super::pictures;
use crate::screen::Screen;

/// The title of Chromium's dialog.
const DIALOG: &str = "Unlock Security Device";
const POLL: Duration = Duration::from_millis(100);

/// A person at a screen. Browsers that this one sits at end first.
#[derive(Debug)]
pub struct Person {
    screen: Arc<Screen>,
    asked: Arc<AtomicUsize>,
    hesitates: Arc<AtomicU64>,
    leaves: Arc<AtomicBool>,
    hands: Option<JoinHandle<()>>,
}

impl Person {
    /// Sits down at a new screen, with its log in `directory`. The first dialog's picture goes to
    /// `target/screenshots/NAME/pin-dialog.png`.
    ///
    /// # Errors
    /// When a program is missing or doesn't start.
    pub fn sit_down(pin: &str, directory: &Path, screenshots: &str) -> Result<Self> {
        let screen = Arc::new(Screen::start(directory, 1400, 1000)?);
        let (asked, leaves) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let hesitates = Arc::<AtomicU64>::default();
        let hands = Hands {
            screen: screen.clone(),
            pin: pin.to_owned(),
            picture: pictures::folder(screenshots)?.join("pin-dialog.png"),
            asked: asked.clone(),
            hesitates: hesitates.clone(),
            leaves: leaves.clone(),
        };
        let hands = thread::spawn(move || hands.work());
        Ok(Self { screen, asked, hesitates, leaves, hands: Some(hands) })
    }

    /// How often the browser asked for the PIN so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// From now on thinks for so many seconds before typing.
    pub fn hesitate(&self, seconds: u64) {
        self.hesitates.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn display(&self) -> &str {
        self.screen.display()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.leaves.store(true, Ordering::SeqCst);
        if let Some(hands) = self.hands.take() {
            let _ = hands.join();
        }
    }
}

struct Hands {
    screen: Arc<Screen>,
    pin: String,
    picture: PathBuf,
    asked: Arc<AtomicUsize>,
    hesitates: Arc<AtomicU64>,
    leaves: Arc<AtomicBool>,
}

impl Hands {
    /// Whatever doesn't work shows in the test: the page behind the dialog never comes.
    fn work(&self) {
        let mut answered = BTreeSet::new();
        while !self.leaves.load(Ordering::SeqCst) {
            let open = self.dialogs().unwrap_or_default();
            answered.retain(|window| open.contains(window));
            for window in open.difference(&answered.clone()) {
                if self.answer(window).is_ok() {
                    answered.insert(window.clone());
                }
            }
            thread::sleep(POLL);
        }
    }

    fn dialogs(&self) -> Result<BTreeSet<String>> {
        let found = self.screen.xdotool(&["search", "--onlyvisible", "--name", DIALOG])?;
        Ok(String::from_utf8_lossy(&found.stdout).split_whitespace().map(ToOwned::to_owned).collect())
    }

    fn answer(&self, window: &str) -> Result<()> {
        if self.asked.load(Ordering::SeqCst) == 0 {
            self.screen.picture(&self.picture)?;
        }
        thread::sleep(Duration::from_secs(self.hesitates.load(Ordering::SeqCst)));
        self.screen.xdotool(&["windowfocus", "--sync", window])?;
        self.screen.xdotool(&["type", "--delay", "30", &self.pin])?;
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.screen.xdotool(&["key", "Return"]).map(drop)
    }
}
