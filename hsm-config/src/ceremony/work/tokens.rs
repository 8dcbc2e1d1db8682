//! The ceremony's tokens, each behind a worker of its own: looked at first, then initialised and opened.

use std::collections::BTreeMap;
use std::time::Duration;

use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::super::error::Fault;
use super::super::record::event::{Task, TokenRecord};
use super::super::record::transcript::Progress;
use super::super::sha256;
use super::super::spec::{KeySpec, Spec, TokenSpec};
use super::Leader;
use super::pins::Pins;
use crate::token::{KeyAlgorithm, Pin, TokenDescription, TokenSelection};
use crate::worker::handle::{CallError, Launch, StartError, Worker};
use crate::worker::look::{self, Seen};
use crate::worker::protocol::{
    Answer, Command, CommandError, ErrorClass, KeyAttributes, Login, Setup, SetupFailureClass,
};

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
        let label = worker.token().map_or_else(String::new, |found| found.label.clone());
        if label == token.label {
            return Ok(worker);
        }
        worker.stop().await;
        let fault = format!("its label is {label:?} by now, not {:?} (serial {serial})", token.label);
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
        let command = Command::Look(look::Look::Token { slot: found.slot });
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
        let label = token.label.clone();
        let command = if begun.is_some() {
            Command::InitTokenAgain { old_label: label.clone(), label, so_pin, pin }
        } else {
            let slot = token.initialise.as_ref().and_then(|initialise| initialise.slot);
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
                old_label: token.label.clone(),
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

/// A look at one token.
struct Look<'a> {
    spec: &'a Spec,
    token: &'a TokenSpec,
    progress: &'a Progress,
}

impl Look<'_> {
    async fn at(&self, tokens: &mut Tokens, pins: &Pins) -> Result<Vec<Obstacle>, Fault> {
        let token = self.token;
        let initialising = Task::Initialise(token.name.clone());
        let ready = token.initialise.is_none() || self.is_done(&initialising);
        let worker = if ready { tokens.log_in(token, pins).await? } else { start(token, None).await? };
        let mut obstacles = Vec::new();
        let slot = if ready {
            worker.token().map(|token| token.slot)
        } else {
            let present = tokens_of(&worker, token).await?;
            // Begun and not done: its label was free when it began, so what has it now is this ceremony's.
            let own = present.iter().find(|found| named(found, token) && self.was_begun(&initialising));
            let wanted = token.initialise.as_ref().and_then(|initialise| initialise.slot);
            match own.map_or_else(|| free_slot(&present, &token.label, wanted), |own| Ok(own.slot)) {
                Ok(slot) => Some(slot),
                Err(text) => {
                    obstacles.push(Obstacle {
                        task: initialising,
                        text: format!("token {:?}: {text}", token.name),
                    });
                    None
                }
            }
        };
        if let Some(slot) = slot {
            obstacles.extend(self.mechanisms(&worker, slot).await?);
        }
        tokens.workers.insert(token.name.clone(), worker);
        if ready {
            obstacles.extend(self.keys(tokens).await?);
        }
        Ok(obstacles)
    }

    async fn mechanisms(&self, worker: &Worker, slot: u64) -> Result<Vec<Obstacle>, Fault> {
        let token = self.token;
        let names = match worker.call(Command::Mechanisms { slot }, LIMIT).await {
            Ok(Answer::Mechanisms(names)) => names,
            Ok(_) => return Err(confused(token)),
            // Some tokens have none before they are initialised; they are asked again then.
            Err(CallError::Command(_)) if worker.token().is_none() => return Ok(Vec::new()),
            Err(error) => return Err(fault(token, "list its mechanisms")(error)),
        };
        let here = self.spec.keys.iter().filter(|key| key.token == token.name);
        let lacking = here.filter_map(|key| {
            let task =
                if key.is_new() { Task::MakeKey(key.name.clone()) } else { Task::FindKey(key.name.clone()) };
            Some((task, unable(&names, key)?))
        });
        let copies = self.spec.copies.iter().filter(|copy| {
            copy.to == token.name || self.spec.key(&copy.key).is_some_and(|key| key.token == token.name)
        });
        let transfers =
            copies.filter_map(|copy| Some((Task::CopyKey(copy.key.clone()), unable_to_transfer(&names)?)));
        let obstacle = |(task, text)| Obstacle { task, text: format!("token {:?}: {text}", token.name) };
        Ok(lacking.chain(transfers).filter(|(task, _)| !self.is_done(task)).map(obstacle).collect())
    }

    /// Keys that must be there, and keys that must not.
    async fn keys(&self, tokens: &Tokens) -> Result<Vec<Obstacle>, Fault> {
        let name = &self.token.name;
        let mut obstacles = Vec::new();
        let mut expect = async |key: &KeySpec, task: Task, there: bool| {
            if self.is_done(&task) || self.was_begun(&task) {
                return Ok(());
            }
            let text = match (tokens.attributes(name, key).await?, there) {
                (Some(_), false) => format!("it holds a key with ID {} already", key.id),
                (None, true) => format!("it holds no key with ID {}", key.id),
                _ => return Ok(()),
            };
            obstacles.push(Obstacle { task, text: format!("token {name:?}: {text}") });
            Ok::<(), Fault>(())
        };
        for key in self.spec.keys.iter().filter(|key| key.token == *name) {
            if key.is_new() {
                expect(key, Task::MakeKey(key.name.clone()), false).await?;
            } else {
                expect(key, Task::FindKey(key.name.clone()), true).await?;
            }
        }
        for copy in self.spec.copies.iter().filter(|copy| copy.to == *name) {
            if let Some(key) = self.spec.key(&copy.key) {
                expect(key, Task::CopyKey(copy.key.clone()), false).await?;
            }
        }
        obstacles.extend(self.other_names(tokens).await?);
        Ok(obstacles)
    }

    /// Keys to be destroyed that the token knows by another name: of those it can't be told that they are the ones.
    async fn other_names(&self, tokens: &Tokens) -> Result<Vec<Obstacle>, Fault> {
        let name = &self.token.name;
        let mut obstacles = Vec::new();
        for destruction in &self.spec.destructions {
            let task = Task::DestroyKey(destruction.key.clone());
            let key = self.spec.key(&destruction.key).filter(|key| key.token == *name);
            let Some(key) = key.filter(|_| !self.is_done(&task) && !self.was_begun(&task)) else { continue };
            let Some(attributes) = tokens.attributes(name, key).await? else { continue };
            if let Some(text) = other_name(key, attributes.label.as_deref()) {
                obstacles.push(Obstacle { task, text: format!("token {name:?}: {text}") });
            }
        }
        Ok(obstacles)
    }

    fn is_done(&self, task: &Task) -> bool {
        self.progress.done.contains(task)
    }

    fn was_begun(&self, task: &Task) -> bool {
        self.progress.begun.as_ref().is_some_and(|begun| begun.task == *task)
    }
}

/// Starts a worker for a module, and logs in where that is wanted.
pub(in super::super) async fn start(token: &TokenSpec, login: Option<Login>) -> Result<Worker, Fault> {
    let launch = Launch::this_program(token.access.clone());
    let setup = Setup { module: token.access.module.clone(), login };
    let worker = Worker::start(&launch, setup, LIMIT).await;
    worker.map_err(|cause: StartError| Fault::Start { token: token.name.clone(), cause })
}

/// One login by label.
pub(in super::super) fn login(token: &TokenSpec, pin: Pin) -> Login {
    Login { token: TokenSelection::Label(token.label.clone()), pin, lanes: 1, queue: 4 }
}

async fn tokens_of(worker: &Worker, token: &TokenSpec) -> Result<Vec<TokenDescription>, Fault> {
    let answer =
        worker.call(Command::Tokens, LIMIT).await.map_err(fault(token, "list its module's tokens"))?;
    let Answer::Tokens(present) = answer else { return Err(confused(token)) };
    Ok(present)
}

fn named(found: &TokenDescription, token: &TokenSpec) -> bool {
    found.initialised && found.label == token.label
}

/// The slot that will be initialised, or why there is none.
fn free_slot(present: &[TokenDescription], label: &str, wanted: Option<u64>) -> Result<u64, String> {
    if let Some(token) = present.iter().find(|token| token.initialised && token.label == label) {
        return Err(format!(
            "a token with label {label:?} exists (slot {}, serial {})",
            token.slot, token.serial
        ));
    }
    match wanted {
        None => present
            .iter()
            .find(|token| !token.initialised)
            .or_else(|| present.iter().find(|token| token.is_void()))
            .map(|token| token.slot)
            .ok_or_else(|| "the module shows no uninitialised token".to_owned()),
        Some(slot) => match present.iter().find(|token| token.slot == slot) {
            None => Err(format!("there is no token in slot {slot}")),
            Some(token) if token.initialised && !token.is_void() => {
                Err(format!("the token in slot {slot} is initialised already, as {:?}", token.label))
            }
            Some(_) => Ok(slot),
        },
    }
}

/// What a token lacks to make and use a key, if something.
fn unable(mechanisms: &[String], key: &KeySpec) -> Option<String> {
    let (generation, signing) = match key.algorithm {
        KeyAlgorithm::P256 => ("CKM_EC_KEY_PAIR_GEN", ["CKM_ECDSA", "CKM_ECDSA_SHA256"]),
        KeyAlgorithm::P384 => ("CKM_EC_KEY_PAIR_GEN", ["CKM_ECDSA", "CKM_ECDSA_SHA384"]),
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            ("CKM_RSA_PKCS_KEY_PAIR_GEN", ["CKM_RSA_PKCS", "CKM_SHA256_RSA_PKCS"])
        }
    };
    let has = |wanted: &str| mechanisms.iter().any(|name| name == wanted);
    let able = (has(generation) || !key.is_new()) && signing.iter().any(|name| has(name));
    (!able).then(|| format!("it lacks {generation} or {}, which an {} key needs", signing[0], key.algorithm))
}

/// What a token lacks to give or receive a wrapped key, if something.
fn unable_to_transfer(mechanisms: &[String]) -> Option<String> {
    let has = |wanted: &str| mechanisms.iter().any(|name| name == wanted);
    let needed = ["CKM_RSA_PKCS_OAEP", "CKM_AES_KEY_GEN", "CKM_RSA_PKCS_KEY_PAIR_GEN"];
    let mut missing: Vec<&str> = needed.into_iter().filter(|wanted| !has(wanted)).collect();
    if !has("CKM_AES_KEY_WRAP_PAD") && !has("CKM_AES_GCM") {
        missing.push("CKM_AES_KEY_WRAP_PAD and CKM_AES_GCM");
    }
    let text =
        format!("it lacks {}, which wrapping a key needs; use its vendor's cloning", missing.join(", "));
    (!missing.is_empty()).then_some(text)
}

/// Whether a public key is of the kind that was asked for.
pub(in super::super) fn fits(
    algorithm: KeyAlgorithm,
    public: &SubjectPublicKeyInfoOwned,
) -> Result<(), String> {
    use ca_x509::KeyKind;
    let kind = KeyKind::of(public).map_err(|e| e.to_string())?;
    let wanted = match algorithm {
        KeyAlgorithm::P256 => KeyKind::P256,
        KeyAlgorithm::P384 => KeyKind::P384,
        KeyAlgorithm::Rsa3072 => KeyKind::Rsa { bits: 3072 },
        KeyAlgorithm::Rsa4096 => KeyKind::Rsa { bits: 4096 },
    };
    let on_curve = ca_x509::key::on_curve(public).map_err(|e| e.to_string())?;
    if kind == wanted && on_curve { Ok(()) } else { Err(format!("it is {kind:?}, not {algorithm}")) }
}

/// What is wrong with a key's label, if something.
fn other_name(key: &KeySpec, label: Option<&str>) -> Option<String> {
    let found = match label {
        Some(label) if label == key.name => return None,
        Some(label) => format!("the label (CKA_LABEL) {label:?}"),
        None => "no label (CKA_LABEL)".to_owned(),
    };
    let text = format!(
        "its key with ID {} has {found}, not {:?}: call the key in the specification what the token calls it, or label it by the vendor's tools",
        key.id, key.name
    );
    Some(text)
}

/// A token that this ceremony has initialised and not logged in to yet holds no key.
async fn must_hold_nothing(worker: &Worker, token: &TokenSpec) -> Result<(), Fault> {
    let command = Command::Look(look::Look::Objects);
    let seen = worker.call(command, LIMIT).await.map_err(fault(token, "list what it holds"))?;
    let Answer::Seen(Seen::Objects(objects)) = seen else { return Err(confused(token)) };
    if objects.is_empty() {
        return Ok(());
    }
    let fault = format!(
        "the token with label {:?} holds {} objects, so it is not the one that this ceremony initialised",
        token.label,
        objects.len()
    );
    Err(Fault::Inconsistent { what: token.name.clone(), fault })
}

fn absent(token: &TokenSpec, serial: &str) -> Fault {
    let fault = format!(
        "the token with serial number {serial:?}, with which this ceremony was begun, is not the one with label {:?} behind {}: bring that one back",
        token.label,
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
