//! The bank's calendar in use: where it comes from, of when it is, and what is wrong with its file since.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ca_core::{app::hours::CurrentHours, domain::business_hours::IssuingHours};
use jiff::Timestamp;

use crate::{
    config::Hours,
    material::{self, ReadHours},
};

/// The calendar in use.
#[derive(Debug)]
pub(crate) struct Calendar {
    config: Hours,
    hours: Arc<CurrentHours>,
    source: Mutex<Source>,
}

/// Where the calendar in use comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The bank's own file; without one the days are those of the law.
    pub(crate) file: Option<PathBuf>,
    /// When that file was written, as far as the file system knows.
    pub(crate) written_at: Option<Timestamp>,
    /// When its days were taken up.
    pub(crate) taken_up_at: Timestamp,
    /// Why the file of now isn't.
    pub(crate) trouble: Option<String>,
}

impl Calendar {
    /// Begins with what was read. `hours` is where those who decide look.
    pub(crate) fn new(config: Hours, hours: Arc<CurrentHours>, read: &ReadHours, now: Timestamp) -> Self {
        let file = config.calendar_file.clone();
        let source = Source { file, written_at: read.written_at, taken_up_at: now, trouble: None };
        Self { config, hours, source: Mutex::new(source) }
    }

    /// As of now.
    pub(crate) fn hours(&self) -> Arc<IssuingHours> {
        self.hours.current()
    }

    /// Where they come from.
    pub(crate) fn source(&self) -> Source {
        self.locked().clone()
    }

    /// Reads the file again; whether its days are others than before.
    ///
    /// # Errors
    /// When it can't be read: then what is in use stays.
    pub(crate) fn look(&self, now: Timestamp) -> anyhow::Result<bool> {
        let read = material::issuing_hours(&self.config);
        let mut source = self.locked();
        match read {
            Ok(ReadHours { hours, written_at }) => {
                let changed = self.hours.replace(hours);
                if changed {
                    source.taken_up_at = now;
                }
                (source.written_at, source.trouble) = (written_at, None);
                Ok(changed)
            }
            Err(error) => {
                source.trouble = Some(format!("{error:#}"));
                Err(error)
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::HoursMode;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_changed_calendar_is_taken_up_and_a_bad_one_leaves_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calendar.txt");
        fs::write(&path, "closed 2026-11-24\n").expect("a file");
        let config = Hours { mode: HoursMode::Bank, calendar_file: Some(path.clone()) };
        let read = material::issuing_hours(&config).expect("a calendar");
        let hours = Arc::new(CurrentHours::new(Arc::new(read.hours.clone())));
        let calendar = Calendar::new(config, hours, &read, at("2026-11-20T09:00:00+09"));
        let tuesday = at("2026-11-24T10:00:00+09");
        assert!(!calendar.hours().are_open(tuesday), "the bank's own closed day");
        assert!(!calendar.look(at("2026-11-20T10:00:00+09")).expect("read"), "nothing changed");
        assert_eq!(calendar.source().taken_up_at, at("2026-11-20T09:00:00+09"));
        assert!(calendar.source().written_at.is_some());

        fs::write(&path, "closed 2026-11-25 # another\n").expect("a file");
        assert!(calendar.look(at("2026-11-20T11:00:00+09")).expect("read"));
        assert!(calendar.hours().are_open(tuesday));
        for bad in ["closed 2026-13-01", "open 2026-11-25\nclosed 2026-11-25", "shut 2026-11-24"] {
            fs::write(&path, bad).expect("a file");
            let error = calendar.look(at("2026-11-20T12:00:00+09")).expect_err("it can't be read");
            assert!(format!("{error:#}").contains("hours.calendar_file"), "{error:#}");
            assert!(calendar.hours().are_open(tuesday), "{bad}");
            assert!(calendar.source().trouble.is_some(), "{bad}");
        }
        fs::remove_file(&path).expect("removed");
        calendar.look(at("2026-11-20T13:00:00+09")).expect_err("it isn't there");
        assert!(!calendar.hours().are_open(at("2026-11-25T10:00:00+09")), "what was in use stays so");
        fs::write(&path, "closed 2026-11-25\n").expect("a file");
        assert!(!calendar.look(at("2026-11-20T14:00:00+09")).expect("read"), "the same days");
        let source = calendar.source();
        assert_eq!((source.trouble, source.taken_up_at), (None, at("2026-11-20T11:00:00+09")));
    }
}
