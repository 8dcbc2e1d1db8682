//! Reaching the TPM, and sessions that leave nothing behind.

use std::{fs, io, path::Path};

use tss_esapi::{
    Context, Result as TssResult, TctiNameConf,
    attributes::SessionAttributesBuilder,
    constants::{CapabilityType, PropertyTag, SessionType},
    handles::{KeyHandle, NvIndexTpmHandle, ObjectHandle, PersistentTpmHandle, SessionHandle, TpmHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        dynamic_handles::Persistent,
        resource_handles::{Hierarchy as TssHierarchy, Provision},
        session_handles::AuthSession,
    },
    structures::{Auth, CapabilityData, Name, Public, SymmetricDefinition, TaggedProperty},
    tcti_ldr::DeviceConfig,
};

use super::{
    TssTpm,
    failure::{failed, failed_in, kind},
    templates,
};
use crate::{Address, Hierarchy, Key, Lockout, TpmError};

/// Which parameters a session hides on the bus. Not every command has such that can be hidden.
#[derive(Clone, Copy)]
pub(super) enum Hiding {
    Nothing,
    Both,
    Answer,
}

/// Reaches the TPM; tells a missing device from one that isn't permitted.
pub(super) fn open(address: &Address) -> Result<Context, TpmError> {
    let absent = |source: Box<dyn std::error::Error + Send + Sync>| TpmError::Absent {
        address: address.to_string(),
        source,
    };
    let name = match address {
        Address::Device(path) => {
            try_device(path, address)?;
            let path = path.to_str().ok_or_else(|| absent("its path is no text".into()))?;
            TctiNameConf::Device(path.parse::<DeviceConfig>().map_err(|error| absent(Box::new(error)))?)
        }
        Address::Platform => return Err(TpmError::Unsupported(address.to_string())),
        Address::Tcti(text) => text.parse().map_err(|error: tss_esapi::Error| absent(Box::new(error)))?,
    };
    Context::new(name).map_err(|error| absent(Box::new(error)))
}

fn try_device(path: &Path, address: &Address) -> Result<(), TpmError> {
    let Err(error) = fs::File::options().read(true).write(true).open(path) else { return Ok(()) };
    let address = address.to_string();
    Err(match error.kind() {
        io::ErrorKind::PermissionDenied => TpmError::NotPermitted { address, source: error },
        io::ErrorKind::ResourceBusy => TpmError::Busy { address },
        _ => TpmError::Absent { address, source: Box::new(error) },
    })
}

impl TssTpm {
    /// Whether a persistent object or NV index of this handle exists.
    pub(super) fn exists(&mut self, handle: u32) -> Result<bool, TpmError> {
        Ok(self.handles(handle, 1)?.first() == Some(&handle))
    }

    /// At most `count` handles of the kind, from `first` on.
    pub(super) fn handles(&mut self, first: u32, count: u32) -> Result<Vec<u32>, TpmError> {
        let (data, _) = self
            .context
            .execute_without_session(|context| context.get_capability(CapabilityType::Handles, first, count))
            .map_err(failed("list its objects"))?;
        match data {
            CapabilityData::Handles(handles) => Ok(handles.into_inner().into_iter().map(u32::from).collect()),
            _ => Err(TpmError::Malformed("a question for its objects")),
        }
    }

    /// The values of these properties; 0 for what the TPM doesn't have.
    pub(super) fn properties<const N: usize>(
        &mut self,
        properties: [PropertyTag; N],
    ) -> Result<[u32; N], TpmError> {
        let mut values = [0; N];
        for (value, property) in values.iter_mut().zip(properties) {
            let (data, _) = self
                .context
                .execute_without_session(|context| {
                    context.get_capability(CapabilityType::TpmProperties, property.into(), 1)
                })
                .map_err(failed("describe itself"))?;
            let CapabilityData::TpmProperties(list) = data else {
                return Err(TpmError::Malformed("a question for its properties"));
            };
            *value = list.find(property).map_or(0, TaggedProperty::value);
        }
        Ok(values)
    }

    pub(super) fn lockout_state(&mut self) -> Result<Lockout, TpmError> {
        let [permanent, failed, most, seconds] = self.properties([
            PropertyTag::Permanent,
            PropertyTag::LockoutCounter,
            PropertyTag::MaxAuthFail,
            PropertyTag::LockoutInterval,
        ])?;
        Ok(Lockout { failed, most, seconds, locked: permanent & Lockout::FLAG != 0 })
    }

    /// A failure of an action that the PIN authorizes.
    pub(super) fn pin_failed(&mut self, action: &'static str, error: tss_esapi::Error) -> TpmError {
        use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
        match kind(error) {
            Some(Kind::AuthFail | Kind::BadAuth | Kind::Lockout) => match self.lockout_state() {
                Ok(state) if state.tries_left() == 0 => TpmError::Locked { seconds: state.seconds },
                Ok(state) => TpmError::PinWrong { tries_left: state.tries_left() },
                Err(error) => error,
            },
            _ => failed(action)(error),
        }
    }

    /// An object that the TPM keeps: its handle here and its public area.
    pub(super) fn persistent(&mut self, handle: u32) -> Result<(KeyHandle, Public, Name), TpmError> {
        let fail = failed("read a key's public area");
        let read = |context: &mut Context| {
            let object =
                context.tr_from_tpm_public(TpmHandle::Persistent(PersistentTpmHandle::new(handle)?))?;
            let key = KeyHandle::from(object);
            let (public, name, _) = context.read_public(key)?;
            Ok((key, public, name))
        };
        self.context.execute_without_session(read).map_err(fail)
    }

    /// The same of a user's key, with its PIN set for what follows. A key that isn't the one any more is gone.
    pub(super) fn user_key(&mut self, key: &Key, pin: &[u8]) -> Result<KeyHandle, TpmError> {
        if !self.exists(key.handle)? {
            return Err(TpmError::KeyGone(key.place));
        }
        let (handle, _, name) = self.persistent(key.handle)?;
        if name.value() != key.name {
            return Err(TpmError::KeyGone(key.place));
        }
        let fail = || failed("take the PIN");
        let auth = Auth::try_from(pin).map_err(fail())?;
        self.context.tr_set_auth(handle.into(), auth).map_err(fail())?;
        Ok(handle)
    }

    /// Makes a loaded object persistent, or removes a persistent one.
    pub(super) fn evict(&mut self, object: ObjectHandle, persistent: u32) -> Result<(), TpmError> {
        let act = |context: &mut Context| {
            let handle = Persistent::Persistent(PersistentTpmHandle::new(persistent)?);
            context.evict_control(Provision::Owner, object, handle).map(drop)
        };
        self.context
            .execute_with_session(Some(AuthSession::Password), act)
            .map_err(failed_in(Hierarchy::Owner, "keep or remove a key"))
    }

    /// Does something with a primary key, which is gone afterwards.
    pub(super) fn with_primary<T>(
        &mut self,
        hierarchy: Hierarchy,
        template: TssResult<Public>,
        act: impl FnOnce(&mut Self, KeyHandle, &Public) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let action = "derive a primary key";
        let template = template.map_err(failed(action))?;
        let under = match hierarchy {
            Hierarchy::Owner => TssHierarchy::Owner,
            Hierarchy::Endorsement => TssHierarchy::Endorsement,
        };
        let created = self
            .context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.create_primary(under, template, None, None, None, None)
            })
            .map_err(failed_in(hierarchy, action))?;
        let done = act(self, created.key_handle, &created.out_public);
        let flushed = self.context.flush_context(created.key_handle.into()).map_err(failed("let a key go"));
        done.and_then(|value| flushed.map(|()| value))
    }

    /// Does something with the storage key.
    pub(super) fn with_storage_key<T>(
        &mut self,
        act: impl FnOnce(&mut Self, KeyHandle, Name) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        self.with_primary(Hierarchy::Owner, templates::storage_key(), |tpm, storage, _| {
            let name = tpm.context.tr_get_name(storage.into()).map_err(failed("name a key"))?;
            act(tpm, storage, name)
        })
    }

    /// Does something in a session that nobody on the bus can listen in to or guess PINs from: its secret is encrypted to
    /// the endorsement key. The session is gone afterwards.
    pub(super) fn in_session<T>(
        &mut self,
        hiding: Hiding,
        act: impl FnOnce(&mut Context, AuthSession) -> TssResult<T>,
    ) -> Result<TssResult<T>, TpmError> {
        let salt = self.endorsement_handle()?;
        let session = self.start(SessionType::Hmac, Some(salt))?;
        let (decrypt, encrypt) = match hiding {
            Hiding::Nothing => (false, false),
            Hiding::Both => (true, true),
            Hiding::Answer => (false, true),
        };
        let (attributes, mask) =
            SessionAttributesBuilder::new().with_decrypt(decrypt).with_encrypt(encrypt).build();
        let prepared = self.context.tr_sess_set_attributes(session, attributes, mask);
        let done = prepared.and_then(|()| act(&mut self.context, session));
        self.end(session)?;
        Ok(done)
    }

    pub(super) fn start(
        &mut self,
        kind: SessionType,
        salt: Option<KeyHandle>,
    ) -> Result<AuthSession, TpmError> {
        let start = |context: &mut Context| {
            let (cipher, hash) = (SymmetricDefinition::AES_128_CFB, HashingAlgorithm::Sha256);
            context.start_auth_session(salt, None, None, kind, cipher, hash)
        };
        let session = self.context.execute_without_session(start).map_err(failed("open a session"))?;
        session.ok_or(TpmError::Malformed("the opening of a session"))
    }

    pub(super) fn end(&mut self, session: AuthSession) -> Result<(), TpmError> {
        let handle = ObjectHandle::from(SessionHandle::from(session));
        self.context.flush_context(handle).map_err(failed("end a session"))
    }

    /// What an NV index holds, `None` where there is none.
    pub(super) fn nv(&mut self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        if !self.exists(index)? {
            return Ok(None);
        }
        let read = |context: &mut Context| {
            use tss_esapi::{abstraction::nv, interface_types::resource_handles::NvAuth};
            let index = NvIndexTpmHandle::new(index)?;
            let object = context
                .execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::NvIndex(index)))?;
            context.execute_with_session(Some(AuthSession::Password), |context| {
                nv::read_full(context, NvAuth::NvIndex(object.into()), index)
            })
        };
        read(&mut self.context).map(Some).map_err(failed("read its certificate"))
    }
}
