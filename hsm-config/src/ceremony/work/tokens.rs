//! The ceremony's tokens, each behind a worker of its own: looked at first, then initialised and opened.

mod fit;
mod look;

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::error::Fault;
use super::super::record::event::{Task, TokenRecord};
use super::super::record::transcript::Progress;
use super::super::sha256;
use super::super::spec::{Free, Initialise, KeySpec, Spec, TokenSpec};
use super::Leader;
use super::pins::Pins;
use crate::token::{Pin, TokenDescription, TokenSelection};
use crate::worker::handle::{CallError, Launch, StartError, Worker};
use crate::worker::look::{Look as Question, Seen};
use crate::worker::protocol::{
    Answer, Command, CommandError, ErrorClass, KeyAttributes, Login, Setup, SetupFailureClass, TrustedKey,
};

pub(in super::super) use fit::fits;
use fit::free_slot;
use look::Look;

/// For everything but making keys.
pub(in super::super) const LIMIT: Duration = Duration::from_mins(1);

/// Something that stands in the way of a task, found before anything is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Obstacle {
    /// The task that it stops.
    pub(in super::super) task: Task,
    /// What it is.
    pub(in super::super) text: String,
}

/// One worker per token: with the module only before the token is initialised, then logged in.
pub(in super::super) struct Tokens {
    workers: BTreeMap<String, Worker>,
    /// The serial number of each token that the log has: no other token is logged in to, whatever its label.
    serials: BTreeMap<String, String>,
}

impl Tokens {
    /// Looks at every token and changes nothing. What stands in the way of anything still to do is told, all at once.
    pub(in super::super) async fn inspect(
        spec: &Spec,
        pins: &Pins,
        progress: &Progress,
        leader: &mut dyn Leader,
    ) -> Result<(Self, Vec<Obstacle>), Fault> {
        let mut tokens = Self::known(progress);
        let mut obstacles = Vec::new();
        for token in &spec.tokens {
            leader.tell(&format!(
                "looking at token {:?} through {}",
                token.name,
                token.access.module.display()
            ));
            let found = Look { spec, token, progress }.at(&mut tokens, pins).await;
            match found {
                Ok(found) => obstacles.extend(found),
                Err(fault) => {
                    tokens.close().await;
                    return Err(fault);
                }
            }
        }
        Ok((tokens, obstacles))
    }

    /// Opens what an interrupted ceremony made or was at, to take it back.
    pub(in super::super) async fn for_rollback(
        spec: &Spec,
        pins: &Pins,
        progress: &Progress,
        leader: &mut dyn Leader,
    ) -> Result<Self, Fault> {
        let mut tokens = Self::known(progress);
        for token in &spec.tokens {
            let task = Task::Initialise(token.name.clone());
            let ready = token.initialise.is_none() || progress.done.contains(&task);
            if ready && !progress.undone.contains(&task) {
                leader.tell(&format!("logging in to token {:?}", token.name));
                match tokens.open_again(token, pins).await {
                    Ok(Some(worker)) => {
                        tokens.workers.insert(token.name.clone(), worker);
                    }
                    Ok(None) => {}
                    Err(fault) => {
                        tokens.close().await;
                        return Err(fault);
                    }
                }
            }
        }
        Ok(tokens)
    }

    fn known(progress: &Progress) -> Self {
        let with_serial = progress.tokens.iter().filter(|record| !record.token.serial.is_empty());
        let serials = with_serial.map(|record| (record.name.clone(), record.token.serial.clone())).collect();
        Self { workers: BTreeMap::new(), serials }
    }

    /// Logs in to a token: to the one that the log has, once it has one.
    async fn log_in(&self, token: &TokenSpec, pins: &Pins) -> Result<Worker, Fault> {
        let mut login = login(token, pins.user(token));
        let Some(serial) = self.serials.get(&token.name) else { return start(token, Some(login)).await };
        login.token = TokenSelection::Serial(serial.clone());
        let worker = match start(token, Some(login)).await {
            Err(Fault::Start { cause: StartError::Setup(failure), .. })
                if failure.class == SetupFailureClass::TokenAbsent =>
            {
                return Err(absent(token, serial));
            }
            other => other?,
        };
        if worker.token().is_some_and(|found| token.selection.matches(found)) {
            return Ok(worker);
        }
        let label = worker.token().map_or_else(String::new, |found| found.label.clone());
        worker.stop().await;
        let fault =
            format!("its label is {label:?} by now (serial {serial}), it is not the {}", token.selection);
        Err(Fault::Inconsistent { what: token.name.clone(), fault })
    }

    /// A token that an interrupted ceremony had open; `None` for one that was emptied a moment before its taking back was
    /// interrupted.
    async fn open_again(&self, token: &TokenSpec, pins: &Pins) -> Result<Option<Worker>, Fault> {
        if token.initialise.is_none() {
            return self.log_in(token, pins).await.map(Some);
        }
        let worker = start(token, None).await?;
        let present = tokens_of(&worker, token).await?;
        worker.stop().await;
        let serial = self.serials.get(&token.name);
        let own = |found: &TokenDescription| Some(&found.serial) == serial;
        let still_named = present.iter().any(|found| named(found, token));
        if present.iter().any(|found| found.is_void() && (own(found) || !still_named)) {
            return Ok(None);
        }
        let worker = self.log_in(token, pins).await?;
        if serial.is_none() {
            must_hold_nothing(&worker, token).await?;
        }
        Ok(Some(worker))
    }

    /// Whether a token that has the label of one that this ceremony initialises is that one: by the serial number that
    /// the log has or, where it was interrupted before there was one, by holding no key yet.
    async fn must_be_own(
        &self,
        worker: &Worker,
        found: &TokenDescription,
        token: &TokenSpec,
        pins: &Pins,
    ) -> Result<(), Fault> {
        if let Some(serial) = self.serials.get(&token.name) {
            return if found.serial == *serial { Ok(()) } else { Err(absent(token, serial)) };
        }
        let command = Command::Look(Question::Token { slot: found.slot });
        let seen = worker.call(command, LIMIT).await.map_err(fault(token, "describe itself"))?;
        let Answer::Seen(Seen::Token(state)) = seen else { return Err(confused(token)) };
        if !state.user_pin_initialised {
            return Ok(());
        }
        let opened = start(token, Some(login(token, pins.user(token)))).await?;
        let nothing = must_hold_nothing(&opened, token).await;
        opened.stop().await;
        nothing
    }

    /// Initialises a token and logs in to it. A token that an interruption left half-initialised is initialised again:
    /// it holds nothing yet, and takes only the security officer's PIN that this ceremony gave it.
    pub(super) async fn initialise(
        &mut self,
        token: &TokenSpec,
        pins: &Pins,
        interrupted: bool,
    ) -> Result<(), Fault> {
        let worker = self.workers.remove(&token.name).ok_or_else(|| confused(token))?;
        let present = tokens_of(&worker, token).await?;
        let begun = present.iter().find(|found| interrupted && named(found, token));
        if let Some(found) = begun {
            self.must_be_own(&worker, found, token, pins).await?;
        }
        let (so_pin, pin) = (pins.officer(token), pins.user(token));
        let Initialise { label, free, .. } = token.initialise.clone().ok_or_else(|| confused(token))?;
        let command = if begun.is_some() {
            Command::InitTokenAgain { old_label: label.clone(), label, so_pin, pin }
        } else {
            let slot = match &free {
                Free::First => None,
                Free::InSlot(slot) => Some(*slot),
                Free::WithSerial(_) => {
                    Some(free_slot(&present, &label, &free).map_err(|text| unfree(token, text))?)
                }
            };
            Command::InitToken { slot, label, so_pin, pin }
        };
        worker.call(command, LIMIT).await.map_err(fault(token, "be initialised"))?;
        worker.stop().await;
        self.workers.insert(token.name.clone(), start(token, Some(login(token, pins.user(token)))).await?);
        Ok(())
    }

    /// Whether a token, now that it is open, can make and use all of its keys.
    pub(super) async fn must_be_able(&self, spec: &Spec, token: &TokenSpec) -> Result<(), Fault> {
        let worker = self.worker(&token.name)?;
        let slot = worker.token().map(|token| token.slot).ok_or_else(|| confused(token))?;
        let progress = Progress::default();
        match (Look { spec, token, progress: &progress }).mechanisms(worker, slot).await?.into_iter().next() {
            None => Ok(()),
            Some(obstacle) => {
                let error = CommandError {
                    class: ErrorClass::Fail,
                    code: "KEY_UNSUPPORTED".to_owned(),
                    detail: obstacle.text,
                };
                Err(fault(token, "make and use its keys")(error.into()))
            }
        }
    }

    /// Empties a token that this ceremony initialised, so that it counts as uninitialised. Returns whether there was one.
    pub(super) async fn make_void(&mut self, token: &TokenSpec, pins: &Pins) -> Result<bool, Fault> {
        if let Some(worker) = self.workers.remove(&token.name) {
            worker.stop().await;
        }
        let worker = start(token, None).await?;
        let present = tokens_of(&worker, token).await?;
        let found = present.iter().find(|found| named(found, token));
        if let Some(found) = found {
            self.must_be_own(&worker, found, token, pins).await?;
            let command = Command::InitTokenAgain {
                old_label: found.label.clone(),
                label: crate::token::VOID_LABEL.to_owned(),
                so_pin: pins.officer(token),
                pin: pins.user(token),
            };
            worker.call(command, LIMIT).await.map_err(fault(token, "be emptied"))?;
        }
        worker.stop().await;
        Ok(found.is_some())
    }

    /// Logs in to a token anew, which shows it as it is.
    pub(super) async fn reopen(&mut self, token: &TokenSpec, pins: &Pins) -> Result<(), Fault> {
        if let Some(worker) = self.workers.remove(&token.name) {
            if let Some(found) = worker.token().filter(|found| !found.serial.is_empty()) {
                self.serials.insert(token.name.clone(), found.serial.clone());
            }
            worker.stop().await;
        }
        self.workers.insert(token.name.clone(), self.log_in(token, pins).await?);
        Ok(())
    }

    /// Whether a token is logged in to.
    pub(super) fn is_open(&self, token: &TokenSpec) -> bool {
        self.workers.get(&token.name).is_some_and(|worker| worker.token().is_some())
    }

    /// A token as it describes itself, with the module that drives it.
    pub(super) fn record(&self, token: &TokenSpec) -> Result<TokenRecord, Fault> {
        let description = self.workers.get(&token.name).and_then(Worker::token);
        Ok(TokenRecord {
            name: token.name.clone(),
            module: token.access.module.clone(),
            module_sha256: std::fs::read(&token.access.module).ok().map(|module| sha256(&module)),
            token: description.cloned().ok_or_else(|| confused(token))?,
        })
    }

    /// Has the security officer of a token that is open trust a key for another's transport key. In a worker of its own:
    /// officer and user are never logged in at once.
    pub(super) async fn trusted_key(
        &self,
        token: &TokenSpec,
        pins: &Pins,
        transport: Vec<u8>,
    ) -> Result<TrustedKey, Fault> {
        let open = self.worker(&token.name)?.token().filter(|found| !found.serial.is_empty());
        let selection = open
            .map_or_else(|| token.selection.clone(), |found| TokenSelection::Serial(found.serial.clone()));
        let command = Command::MakeTrustedKey { token: selection, so_pin: pins.officer(token), transport };
        let worker = start(token, None).await?;
        let answer = worker.call(command, LIMIT).await;
        worker.stop().await;
        match answer.map_err(fault(token, "trust a key"))? {
            Answer::Trusted(key) => Ok(key),
            _ => Err(confused(token)),
        }
    }

    /// Signs with a key. What comes back is checked by the caller.
    pub(super) async fn sign(&self, key: &KeySpec, message: Vec<u8>) -> Result<Vec<u8>, Fault> {
        self.sign_on(&key.token, key, message).await
    }

    /// Signs with a key's copy on another token.
    pub(super) async fn sign_on(
        &self,
        token: &str,
        key: &KeySpec,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, Fault> {
        let signature = self.worker(token)?.sign(&key.id, key.algorithm.mechanism(), message, LIMIT).await;
        signature.map_err(key_fault(token, key, "sign"))
    }

    /// A private key's attributes; `None` when the token has no such key.
    pub(super) async fn attributes(
        &self,
        token: &str,
        key: &KeySpec,
    ) -> Result<Option<KeyAttributes>, Fault> {
        match self.worker(token)?.attributes(&key.id, LIMIT).await {
            Ok(attributes) => Ok(Some(attributes)),
            Err(CallError::Command(error)) if error.code == "KEY_NOT_FOUND" => Ok(None),
            Err(error) => Err(key_fault(token, key, "tell a key's attributes")(error)),
        }
    }

    /// Asks a token something about a key.
    pub(super) async fn ask(
        &self,
        token: &str,
        key: &KeySpec,
        doing: &str,
        command: Command,
        limit: Duration,
    ) -> Result<Answer, Fault> {
        self.worker(token)?.call(command, limit).await.map_err(key_fault(token, key, doing))
    }

    /// The worker of a token that was logged in to.
    pub(super) fn worker(&self, token: &str) -> Result<&Worker, Fault> {
        self.workers.get(token).ok_or_else(|| Fault::Token {
            token: token.to_owned(),
            doing: "be found".into(),
            cause: CallError::Gone("it was closed".into()),
        })
    }

    /// Logs out everywhere and waits for the workers to end.
    pub(in super::super) async fn close(&mut self) {
        for (_, worker) in std::mem::take(&mut self.workers) {
            worker.stop().await;
        }
    }
}

/// Starts a worker for a module, and logs in where that is wanted.
pub(in super::super) async fn start(token: &TokenSpec, login: Option<Login>) -> Result<Worker, Fault> {
    let launch = Launch::this_program(token.access.clone());
    let setup = Setup { module: token.access.module.clone(), login };
    let worker = Worker::start(&launch, setup, LIMIT).await;
    worker.map_err(|cause: StartError| Fault::Start { token: token.name.clone(), cause })
}

/// One login.
pub(in super::super) fn login(token: &TokenSpec, pin: Pin) -> Login {
    Login { token: token.selection.clone(), pin, lanes: 1, queue: 4 }
}

async fn tokens_of(worker: &Worker, token: &TokenSpec) -> Result<Vec<TokenDescription>, Fault> {
    let answer =
        worker.call(Command::Tokens, LIMIT).await.map_err(fault(token, "list its module's tokens"))?;
    let Answer::Tokens(present) = answer else { return Err(confused(token)) };
    Ok(present)
}

fn named(found: &TokenDescription, token: &TokenSpec) -> bool {
    found.initialised && token.selection.matches(found)
}

/// A token that this ceremony has initialised and not logged in to yet holds no key.
async fn must_hold_nothing(worker: &Worker, token: &TokenSpec) -> Result<(), Fault> {
    let command = Command::Look(Question::Objects);
    let seen = worker.call(command, LIMIT).await.map_err(fault(token, "list what it holds"))?;
    let Answer::Seen(Seen::Objects(objects)) = seen else { return Err(confused(token)) };
    if objects.is_empty() {
        return Ok(());
    }
    let fault = format!(
        "the {} holds {} objects, so it is not the one that this ceremony initialised",
        token.selection,
        objects.len()
    );
    Err(Fault::Inconsistent { what: token.name.clone(), fault })
}

fn unfree(token: &TokenSpec, fault: String) -> Fault {
    Fault::Inconsistent { what: token.name.clone(), fault }
}

fn absent(token: &TokenSpec, serial: &str) -> Fault {
    let fault = format!(
        "the token with serial number {serial:?}, with which this ceremony was begun, is not the {} behind {}: bring that one back",
        token.selection,
        token.access.module.display()
    );
    Fault::Inconsistent { what: token.name.clone(), fault }
}

fn fault(token: &TokenSpec, doing: &str) -> impl FnOnce(CallError) -> Fault {
    let (token, doing) = (token.name.clone(), doing.to_owned());
    move |cause| Fault::Token { token, doing, cause }
}

pub(in super::super) fn key_fault(
    token: &str,
    key: &KeySpec,
    doing: &str,
) -> impl FnOnce(CallError) -> Fault {
    let (token, doing) = (token.to_owned(), format!("{doing} ({:?})", key.name));
    move |cause| Fault::Token { token, doing, cause }
}

fn confused(token: &TokenSpec) -> Fault {
    fault(token, "make sense")(CallError::Gone("it answered another question".into()))
}
