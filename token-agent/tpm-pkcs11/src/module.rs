//! What the module does, without pointers. One lock holds everything: a TPM does one thing at a time anyway.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use agent_tpm::{Place, Scheme, Shelf};
use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID,
    CKR_ATTRIBUTE_SENSITIVE, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_GENERAL_ERROR, CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED, CKR_SESSION_HANDLE_INVALID, CKR_SLOT_ID_INVALID,
    CKR_USER_ALREADY_LOGGED_IN, CKR_USER_NOT_LOGGED_IN,
};
use zeroize::Zeroizing;

use crate::{
    mechanism,
    object::{CERTIFICATE, Object, PRIVATE_KEY, PUBLIC_KEY},
    token::Token,
};

/// The attributes that a search must find.
pub(crate) type Template = Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>;

/// The initialized module.
#[derive(Default)]
pub(crate) struct Module {
    tokens: Vec<Token>,
    sessions: HashMap<CK_SESSION_HANDLE, Session>,
    /// By slot; who is logged in is logged in in all sessions.
    pins: HashMap<CK_SLOT_ID, Zeroizing<Vec<u8>>>,
    last_session: CK_SESSION_HANDLE,
}

/// A session.
struct Session {
    slot: CK_SLOT_ID,
    /// What a search found and hasn't told yet.
    found: Option<Vec<CK_OBJECT_HANDLE>>,
    signing: Option<Scheme>,
}

static MODULE: Mutex<Option<Module>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Module>> {
    MODULE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with the initialized module.
pub(crate) fn with<T>(act: impl FnOnce(&mut Module) -> Result<T, CK_RV>) -> Result<T, CK_RV> {
    act(lock().as_mut().ok_or(CKR_CRYPTOKI_NOT_INITIALIZED)?)
}

pub(crate) fn initialize() -> Result<(), CK_RV> {
    let mut module = lock();
    if module.is_some() {
        return Err(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    }
    let mut fresh = Module::default();
    fresh.read_shelf()?;
    *module = Some(fresh);
    Ok(())
}

pub(crate) fn finalize() -> Result<(), CK_RV> {
    lock().take().map(drop).ok_or(CKR_CRYPTOKI_NOT_INITIALIZED)
}

impl Module {
    /// Looks for certificates anew. One that is in use stays as it is.
    pub(crate) fn read_shelf(&mut self) -> Result<(), CK_RV> {
        let entries = match Shelf::usual() {
            Some(usual) => usual.entries().map_err(|_| CKR_GENERAL_ERROR)?,
            None => Vec::new(),
        };
        if self.sessions.is_empty() {
            self.tokens.retain(|token| entries.iter().any(|entry| token.is_of(entry)));
        }
        for entry in entries {
            if self.tokens.iter().all(|token| !token.is_of(&entry)) {
                let slot = self.free_slot(entry.place);
                self.tokens.extend(Token::of(slot, entry));
            }
        }
        Ok(())
    }

    /// The key's place, unless a certificate of another computer's TPM, in a home folder that was copied, stands there.
    fn free_slot(&self, place: Place) -> CK_SLOT_ID {
        let beyond = CK_SLOT_ID::from(Place::COUNT) + 1;
        let mut candidates = std::iter::once(place.number().into()).chain(beyond..);
        candidates.find(|slot| self.token(*slot).is_err()).unwrap_or_default()
    }

    pub(crate) fn slots(&self) -> Vec<CK_SLOT_ID> {
        self.tokens.iter().map(Token::slot).collect()
    }

    pub(crate) fn token(&self, slot: CK_SLOT_ID) -> Result<&Token, CK_RV> {
        self.tokens.iter().find(|token| token.slot() == slot).ok_or(CKR_SLOT_ID_INVALID)
    }

    pub(crate) fn sessions_of(&self, slot: CK_SLOT_ID) -> usize {
        self.sessions.values().filter(|session| session.slot == slot).count()
    }

    pub(crate) fn open(&mut self, slot: CK_SLOT_ID) -> Result<CK_SESSION_HANDLE, CK_RV> {
        self.token(slot)?;
        self.last_session += 1;
        let session = Session { slot, found: None, signing: None };
        self.sessions.insert(self.last_session, session);
        Ok(self.last_session)
    }

    pub(crate) fn close(&mut self, session: CK_SESSION_HANDLE) -> Result<(), CK_RV> {
        let closed = self.sessions.remove(&session).ok_or(CKR_SESSION_HANDLE_INVALID)?;
        if self.sessions_of(closed.slot) == 0 {
            self.pins.remove(&closed.slot);
        }
        Ok(())
    }

    pub(crate) fn close_all(&mut self, slot: CK_SLOT_ID) -> Result<(), CK_RV> {
        self.token(slot)?;
        self.sessions.retain(|_, session| session.slot != slot);
        self.pins.remove(&slot);
        Ok(())
    }

    /// Slot, and whether somebody is logged in.
    pub(crate) fn state(&self, session: CK_SESSION_HANDLE) -> Result<(CK_SLOT_ID, bool), CK_RV> {
        let session = self.sessions.get(&session).ok_or(CKR_SESSION_HANDLE_INVALID)?;
        Ok((session.slot, self.pins.contains_key(&session.slot)))
    }

    pub(crate) fn login(&mut self, session: CK_SESSION_HANDLE, pin: Zeroizing<Vec<u8>>) -> Result<(), CK_RV> {
        let (slot, logged_in) = self.state(session)?;
        if logged_in {
            return Err(CKR_USER_ALREADY_LOGGED_IN);
        }
        self.token(slot)?.verify_pin(&pin)?;
        self.pins.insert(slot, pin);
        Ok(())
    }

    pub(crate) fn logout(&mut self, session: CK_SESSION_HANDLE) -> Result<(), CK_RV> {
        let (slot, _) = self.state(session)?;
        self.pins.remove(&slot).map(drop).ok_or(CKR_USER_NOT_LOGGED_IN)
    }

    fn session(&mut self, session: CK_SESSION_HANDLE) -> Result<&mut Session, CK_RV> {
        self.sessions.get_mut(&session).ok_or(CKR_SESSION_HANDLE_INVALID)
    }

    pub(crate) fn object(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
    ) -> Result<&Object, CK_RV> {
        let (slot, logged_in) = self.state(session)?;
        self.token(slot)?.objects.get(object, logged_in).ok_or(CKR_OBJECT_HANDLE_INVALID)
    }

    /// An attribute's octets. A private key's secrets don't exist here.
    pub(crate) fn attribute(object: &Object, kind: CK_ATTRIBUTE_TYPE) -> Result<&[u8], CK_RV> {
        use cryptoki_sys::{CKA_PRIME_1, CKA_PRIME_2, CKA_PRIVATE_EXPONENT, CKA_SENSITIVE, CKA_VALUE};
        let secret = matches!(kind, CKA_VALUE | CKA_PRIVATE_EXPONENT | CKA_PRIME_1 | CKA_PRIME_2);
        match object.get(kind) {
            Some(value) => Ok(value),
            None if secret && object.get(CKA_SENSITIVE).is_some() => Err(CKR_ATTRIBUTE_SENSITIVE),
            None => Err(cryptoki_sys::CKR_ATTRIBUTE_TYPE_INVALID),
        }
    }

    pub(crate) fn find(&mut self, session: CK_SESSION_HANDLE, template: &Template) -> Result<(), CK_RV> {
        let (slot, logged_in) = self.state(session)?;
        let objects = &self.token(slot)?.objects;
        let matching = [CERTIFICATE, PUBLIC_KEY, PRIVATE_KEY]
            .into_iter()
            .filter(|handle| objects.get(*handle, logged_in).is_some_and(|object| object.matches(template)));
        let found = Some(matching.collect());
        let session = self.session(session)?;
        if session.found.is_some() {
            return Err(CKR_OPERATION_ACTIVE);
        }
        session.found = found;
        Ok(())
    }

    pub(crate) fn found(
        &mut self,
        session: CK_SESSION_HANDLE,
        most: usize,
    ) -> Result<Vec<CK_OBJECT_HANDLE>, CK_RV> {
        let found = self.session(session)?.found.as_mut().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        Ok(found.drain(..most.min(found.len())).collect())
    }

    pub(crate) fn end_find(&mut self, session: CK_SESSION_HANDLE) -> Result<(), CK_RV> {
        self.session(session)?.found.take().map(drop).ok_or(CKR_OPERATION_NOT_INITIALIZED)
    }

    pub(crate) fn begin_signing(
        &mut self,
        session: CK_SESSION_HANDLE,
        mechanism: CK_MECHANISM_TYPE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), CK_RV> {
        let (slot, logged_in) = self.state(session)?;
        if !logged_in {
            return Err(CKR_USER_NOT_LOGGED_IN);
        }
        if key != PRIVATE_KEY {
            return Err(CKR_KEY_HANDLE_INVALID);
        }
        let scheme = mechanism::scheme(mechanism, self.token(slot)?.objects.key_type)?;
        let session = self.session(session)?;
        if session.signing.is_some() {
            return Err(CKR_OPERATION_ACTIVE);
        }
        session.signing = Some(scheme);
        Ok(())
    }

    /// How long the signature that was begun will be.
    pub(crate) fn signature_length(&mut self, session: CK_SESSION_HANDLE) -> Result<usize, CK_RV> {
        let (slot, _) = self.state(session)?;
        let length = mechanism::length(self.token(slot)?.objects.key_type);
        self.session(session)?.signing.map(|_| length).ok_or(CKR_OPERATION_NOT_INITIALIZED)
    }

    /// The signature. Whatever happens, the operation is over.
    pub(crate) fn sign(&mut self, session: CK_SESSION_HANDLE, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
        let scheme = self.session(session)?.signing.take().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        let (slot, _) = self.state(session)?;
        let pin = self.pins.get(&slot).ok_or(CKR_USER_NOT_LOGGED_IN)?;
        let digest = mechanism::digest(scheme, data)?;
        mechanism::signature(scheme, self.token(slot)?.sign(pin, scheme, &digest)?)
    }
}
