//! What a bank comes to by itself, awaited.

use std::fs;

use super::{Bank, fetch};
use crate::wait::until;

impl Bank {
    /// Waits until the authority is ready.
    ///
    /// # Panics
    /// When it doesn't become so.
    #[track_caller]
    pub fn becomes_ready(&self) {
        let verdict = || {
            let answer = fetch(&format!("{}/readyz", self.urls().ops));
            answer.map(|answer| (answer.status, answer.text()))
        };
        // What there is to say of a ready bank is that it is.
        drop(until("readiness", verdict, |verdict| matches!(verdict, Ok((200, _)))));
    }

    /// Waits until a line of the authority's log has all of these.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn logs(&self, words: &[&str]) {
        let path = self.path("logs/authority.log");
        let lines = || {
            let log = fs::read_to_string(&path).unwrap_or_default();
            let lines = log.lines().filter(|line| line.contains(words[0]));
            lines.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let has_all =
            |lines: &Vec<String>| lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
        until(&format!("{words:?} in a line of the log"), lines, has_all);
    }
}
