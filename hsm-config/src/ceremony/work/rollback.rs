//! Taking a ceremony back: keys that it made are destroyed, tokens that it initialised are emptied. What it signed can't
//! be unsigned; the transcript names it.

use super::super::error::Fault;
use super::super::record::event::{Event, Task};
use super::Work;

impl Work<'_, '_> {
    /// Takes everything back, the last first. Being interrupted itself, it goes on when it is called again.
    pub(in super::super) async fn roll_back(&mut self) -> Result<(), Fault> {
        let mut tasks: Vec<Task> = Task::all(self.spec);
        tasks.reverse();
        for task in tasks {
            let begun = self.progress.begun.as_ref().is_some_and(|begun| begun.task == task);
            let touched = begun || self.progress.done.contains(&task);
            if !touched || self.progress.undone.contains(&task) {
                continue;
            }
            if let Some(what) = self.undo(&task).await? {
                self.note(what, Event::Undone { task })?;
            }
        }
        self.note("everything that this ceremony made is gone".to_owned(), Event::RolledBack)
    }

    /// Undoes a task; `None` for one that changed nothing.
    async fn undo(&mut self, task: &Task) -> Result<Option<String>, Fault> {
        match task {
            Task::Initialise(name) => {
                let token = self.token(name)?;
                let what = if self.tokens.make_void(token, self.pins).await? {
                    format!("emptied token {name:?}, which counts as uninitialised again")
                } else {
                    format!("no token has the label of {name:?}: nothing had to be emptied")
                };
                Ok(Some(what))
            }
            Task::MakeKey(name) => {
                let key = self.key(name)?;
                self.take_away(&key.token, name).await
            }
            Task::CopyKey(name) => {
                let copy = self.spec.copies.iter().find(|copy| copy.key == *name);
                match copy {
                    Some(copy) => self.take_away(&copy.to, name).await,
                    None => Ok(None),
                }
            }
            Task::Certificate(name) => {
                let record = self.progress.certificates().find(|record| record.name == *name);
                Ok(record.map(|record| {
                    format!(
                        "certificate {name:?} was signed and not published; should it turn up, revoke serial {}",
                        record.serial
                    )
                }))
            }
            Task::Crl(issuer) => {
                let record = self.progress.crls().find(|record| record.issuer == *issuer);
                Ok(record.map(|record| {
                    format!(
                        "the CRL of {issuer:?} with number {} was signed and not published",
                        record.number
                    )
                }))
            }
            Task::Request(_) | Task::FindKey(_) | Task::DestroyKey(_) => Ok(None),
        }
    }

    /// Destroys a key on a token that is open; with a token that isn't, it goes when the token is emptied.
    async fn take_away(&mut self, token: &str, name: &str) -> Result<Option<String>, Fault> {
        let (key, token) = (self.key(name)?, self.token(token)?);
        if !self.tokens.is_open(token) {
            return Ok(None);
        }
        let what = if self.discard(&token.name, key).await? {
            format!("destroyed key {name:?} on token {:?}", token.name)
        } else {
            format!("key {name:?} is not on token {:?}: nothing had to be destroyed", token.name)
        };
        Ok(Some(what))
    }
}
