//! Doing: the tasks of a specification one after the other, each noted in the log before it begins and after it is done,
//! so that whatever interrupts it, the next run knows what to go on from or to take back.

mod finish;
pub(super) mod issue;
mod keys;
pub(super) mod pins;
pub(super) mod previous;
mod rollback;
pub(super) mod tokens;

use jiff::Timestamp;

use super::error::Fault;
use super::record::event::{ComparedRequest, Event, Octets, Outcome, Task};
use super::record::log::Log;
use super::record::transcript::Progress;
use super::spec::{KeySpec, Spec, TokenSpec};

use crate::error_text::chain;
pub(super) use finish::Finished;
use pins::Pins;
use tokens::Tokens;

/// Whoever leads a ceremony: is told of each step, and may be asked.
pub trait Leader {
    /// Something happens, in words for people.
    fn tell(&mut self, line: &str);

    /// A step is about to be done. Returns when it may be; false ends the ceremony here.
    fn before(&mut self, step: &str) -> bool;

    /// What somebody reads aloud as the fingerprint of the request for a certificate: SHA-256 in lower-case hexadecimal;
    /// `None` when nobody says anything.
    fn fingerprint(&mut self, certificate: &str, file: &str) -> Option<String>;
}

/// A ceremony in progress.
pub(super) struct Work<'a, 'l> {
    pub(super) spec: &'a Spec,
    pub(super) pins: &'a Pins,
    pub(super) rehearsal: bool,
    pub(super) log: Log,
    pub(super) progress: Progress,
    pub(super) tokens: Tokens,
    pub(super) leader: &'l mut dyn Leader,
    /// How the request of the certificate at hand was compared.
    compared: Option<ComparedRequest>,
}

impl<'a, 'l> Work<'a, 'l> {
    /// Everything that it takes.
    pub(super) fn new(
        (spec, pins): (&'a Spec, &'a Pins),
        rehearsal: bool,
        log: Log,
        tokens: Tokens,
        leader: &'l mut dyn Leader,
    ) -> Self {
        let progress = Progress::of(&log.chain.entries);
        Self { spec, pins, rehearsal, log, progress, tokens, leader, compared: None }
    }

    /// Does everything that isn't done yet. Ctrl-C ends it between two steps of a token.
    pub(super) async fn perform(&mut self) -> Result<(), Fault> {
        let result = tokio::select! {
            result = self.everything() => result,
            _ = tokio::signal::ctrl_c() => Err(Fault::Interrupted),
        };
        if let Err(fault) = &result {
            self.tokens.close().await;
            let failure = chain(fault);
            let noted = self.note(format!("stopped: {failure}"), Event::Stopped { failure });
            if let Err(error) = noted {
                tracing::error!("that the ceremony stopped can't be noted: {}", chain(&error));
            }
        }
        result
    }

    async fn everything(&mut self) -> Result<(), Fault> {
        for token in &self.spec.tokens {
            if self.tokens.is_open(token) {
                self.opened(token)?;
            }
        }
        for task in Task::all(self.spec) {
            if !self.progress.done.contains(&task) {
                self.task(task).await?;
            }
        }
        Ok(())
    }

    async fn task(&mut self, task: Task) -> Result<(), Fault> {
        let begun = self.progress.begun.take().filter(|begun| begun.task == task);
        let interrupted = begun.is_some();
        self.compared = match &task {
            Task::Certificate(name) => self.compare(name)?,
            _ => None,
        };
        let tbs = match begun {
            Some(begun) => begun.tbs,
            None => self.settle(&task)?,
        };
        let described =
            tbs.as_deref().and_then(issue::describe).map_or_else(String::new, |text| format!(" ({text})"));
        if !self.leader.before(&format!("{task}{described}")) {
            return Err(Fault::Interrupted);
        }
        if !interrupted {
            let tbs = tbs.clone().map(Octets);
            self.note(format!("begins: {task}"), Event::Begun { task: task.clone(), tbs })?;
        }
        let (what, outcome) = self.work(&task, tbs.as_deref().unwrap_or_default(), interrupted).await?;
        let outcome = Box::new(outcome);
        self.note(what, Event::Done { task: task.clone(), outcome })?;
        if let Task::Initialise(name) = &task {
            let token = self.token(name)?;
            self.opened(token)?;
        }
        Ok(())
    }

    /// What a task will sign, settled before it begins.
    fn settle(&self, task: &Task) -> Result<Option<Vec<u8>>, Fault> {
        match task {
            Task::Request(name) => self.request_tbs(name).map(Some),
            Task::Certificate(name) => self.certificate_tbs(name).map(Some),
            Task::Crl(issuer) => self.crl_tbs(issuer).map(Some),
            Task::Initialise(_)
            | Task::FindKey(_)
            | Task::MakeKey(_)
            | Task::CopyKey(_)
            | Task::DestroyKey(_) => Ok(None),
        }
    }

    async fn work(&mut self, task: &Task, tbs: &[u8], interrupted: bool) -> Result<(String, Outcome), Fault> {
        match task {
            Task::Initialise(name) => {
                let token = self.token(name)?;
                self.tokens.initialise(token, self.pins, interrupted).await?;
                self.tokens.must_be_able(self.spec, token).await?;
                Ok((format!("initialised token {name:?}: {}", token.selection), Outcome::Token))
            }
            Task::FindKey(key) => self.find_key(key).await,
            Task::MakeKey(key) => self.make_key(key, interrupted).await,
            Task::CopyKey(key) => self.copy_key(key, interrupted).await,
            Task::Request(name) => self.request(name, tbs).await,
            Task::Certificate(name) => self.issue(name, tbs).await,
            Task::Crl(issuer) => self.crl(issuer, tbs).await,
            Task::DestroyKey(key) => self.destroy_key(key).await,
        }
    }

    /// Notes that a token was logged in to.
    fn opened(&mut self, token: &TokenSpec) -> Result<(), Fault> {
        let record = self.tokens.record(token)?;
        let about = &record.token;
        let what = format!(
            "logged in to token {:?} ({}, {}, serial {})",
            token.name, about.manufacturer, about.model, about.serial
        );
        self.note(what, Event::Opened(record))
    }

    /// Writes a line into the log, durable when this returns.
    pub(super) fn note(&mut self, what: String, event: Event) -> Result<(), Fault> {
        if !matches!(event, Event::Begun { .. }) {
            self.leader.tell(&what);
        }
        self.progress.note(&event);
        let path = self.log.path().to_owned();
        self.log.append(what, event).map_err(|cause| Fault::Write { path, cause })
    }

    /// When the ceremony began, which is when its certificates begin.
    pub(super) fn started(&self) -> Timestamp {
        self.log.chain.entries.first().map_or_else(super::now, |entry| entry.at)
    }

    fn key(&self, name: &str) -> Result<&'a KeySpec, Fault> {
        self.spec.key(name).ok_or_else(|| unknown(name))
    }

    fn token(&self, name: &str) -> Result<&'a TokenSpec, Fault> {
        self.spec.token(name).ok_or_else(|| unknown(name))
    }
}

/// What the parser and the order of tasks exclude.
fn unknown(what: &str) -> Fault {
    Fault::Inconsistent { what: what.to_owned(), fault: "nothing is known of it".into() }
}
