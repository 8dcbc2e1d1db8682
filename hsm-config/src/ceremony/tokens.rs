//! The ceremony's tokens: looked at first, then initialised, opened, and given their keys.

use std::collections::BTreeMap;
use std::time::Duration;

use der::Decode;
use secrecy::SecretString;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::error::{CeremonyError, Fault};
use super::mistake::{Mistake, Mistakes};
use super::spec::{KeySpec, Spec, TokenSpec};
use super::transcript::{KeyRecord, TokenRecord};
use super::{Ceremony, Tell, check, sha256};
use crate::token::{KeyAlgorithm, Pin, TokenDescription, TokenSelection};
use crate::worker::handle::{CallError, Launch, Worker};
use crate::worker::protocol::{Answer, Command, Login, Setup};

/// For everything but making keys.
const LIMIT: Duration = Duration::from_mins(1);
/// A slow token may look for RSA primes for minutes.
const KEY_LIMIT: Duration = Duration::from_mins(15);

/// The PINs of a ceremony's tokens by the tokens' names.
pub(super) struct Pins(BTreeMap<String, TokenPins>);

struct TokenPins {
    user: Pin,
    officer: Option<Pin>,
}

impl Pins {
    /// Reads all PIN files.
    pub(super) fn from_files(spec: &Spec) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Mistakes::default();
        let mut pins = BTreeMap::new();
        for token in &spec.tokens {
            let mut read = |key: &str, path| match Pin::from_file(path) {
                Ok(pin) => Some(pin),
                Err(error) => {
                    let place = format!("token.{}.{key}", token.name);
                    mistakes.add(place, error.fault.to_string(), error.fault.remedy());
                    None
                }
            };
            let officer =
                token.initialise.as_ref().and_then(|initialise| read("so_pin_file", &initialise.so_pin_file));
            if let Some(user) = read("pin_file", &token.pin_file) {
                pins.insert(token.name.clone(), TokenPins { user, officer });
            }
        }
        if mistakes.0.is_empty() { Ok(Self(pins)) } else { Err(mistakes.0) }
    }

    /// Random PINs, for tokens that will be thrown away.
    pub(super) fn made_up(spec: &Spec) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut made_up = BTreeMap::new();
        for token in &spec.tokens {
            let pins = TokenPins { user: random_pin()?, officer: Some(random_pin()?) };
            made_up.insert(token.name.clone(), pins);
        }
        Ok(Self(made_up))
    }

    fn user(&self, token: &TokenSpec) -> Pin {
        self.0.get(&token.name).map_or_else(|| Pin::new(SecretString::default()), |pins| pins.user.copy())
    }

    fn officer(&self, token: &TokenSpec) -> Pin {
        let officer = self.0.get(&token.name).and_then(|pins| pins.officer.as_ref());
        officer.map_or_else(|| Pin::new(SecretString::default()), Pin::copy)
    }
}

fn random_pin() -> Result<Pin, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(Pin::new(SecretString::from(hex::encode(bytes))))
}

/// One worker per token: at first with the module only, later logged in.
pub(super) struct Tokens {
    workers: BTreeMap<String, Worker>,
}

impl Tokens {
    /// Looks at every token and changes nothing. A label or key that exists, a missing slot or mechanism stops the
    /// ceremony here, all of them told at once.
    pub(super) async fn inspect(
        spec: &Spec,
        pins: &Pins,
        tell: &mut Tell<'_>,
    ) -> Result<Self, CeremonyError> {
        let mut tokens = Self { workers: BTreeMap::new() };
        let mut obstacles = Vec::new();
        for token in &spec.tokens {
            tell(&format!("looking at token {:?} through {}", token.name, token.access.module.display()));
            match tokens.inspect_one(spec, token, pins).await {
                Ok(found) => {
                    obstacles.extend(found.into_iter().map(|text| format!("token {:?}: {text}", token.name)));
                }
                Err(fault) => return Err(CeremonyError::Failed(Box::new(fault))),
            }
        }
        if obstacles.is_empty() {
            return Ok(tokens);
        }
        tokens.close().await;
        Err(CeremonyError::Refused(obstacles))
    }

    async fn inspect_one(
        &mut self,
        spec: &Spec,
        token: &TokenSpec,
        pins: &Pins,
    ) -> Result<Vec<String>, Fault> {
        let login = token.initialise.is_none().then(|| login(token, pins));
        let worker = start(token, login).await?;
        let answer =
            worker.call(Command::Tokens, LIMIT).await.map_err(fault(token, "list its module's tokens"))?;
        let Answer::Tokens(present) = answer else { return Err(confused(token)) };
        let mut obstacles = Vec::new();
        let slot = match (&token.initialise, worker.token()) {
            (Some(initialise), _) => match free_slot(&present, &token.label, initialise.slot) {
                Ok(slot) => Some(slot),
                Err(obstacle) => {
                    obstacles.push(obstacle);
                    None
                }
            },
            (None, Some(open)) => Some(open.slot),
            (None, None) => return Err(confused(token)),
        };
        let keys = spec.keys.iter().filter(|key| key.token == token.name);
        if let Some(slot) = slot {
            let answer = worker
                .call(Command::Mechanisms { slot }, LIMIT)
                .await
                .map_err(fault(token, "list its mechanisms"))?;
            let Answer::Mechanisms(names) = answer else { return Err(confused(token)) };
            obstacles.extend(keys.clone().filter_map(|key| unable(&names, key)));
        }
        if token.initialise.is_none() {
            for key in keys {
                match worker.attributes(&key.id, LIMIT).await {
                    Ok(_) => obstacles.push(format!("it holds a key with ID {} already", key.id)),
                    Err(CallError::Command(error)) if error.code == "KEY_NOT_FOUND" => {}
                    Err(error) => return Err(fault(token, "look for keys")(error)),
                }
            }
        }
        self.workers.insert(token.name.clone(), worker);
        Ok(obstacles)
    }

    /// Initialises the tokens that are to be, and logs in to all.
    pub(super) async fn open(&mut self, ceremony: &mut Ceremony<'_, '_>, pins: &Pins) -> Result<(), Fault> {
        let spec = ceremony.spec;
        for token in &spec.tokens {
            if let Some(initialise) = &token.initialise {
                ceremony.changed = true;
                let command = Command::InitToken {
                    slot: initialise.slot,
                    label: token.label.clone(),
                    so_pin: pins.officer(token),
                    pin: pins.user(token),
                };
                let worker = self.workers.remove(&token.name).ok_or_else(|| confused(token))?;
                worker.call(command, LIMIT).await.map_err(fault(token, "be initialised"))?;
                worker.stop().await;
                ceremony.step(format!("initialised token {:?} with label {:?}", token.name, token.label));
                self.workers.insert(token.name.clone(), start(token, Some(login(token, pins))).await?);
            }
            let worker = self.workers.get(&token.name).ok_or_else(|| confused(token))?;
            let description = worker.token().cloned().ok_or_else(|| confused(token))?;
            let TokenDescription { manufacturer, model, serial, .. } = &description;
            ceremony.step(format!(
                "logged in to token {:?} ({manufacturer}, {model}, serial {serial})",
                token.name
            ));
            ceremony.transcript.tokens.push(TokenRecord {
                name: token.name.clone(),
                module: token.access.module.clone(),
                module_sha256: std::fs::read(&token.access.module).ok().map(|module| sha256(&module)),
                token: description,
            });
        }
        Ok(())
    }

    /// Makes every key and makes sure that its token protects it.
    pub(super) async fn make_keys(
        &mut self,
        ceremony: &mut Ceremony<'_, '_>,
    ) -> Result<BTreeMap<String, SubjectPublicKeyInfoOwned>, Fault> {
        let spec = ceremony.spec;
        let mut keys = BTreeMap::new();
        for key in &spec.keys {
            let worker = self.worker(key)?.clone();
            ceremony.changed = true;
            let public = generate(&worker, key, ceremony.tell).await?;
            let fingerprint = sha256(&public);
            let attributes = worker
                .attributes(&key.id, LIMIT)
                .await
                .map_err(key_fault(key, "read a key's attributes back"))?;
            let inconsistent = |fault| Fault::Unprotected { key: key.name.clone(), fault };
            check::protection(&attributes).map_err(inconsistent)?;
            let info =
                SubjectPublicKeyInfoOwned::from_der(&public).map_err(|e| inconsistent(e.to_string()))?;
            fits(key.algorithm, &info).map_err(inconsistent)?;
            ceremony.step(format!(
                "made {} key {:?} on token {:?} (CKA_ID {}), sensitive and not extractable by the token's own word; public key SHA-256 {fingerprint}",
                key.algorithm, key.name, key.token, key.id
            ));
            ceremony.transcript.keys.push(KeyRecord {
                name: key.name.clone(),
                token: key.token.clone(),
                id: key.id.to_string(),
                algorithm: key.algorithm,
                public_key_sha256: fingerprint,
                attributes,
            });
            keys.insert(key.name.clone(), info);
        }
        Ok(keys)
    }

    /// Signs with a key. What comes back is checked by the caller.
    pub(super) async fn sign(&self, key: &KeySpec, message: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let signature = self.worker(key)?.sign(&key.id, key.algorithm.mechanism(), message, LIMIT).await;
        signature.map_err(key_fault(key, "sign"))
    }

    fn worker(&self, key: &KeySpec) -> Result<&Worker, Fault> {
        self.workers.get(&key.token).ok_or_else(|| Fault::Token {
            token: key.token.clone(),
            doing: "be found".into(),
            cause: CallError::Gone("it was closed".into()),
        })
    }

    /// Logs out everywhere and waits for the workers to end.
    pub(super) async fn close(&mut self) {
        for (_, worker) in std::mem::take(&mut self.workers) {
            worker.stop().await;
        }
    }
}

async fn start(token: &TokenSpec, login: Option<Login>) -> Result<Worker, Fault> {
    let launch = Launch::this_program(token.access.clone());
    let setup = Setup { module: token.access.module.clone(), login };
    let worker = Worker::start(&launch, setup, LIMIT).await;
    worker.map_err(|cause| Fault::Start { token: token.name.clone(), cause })
}

fn login(token: &TokenSpec, pins: &Pins) -> Login {
    Login { token: TokenSelection::Label(token.label.clone()), pin: pins.user(token), lanes: 1, queue: 4 }
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
            .map(|token| token.slot)
            .ok_or_else(|| "the module shows no uninitialised token".to_owned()),
        Some(slot) => match present.iter().find(|token| token.slot == slot) {
            None => Err(format!("there is no token in slot {slot}")),
            Some(token) if token.initialised => {
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
    let able = has(generation) && signing.iter().any(|name| has(name));
    (!able).then(|| format!("it lacks {generation} or {}, which an {} key needs", signing[0], key.algorithm))
}

/// Makes a key and keeps telling that it does.
async fn generate(worker: &Worker, key: &KeySpec, tell: &mut Tell<'_>) -> Result<Vec<u8>, Fault> {
    tell(&format!("making {} key {:?} on token {:?}", key.algorithm, key.name, key.token));
    let command =
        Command::GenerateKeyPair { key: key.id.clone(), label: key.name.clone(), algorithm: key.algorithm };
    let began = Instant::now();
    let mut ticks = interval_at(began + Duration::from_secs(2), Duration::from_secs(2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let making = worker.call(command, KEY_LIMIT);
    tokio::pin!(making);
    let answer = loop {
        tokio::select! {
            answer = &mut making => break answer,
            _ = ticks.tick() => tell(&format!("  still making key {:?}, {} s", key.name, began.elapsed().as_secs())),
        }
    };
    match answer.map_err(key_fault(key, "make a key"))? {
        Answer::PublicKey(public) => Ok(public),
        _ => Err(key_fault(key, "make a key")(CallError::Gone("it answered another question".into()))),
    }
}

/// Whether a public key is of the kind that was asked for.
fn fits(algorithm: KeyAlgorithm, public: &SubjectPublicKeyInfoOwned) -> Result<(), String> {
    use ca_x509::KeyKind;
    let kind = KeyKind::of(public).map_err(|e| e.to_string())?;
    let wanted = match algorithm {
        KeyAlgorithm::P256 => KeyKind::P256,
        KeyAlgorithm::P384 => KeyKind::P384,
        KeyAlgorithm::Rsa3072 => KeyKind::Rsa { bits: 3072 },
        KeyAlgorithm::Rsa4096 => KeyKind::Rsa { bits: 4096 },
    };
    let on_curve = ca_x509::key::on_curve(public).map_err(|e| e.to_string())?;
    if kind == wanted && on_curve { Ok(()) } else { Err(format!("the token made {kind:?}, not {algorithm}")) }
}

fn fault(token: &TokenSpec, doing: &str) -> impl FnOnce(CallError) -> Fault {
    let (token, doing) = (token.name.clone(), doing.to_owned());
    move |cause| Fault::Token { token, doing, cause }
}

fn key_fault(key: &KeySpec, doing: &str) -> impl FnOnce(CallError) -> Fault {
    let (token, doing) = (key.token.clone(), format!("{doing} ({:?})", key.name));
    move |cause| Fault::Token { token, doing, cause }
}

fn confused(token: &TokenSpec) -> Fault {
    fault(token, "make sense")(CallError::Gone("it answered another question".into()))
}
