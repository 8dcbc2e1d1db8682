//! A lane: one thread with one session, taking commands one at a time.
//!
//! After any error the session is dropped, as an abandoned operation may be left in it. A command is tried a second
//! time only when the token refused it before signing began; what may have been signed is never signed again here.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256, SHA384};
use const_oid::db::rfc5912::ID_SHA_256;
use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use der::asn1::OctetStringRef;
use der::{Any, Encode, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::eyes;
use super::key_store;
use super::module::{Module, OpenToken};
use super::pin::Change;
use super::protocol::{Answer, Command, CommandError, ErrorClass};
use super::transfer::{self, Transport};
use crate::token::{KeyId, Pin, SignatureMechanism};
use crate::vendor::HashPlace;

/// One thread's view of module and token.
pub(super) struct Lane {
    module: Module,
    token: Option<Arc<OpenToken>>,
    session: Option<Session>,
    private_keys: HashMap<KeyId, ObjectHandle>,
    transport: Option<Transport>,
}

/// `DigestInfo` (RFC 8017, 9.2).
#[derive(Sequence)]
struct DigestInfo<'a> {
    algorithm: AlgorithmIdentifierOwned,
    digest: &'a OctetStringRef,
}

impl Lane {
    /// A lane that opens its session when it needs one and wasn't given any. Without a token it serves the module's
    /// commands only.
    pub(super) fn new(module: Module, token: Option<Arc<OpenToken>>, session: Option<Session>) -> Self {
        Self { module, token, session, private_keys: HashMap::new(), transport: None }
    }

    /// Does what is asked.
    pub(super) fn execute(&mut self, command: Command) -> Result<Answer, CommandError> {
        let result = self.dispatch(command);
        if result.is_err() {
            self.reset();
        }
        result
    }

    /// Calls a token that has nothing to do, so that it doesn't take us for gone. What fails here will fail at the next
    /// signature too, which has somebody to tell.
    pub(super) fn call(&mut self) {
        let called = self.session().and_then(|session| Ok(session.generate_random_slice(&mut [0; 8])?));
        if let Err(error) = called {
            tracing::warn!("an idle token doesn't answer: {error}");
            self.reset();
        }
    }

    fn dispatch(&mut self, command: Command) -> Result<Answer, CommandError> {
        match command {
            Command::Sign { key, mechanism, message } => {
                self.sign(&key, mechanism, &message).map(Answer::Signature)
            }
            Command::SignAsked { key, mechanism, message, pin } => {
                self.sign_asked(&key, mechanism, &message, &pin).map(Answer::Signature)
            }
            Command::PublicKey { key } => key_store::public(self.session()?, &key).map(Answer::PublicKey),
            Command::Attributes { key } => {
                key_store::attributes(self.session()?, &key).map(Answer::Attributes)
            }
            Command::GenerateKeyPair { key, label, algorithm, leaving } => {
                let session = self.token()?.writing_session()?;
                key_store::generate(&session, &key, &label, algorithm, leaving).map(Answer::PublicKey)
            }
            Command::MakeTransportKey => {
                let (transport, public) = Transport::make(self.token()?.writing_session()?)?;
                self.transport = Some(transport);
                Ok(Answer::PublicKey(public))
            }
            Command::MakeTrustedKey { token, so_pin, transport } => {
                self.module.make_trusted_key(&token, &so_pin, &transport).map(Answer::Trusted)
            }
            Command::Wrap { key, under } => {
                let token = self.token()?;
                let session = token.writing_session()?;
                transfer::wrap(&session, &key, &under, &token.mechanisms).map(Answer::Wrapped)
            }
            Command::Unwrap { key, label, public_key, wrapped, leaving } => {
                let transport = self.transport.take().ok_or_else(|| {
                    let detail = "this worker has made no transport key, or has used it";
                    CommandError::own(ErrorClass::Fail, "NO_TRANSPORT_KEY", detail)
                })?;
                transport.unwrap(&key, &label, &public_key, &wrapped, leaving).map(|()| Answer::Done)
            }
            Command::DestroyKey { key } => {
                let session = self.token()?.writing_session()?;
                self.private_keys.remove(&key);
                key_store::destroy(&session, &key).map(|()| Answer::Done)
            }
            Command::Look(look) => {
                let (module, session) = (self.module.clone(), self.token.is_some().then(|| self.session()));
                eyes::look(&module, session.transpose()?, look).map(Answer::Seen)
            }
            Command::Tokens => Ok(Answer::Tokens(self.module.tokens()?)),
            Command::Mechanisms { slot } => Ok(Answer::Mechanisms(self.module.mechanisms(slot)?)),
            Command::ChangePin { token, kind, old, new, officer, resuming } => {
                let how = if officer {
                    Change::ByOfficer
                } else if resuming {
                    Change::Resumed(kind)
                } else {
                    Change::ByHolder(kind)
                };
                self.module.change_pin(&token, how, &old, &new).map(|()| Answer::Done)
            }
            Command::InitToken { slot, label, so_pin, pin } => {
                let token = self.module.initialise(slot, &label, &so_pin, &pin)?;
                Ok(Answer::Tokens(vec![token]))
            }
            Command::InitTokenAgain { old_label, label, so_pin, pin } => {
                let token = self.module.initialise_again(&old_label, &label, &so_pin, &pin)?;
                Ok(Answer::Tokens(vec![token]))
            }
        }
    }

    fn token(&self) -> Result<&OpenToken, CommandError> {
        self.token.as_deref().ok_or_else(|| {
            CommandError::own(ErrorClass::Fail, "NOT_LOGGED_IN", "this worker was set up without a token")
        })
    }

    fn session(&mut self) -> Result<&Session, CommandError> {
        if self.session.is_none() {
            self.session = Some(self.token()?.session()?);
        }
        self.session
            .as_ref()
            .ok_or_else(|| CommandError::own(ErrorClass::Restart, "NO_SESSION", "no session"))
    }

    fn reset(&mut self) {
        self.session = None;
        self.private_keys.clear();
        self.transport = None;
    }

    fn private_key(&mut self, key: &KeyId) -> Result<ObjectHandle, CommandError> {
        if let Some(handle) = self.private_keys.get(key) {
            return Ok(*handle);
        }
        let handle = key_store::find(self.session()?, ObjectClass::PRIVATE_KEY, key)?;
        self.private_keys.insert(key.clone(), handle);
        Ok(handle)
    }

    fn sign(
        &mut self,
        key: &KeyId,
        mechanism: SignatureMechanism,
        message: &[u8],
    ) -> Result<Vec<u8>, CommandError> {
        let (pkcs11, input) = input(self.token()?, mechanism, message)?;
        let known_before = self.private_keys.contains_key(key);
        let raw = match self.sign_once(key, &pkcs11, &input) {
            // A handle or session of old has died; a fresh one may do. Nothing was signed yet.
            Err(Failed::BeforeSigning(_)) if known_before => {
                self.reset();
                self.sign_once(key, &pkcs11, &input)
            }
            other => other,
        }
        .map_err(|(Failed::BeforeSigning(error) | Failed::Other(error))| error)?;
        encode(mechanism, raw)
    }

    /// Signs with a key that wants the PIN before each signature, if it does (PKCS#11 3.0, 5.6.8): between `C_SignInit` and
    /// the signature, for this one.
    fn sign_asked(
        &mut self,
        key: &KeyId,
        mechanism: SignatureMechanism,
        message: &[u8],
        pin: &Pin,
    ) -> Result<Vec<u8>, CommandError> {
        let handle = self.private_key(key)?;
        let wants = self.session()?.get_attributes(handle, &[AttributeType::AlwaysAuthenticate]);
        // A token that doesn't know the attribute has no such key.
        if !matches!(wants.as_deref(), Ok([Attribute::AlwaysAuthenticate(true)])) {
            return self.sign(key, mechanism, message);
        }
        let (pkcs11, input) = input(self.token()?, mechanism, message)?;
        let session = self.session()?;
        session.sign_init(&pkcs11, handle)?;
        session.login(UserType::ContextSpecific, (!pin.is_at_the_token()).then(|| pin.as_secret()))?;
        session.sign_update(&input)?;
        encode(mechanism, session.sign_final()?)
    }

    fn sign_once(&mut self, key: &KeyId, mechanism: &Mechanism, input: &[u8]) -> Result<Vec<u8>, Failed> {
        let handle = self.private_key(key).map_err(Failed::Other)?;
        let session = self.session().map_err(Failed::Other)?;
        session.sign(mechanism, handle, input).map_err(|error| match &error {
            Error::Pkcs11(
                RvError::ObjectHandleInvalid
                | RvError::KeyHandleInvalid
                | RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::OperationActive,
                Function::SignInit,
            ) => Failed::BeforeSigning(error.into()),
            _ => Failed::Other(error.into()),
        })
    }
}

enum Failed {
    /// In `C_SignInit`, on a stale handle or session.
    BeforeSigning(CommandError),
    /// Anywhere else.
    Other(CommandError),
}

/// The PKCS#11 mechanism and its input. Hashing here is usual: every token signs digests, few hash, and a large CRL
/// need not travel to the token.
fn input<'a>(
    token: &OpenToken,
    mechanism: SignatureMechanism,
    message: &'a [u8],
) -> Result<(Mechanism<'static>, std::borrow::Cow<'a, [u8]>), CommandError> {
    use SignatureMechanism as S;
    let (of_digest, of_message) = match mechanism {
        S::EcdsaP256Sha256 => (MechanismType::ECDSA, MechanismType::ECDSA_SHA256),
        S::EcdsaP384Sha384 => (MechanismType::ECDSA, MechanismType::ECDSA_SHA384),
        S::RsaPkcs1Sha256 => (MechanismType::RSA_PKCS, MechanismType::SHA256_RSA_PKCS),
    };
    let has = |mechanism| token.mechanisms.contains(mechanism);
    // Where the token can do both, the vendor's profile chooses.
    if has(&of_digest) && (token.behaviour.hash == HashPlace::Here || !has(&of_message)) {
        let (pkcs11, input) = match mechanism {
            S::EcdsaP256Sha256 => (Mechanism::Ecdsa, digest::digest(&SHA256, message).as_ref().to_vec()),
            S::EcdsaP384Sha384 => (Mechanism::Ecdsa, digest::digest(&SHA384, message).as_ref().to_vec()),
            S::RsaPkcs1Sha256 => (Mechanism::RsaPkcs, digest_info(message)?),
        };
        return Ok((pkcs11, input.into()));
    }
    if has(&of_message) {
        let pkcs11 = match mechanism {
            S::EcdsaP256Sha256 => Mechanism::EcdsaSha256,
            S::EcdsaP384Sha384 => Mechanism::EcdsaSha384,
            S::RsaPkcs1Sha256 => Mechanism::Sha256RsaPkcs,
        };
        return Ok((pkcs11, message.into()));
    }
    let detail = format!("the token has neither {of_digest} nor {of_message}");
    Err(CommandError::own(ErrorClass::Fail, "KEY_UNSUPPORTED", detail))
}

fn digest_info(message: &[u8]) -> Result<Vec<u8>, CommandError> {
    let hash = digest::digest(&SHA256, message);
    let encode = || {
        DigestInfo {
            algorithm: AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: Some(Any::null()) },
            digest: OctetStringRef::new(hash.as_ref())?,
        }
        .to_der()
    };
    encode().map_err(|e: der::Error| CommandError::own(ErrorClass::Fail, "KEY_UNSUPPORTED", e.to_string()))
}

/// What the token returned, as the value for a signature BIT STRING.
fn encode(mechanism: SignatureMechanism, raw: Vec<u8>) -> Result<Vec<u8>, CommandError> {
    let expected = match mechanism {
        SignatureMechanism::EcdsaP256Sha256 => 64,
        SignatureMechanism::EcdsaP384Sha384 => 96,
        SignatureMechanism::RsaPkcs1Sha256 => return Ok(raw),
    };
    let wrong = || {
        let detail =
            format!("a signature of {} bytes instead of {expected}: the key is of another kind", raw.len());
        CommandError::own(ErrorClass::Fail, "KEY_UNSUPPORTED", detail)
    };
    if raw.len() != expected {
        return Err(wrong());
    }
    ca_x509::ecdsa::der_from_fixed(&raw).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_info_has_the_standard_prefix() {
        let info = digest_info(b"").expect("encoded");
        // RFC 8017, 9.2, note 1.
        assert_eq!(hex::encode(&info[..19]), "3031300d060960864801650304020105000420");
        assert_eq!(info.len(), 51);
    }

    #[test]
    fn a_signature_by_another_kind_of_key_is_refused() {
        assert!(encode(SignatureMechanism::EcdsaP256Sha256, vec![1; 96]).is_err());
        assert!(encode(SignatureMechanism::EcdsaP384Sha384, vec![1; 96]).is_ok());
    }
}
