//! What a parent and its worker say to each other. Data only.
//!
//! The parent sends one [`Setup`] and waits for [`FromWorker::Ready`] or [`FromWorker::SetupFailed`]; before a login the
//! worker says [`FromWorker::LoginNext`] and waits for [`ToWorker::LogIn`]. Then come commands, numbered and pipelined,
//! whose replies may come in any order.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::look::{Look, Seen};
use crate::token::{KeyAlgorithm, KeyId, Pin, PinKind, SignatureMechanism, TokenDescription, TokenSelection};
use crate::vendor::Behaviour;

/// From parent to worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message, and only the first: what to open, and how this vendor wants it.
    Setup(Setup, Behaviour),
    /// The answer to [`FromWorker::LoginNext`]: the parent has noted that a login begins.
    LogIn,
    /// Any number afterwards.
    Request {
        /// Echoed in the reply; unique among the requests in flight.
        number: u64,
        /// What to do.
        command: Command,
    },
}

/// What to load and how far to open it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Which token to log in to; `None` loads the module only, which serves [`Command::Tokens`],
    /// [`Command::Mechanisms`] and [`Command::InitToken`].
    pub login: Option<Login>,
}

/// A login that happens once, at setup. A worker never repeats it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Login {
    /// The token.
    pub token: TokenSelection,
    /// The user's PIN. It crosses the pipe once.
    #[serde(with = "pin")]
    pub pin: Pin,
    /// Threads, each with a session of its own; at least 1. With one, another session keeps the login.
    pub lanes: u16,
    /// Commands that may wait for a lane before further ones are refused as [`ErrorClass::Busy`]; at least 1.
    pub queue: u16,
}

/// From worker to parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// Everything but the login is done, and `C_Login` to this token comes next. Whatever happens to the worker before
    /// this, the token has not seen the PIN.
    LoginNext(TokenDescription),
    /// Setup succeeded. The token is described when there was a login.
    Ready(Option<TokenDescription>),
    /// Setup failed; the worker exits.
    SetupFailed(SetupFailure),
    /// A command was done or failed.
    Reply {
        /// The request's number.
        number: u64,
        /// The outcome.
        result: Result<Answer, CommandError>,
        /// Microseconds that a lane worked on it.
        lane_us: u32,
    },
}

/// Why a worker could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct SetupFailure {
    /// What to do about it.
    pub class: SetupFailureClass,
    /// The particulars, with the CKR name where the module gave one.
    pub detail: String,
}

/// Kinds of [`SetupFailure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupFailureClass {
    /// The token refused the PIN, which cost one of few tries. Nobody may log in again before a human has looked.
    PinIncorrect,
    /// The PIN is locked, or a further wrong try would lock it. A human is needed.
    PinLocked,
    /// `C_Login` failed in a way that doesn't tell whether the PIN was judged.
    LoginUnclear,
    /// The module shows no such token, now.
    TokenAbsent,
    /// The library can't be loaded or initialised.
    ModuleLoad,
    /// Anything else; starting another worker may help.
    Other,
}

/// What a worker can be asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Sign a message. Answer: [`Answer::Signature`].
    Sign {
        /// The key.
        key: KeyId,
        /// How.
        mechanism: SignatureMechanism,
        /// The message, not a digest.
        #[serde(with = "serde_bytes")]
        message: Vec<u8>,
    },
    /// Sign once with a key that may want the PIN before each signature (`CKA_ALWAYS_AUTHENTICATE`), such as slot 9c of a
    /// PIV token. Answer: [`Answer::Signature`].
    SignAsked {
        /// The key.
        key: KeyId,
        /// How.
        mechanism: SignatureMechanism,
        /// The message, not a digest.
        #[serde(with = "serde_bytes")]
        message: Vec<u8>,
        /// The user's PIN; the token sees it only if the key wants it.
        #[serde(with = "pin")]
        pin: Pin,
    },
    /// The public key. Answer: [`Answer::PublicKey`].
    PublicKey {
        /// The key.
        key: KeyId,
    },
    /// The attributes of a private key, as the token tells them. Answer: [`Answer::Attributes`].
    Attributes {
        /// The key.
        key: KeyId,
    },
    /// Make a key pair that signs and does nothing else. Refused when the ID or label is in use. Answer:
    /// [`Answer::PublicKey`].
    GenerateKeyPair {
        /// Its `CKA_ID`.
        key: KeyId,
        /// Its `CKA_LABEL`.
        label: String,
        /// Its kind.
        algorithm: KeyAlgorithm,
        /// Whether it can ever leave the token.
        leaving: Leaving,
    },
    /// Make an RSA key pair that unwraps and lives as long as this worker's lane. Only for workers with one lane.
    /// Answer: [`Answer::PublicKey`].
    MakeTransportKey,
    /// Have the security officer make a key that wraps for another token and is trusted. Only for workers without a
    /// login: a token knows one user at a time. Answer: [`Answer::Trusted`].
    MakeTrustedKey {
        /// The token.
        token: TokenSelection,
        /// The security officer's PIN.
        #[serde(with = "pin")]
        so_pin: Pin,
        /// The other token's transport key, DER `SubjectPublicKeyInfo`.
        #[serde(with = "serde_bytes")]
        transport: Vec<u8>,
    },
    /// Wrap a private key for another token. Answer: [`Answer::Wrapped`].
    Wrap {
        /// The key, not made as [`Leaving::Never`].
        key: KeyId,
        /// What it is wrapped under.
        under: WrappingKey,
    },
    /// Unwrap a private key with the transport key that this worker made. Refused when the ID or label is in use.
    /// Answer: [`Answer::Done`].
    Unwrap {
        /// Its `CKA_ID`.
        key: KeyId,
        /// Its `CKA_LABEL`.
        label: String,
        /// Its public half, DER `SubjectPublicKeyInfo`.
        #[serde(with = "serde_bytes")]
        public_key: Vec<u8>,
        /// The key.
        wrapped: WrappedKey,
        /// Whether it can leave the token again.
        leaving: Leaving,
    },
    /// Destroy a key pair. Answer: [`Answer::Done`].
    DestroyKey {
        /// The key.
        key: KeyId,
    },
    /// Look at something, for `inro-hsm doctor` and `keys`. Answer: [`Answer::Seen`].
    Look(Look),
    /// All tokens of the module. Answer: [`Answer::Tokens`].
    Tokens,
    /// The mechanisms of the token in a slot, in the token's order. Answer: [`Answer::Mechanisms`].
    Mechanisms {
        /// The slot.
        slot: u64,
    },
    /// Initialise an uninitialised token (or a [void](crate::token::VOID_LABEL) one) and set the user's PIN. Answer:
    /// [`Answer::Tokens`] with this token.
    InitToken {
        /// Where; `None` takes the first uninitialised token.
        slot: Option<u64>,
        /// The label it gets, at most 32 bytes of UTF-8. Refused when a token of the module has it.
        label: String,
        /// The security officer's PIN.
        #[serde(with = "pin")]
        so_pin: Pin,
        /// The user's PIN.
        #[serde(with = "pin")]
        pin: Pin,
    },
    /// Change a token's PIN (`C_SetPIN`, or `C_InitPIN` by the officer) and log in with the new one to see that it has it. Answer: [`Answer::Done`].
    ChangePin {
        /// The token.
        token: TokenSelection,
        /// Which of its PINs.
        kind: PinKind,
        /// The PIN that it has.
        #[serde(with = "pin")]
        old: Pin,
        /// The PIN that it gets.
        #[serde(with = "pin")]
        new: Pin,
        /// The user's PIN is set anew by the security officer, whose PIN is in the place of the old one (`C_InitPIN`).
        officer: bool,
        /// An earlier change may have been done already: the new PIN is tried first, which may cost a try.
        resuming: bool,
    },
    /// Initialise a token once more, under another label or the same, which destroys everything on it. It takes the
    /// security officer's PIN that it has. Answer: [`Answer::Tokens`] with this token.
    InitTokenAgain {
        /// The label it has.
        old_label: String,
        /// The label it gets.
        label: String,
        /// The security officer's PIN.
        #[serde(with = "pin")]
        so_pin: Pin,
        /// The user's PIN.
        #[serde(with = "pin")]
        pin: Pin,
    },
}

/// Whether a private key can ever leave its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaving {
    /// It can't: `CKA_EXTRACTABLE` false from the beginning.
    #[default]
    Never,
    /// Encrypted under another key of a token (`C_WrapKey`), by whoever has the user's PIN: `CKA_EXTRACTABLE` true.
    /// It is still sensitive: no call shows it in plain.
    Wrapped,
    /// The same, and only under keys that the security officer marked as trusted (`CKA_WRAP_WITH_TRUSTED`): the user's PIN
    /// alone doesn't bring it off.
    WrappedTrusted,
}

/// What a private key is wrapped under: an AES-256 key that is used for nothing else, and that the other token gets under
/// its transport key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrappingKey {
    /// One that the user makes for this transport key, DER `SubjectPublicKeyInfo`.
    Fresh(#[serde(with = "serde_bytes")] Vec<u8>),
    /// One that the security officer made. It is destroyed afterwards, however that ended.
    Trusted(TrustedKey),
}

/// A wrapping key that the security officer made and marked `CKA_TRUSTED`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// Its `CKA_ID`.
    pub id: KeyId,
    /// The key itself under the transport key, as [`WrappedKey::secret`].
    #[serde(with = "serde_bytes")]
    pub secret: Vec<u8>,
    /// OAEP's hash, also of its mask generation.
    pub hash: OaepHash,
}

/// A private key on its way from token to token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// PKCS #8 under an AES-256 key that is used for nothing else.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// How.
    #[serde(default)]
    pub cipher: KeyCipher,
    /// That AES-256 key under the transport key, `CKM_RSA_PKCS_OAEP` with empty label.
    #[serde(with = "serde_bytes")]
    pub secret: Vec<u8>,
    /// OAEP's hash, also of its mask generation.
    pub hash: OaepHash,
}

/// How a private key is wrapped; either notices a change on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyCipher {
    /// `CKM_AES_KEY_WRAP_PAD` (RFC 5649).
    #[default]
    KeyWrapPad,
    /// `CKM_AES_GCM`, its initialisation vector zero: no key is used twice.
    Gcm,
}

/// The hash within OAEP. Nothing about OAEP rests on collisions being hard to find; some tokens know only SHA-1 there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OaepHash {
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
}

/// What a command yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing to tell.
    Done,
    /// The value for a `signature` BIT STRING: DER `ECDSA-Sig-Value`, or the RSA octets.
    Signature(#[serde(with = "serde_bytes")] Vec<u8>),
    /// DER `SubjectPublicKeyInfo`.
    PublicKey(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A private key's attributes.
    Attributes(KeyAttributes),
    /// Tokens.
    Tokens(Vec<TokenDescription>),
    /// Mechanisms by their standard name, such as `CKM_ECDSA`.
    Mechanisms(Vec<String>),
    /// What was looked at.
    Seen(Seen),
    /// A wrapped key.
    Wrapped(WrappedKey),
    /// A trusted key.
    Trusted(TrustedKey),
}

/// The attributes of a private key; `None` where the token has no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttributes {
    /// `CKA_LABEL`.
    pub label: Option<String>,
    /// `CKA_KEY_TYPE` by its standard name.
    pub key_type: Option<String>,
    /// `CKA_TOKEN`: survives the session.
    pub token: Option<bool>,
    /// `CKA_PRIVATE`: invisible without login.
    pub private: Option<bool>,
    /// `CKA_SENSITIVE`: can't be read in plain.
    pub sensitive: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`: and never could.
    pub always_sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`: can be wrapped.
    pub extractable: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`: and never could.
    pub never_extractable: Option<bool>,
    /// `CKA_LOCAL`: generated on this token.
    pub local: Option<bool>,
    /// `CKA_SIGN`.
    pub sign: Option<bool>,
    /// `CKA_DECRYPT`.
    pub decrypt: Option<bool>,
    /// `CKA_UNWRAP`.
    pub unwrap: Option<bool>,
    /// `CKA_DERIVE`.
    pub derive: Option<bool>,
    /// `CKA_WRAP_WITH_TRUSTED`: wrapped only under keys that the security officer trusts.
    #[serde(default)]
    pub wrap_with_trusted: Option<bool>,
}

/// The code of a [`CommandError`] after which the token surely has the PIN it had.
pub(crate) const PIN_UNCHANGED: &str = "PIN_UNCHANGED";

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct CommandError {
    /// What to do about it.
    pub class: ErrorClass,
    /// The PKCS#11 name, such as `CKR_DEVICE_ERROR`, or a name of the worker's own: `QUEUE_FULL`, `KEY_NOT_FOUND`,
    /// `KEY_EXISTS`, `KEY_AMBIGUOUS`, `TOKEN_EXISTS`, `TOKEN_ABSENT`, `KEY_UNSUPPORTED`, `NOT_LOGGED_IN`, [`PIN_UNCHANGED`].
    pub code: String,
    /// The particulars.
    pub detail: String,
}

/// What a parent does about a [`CommandError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The queue is full: ask again later; the worker is well.
    Busy,
    /// Module or token are in a bad state: restart the worker, then ask again.
    Restart,
    /// The same command will fail again.
    Fail,
    /// A PIN was refused: nobody logs in before a human has looked.
    Lockout,
}

/// `Pin` has no `Serialize` on purpose; crossing this pipe is the one exception.
mod pin {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::token::Pin;

    pub(super) fn serialize<S: Serializer>(pin: &Pin, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(pin.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pin, D::Error> {
        String::deserialize(deserializer).map(|text| Pin::new(text.into()))
    }
}
