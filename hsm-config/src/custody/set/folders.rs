//! The folders of a set's generations: when sealed shares come to where they are kept, and when they go.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::super::{document, error::CustodyError};
use super::{Set, failed};

impl Set {
    /// The shares that were made for the next generation come to where shares are kept, if they aren't there yet.
    pub(super) fn settle(&self) -> Result<(), CustodyError> {
        let Some(next) = &self.document.next else { return Ok(()) };
        let (made, folder) = (document::making_of(&self.folder, next.number), next.folder(&self.folder));
        if folder.exists() || !made.exists() {
            return Ok(());
        }
        let moved = fs::rename(&made, &folder)
            .and_then(|()| File::open(&self.folder))
            .and_then(|folder| folder.sync_all());
        moved.map_err(|error| failed("folder", &folder, error))
    }

    /// Removes the sealed shares of generations that are over, and of no others: whatever set.json doesn't know may be
    /// the PIN in force.
    pub(super) fn tidy(&self) {
        for past in &self.document.past {
            self.remove(past.number);
        }
    }

    /// Removes what was being made before generation `number` and isn't any more: interrupted, or thrown away.
    pub(super) fn discard_unfinished(&self, number: u32) {
        for unfinished in 1..=number {
            let made = document::making_of(&self.folder, unfinished);
            remove_folder(&made);
            if unfinished < number {
                self.remove(unfinished);
            }
        }
    }

    /// Removes the sealed shares of a generation that is neither in force nor being made.
    fn remove(&self, number: u32) {
        let known = [&self.document.current, &self.document.next];
        if known.into_iter().flatten().all(|generation| generation.number != number) {
            remove_folder(&document::folder_of(&self.folder, number));
        }
    }
}

fn remove_folder(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "sealed shares that are over can't be removed");
        }
        _ => {}
    }
}
