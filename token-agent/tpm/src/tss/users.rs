//! Users' keys as persistent objects.
//!
//! Each place has a ring of three handles. Changing the PIN makes the key, which stays the same, persistent once more at
//! the next handle of the ring, and only then removes the one before: where two are found, the one whose predecessor is
//! there too is the newer. Nothing else needs to be remembered for the change to survive an interruption.

use tss_esapi::{
    Context,
    constants::{
        SessionType,
        tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK},
    },
    handles::{AuthHandle, KeyHandle, ObjectHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        session_handles::{AuthSession, PolicySession},
    },
    structures::{
        Auth, Digest, HashScheme, HashcheckTicket, Nonce, Private, Public, Signature, SignatureScheme,
    },
    traits::Marshall,
    tss2_esys::TPMT_TK_HASHCHECK,
};

use super::{TssTpm, connection::Hiding, failure::failed, spki_of, templates};
use crate::{Algorithm, Key, Place, Scheme, TpmError, ecdsa};

/// Handles 0x81014910 and following: four for each place, the last of them never used. Owners choose freely above
/// 0x81010000 what makers and the TCG don't use (Registry of Reserved TPM 2.0 Handles).
const FIRST: u32 = 0x8101_4910;
const STEP: u32 = 4;
const RING: u32 = 3;

/// What a place's handles hold.
#[derive(Default)]
pub(super) struct Ring {
    /// The key as it is now; `None` where the place is free, or taken by something foreign.
    pub(super) current: Option<Key>,
    /// Everything that is there.
    handles: Vec<u32>,
}

fn first_of(place: Place) -> u32 {
    FIRST + u32::from(place.number() - 1) * STEP
}

/// The next handle of the ring.
fn next(handle: u32) -> u32 {
    let position = (handle - FIRST) % STEP;
    handle - position + (position + 1) % RING
}

/// The newest of a ring's handles.
fn newest(handles: &[u32]) -> Option<u32> {
    let is_followed = |handle: u32| handles.contains(&next(handle));
    handles.iter().copied().find(|handle| !is_followed(*handle)).or_else(|| handles.first().copied())
}

impl TssTpm {
    /// Places with what they hold.
    pub(super) fn rings(&mut self) -> Result<Vec<(Place, Ring)>, TpmError> {
        let all = u32::from(Place::COUNT) * STEP;
        let taken: Vec<u32> =
            self.handles(FIRST, all)?.into_iter().filter(|handle| *handle < FIRST + all).collect();
        let mut rings = Vec::new();
        for place in Place::all() {
            let first = first_of(place);
            let own = taken.iter().copied().filter(|handle| (first..first + RING).contains(handle));
            let handles: Vec<u32> = own.collect();
            let current = match newest(&handles) {
                Some(handle) => self.read(place, handle)?,
                None => continue,
            };
            rings.push((place, Ring { current, handles }));
        }
        Ok(rings)
    }

    fn ring(&mut self, place: Place) -> Result<Ring, TpmError> {
        let rings = self.rings()?;
        Ok(rings.into_iter().find(|(other, _)| *other == place).map(|(_, ring)| ring).unwrap_or_default())
    }

    /// The user's key at a handle; `None` for anything else that is there.
    fn read(&mut self, place: Place, handle: u32) -> Result<Option<Key>, TpmError> {
        let (_, public, name) = self.persistent(handle)?;
        let describe = || failed("describe a key");
        let algorithm = match public {
            Public::Ecc { .. } => Algorithm::P256,
            Public::Rsa { .. } => Algorithm::Rsa2048,
            _ => return Ok(None),
        };
        let template = templates::user_key(algorithm).map_err(describe())?;
        if !templates::fits(&public, &template) {
            return Ok(None);
        }
        Ok(Some(Key {
            place,
            handle,
            name: name.value().to_vec(),
            spki: spki_of(&public)?,
            public: public.marshall().map_err(describe())?,
            algorithm,
        }))
    }

    pub(super) fn generate_key(
        &mut self,
        place: Place,
        algorithm: Algorithm,
        pin: &[u8],
    ) -> Result<Key, TpmError> {
        let action = "generate the key";
        if !self.ring(place)?.handles.is_empty() {
            return Err(TpmError::PlaceTaken(place));
        }
        self.endorsement_handle()?;
        let template = templates::user_key(algorithm).map_err(failed(action))?;
        let auth = Auth::try_from(pin).map_err(failed(action))?;
        let handle = first_of(place);
        self.with_storage_key(|tpm, storage, _| {
            let created = tpm.in_session(Hiding::Both, |context, session| {
                context.execute_with_session(Some(session), |context| {
                    context.create(storage, template, Some(auth), None, None, None)
                })
            })?;
            let created = created.map_err(failed(action))?;
            tpm.keep(storage, created.out_private, created.out_public, handle)
        })?;
        self.read(place, handle)?.ok_or(TpmError::Malformed(action))
    }

    /// Loads a key and makes it persistent.
    fn keep(
        &mut self,
        storage: KeyHandle,
        private: Private,
        public: Public,
        handle: u32,
    ) -> Result<(), TpmError> {
        let loaded = self
            .context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.load(storage, private, public)
            })
            .map_err(failed("load the key"))?;
        let kept = self.evict(loaded.into(), handle);
        let flushed = self.context.flush_context(loaded.into()).map_err(failed("let a key go"));
        kept.and(flushed)
    }

    pub(super) fn sign_digest(
        &mut self,
        key: &Key,
        pin: &[u8],
        scheme: Scheme,
        digest: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        let action = "sign";
        let scheme = scheme_of(key.algorithm, scheme, digest.len())?;
        let digest = Digest::try_from(digest).map_err(failed(action))?;
        let user = self.user_key(key, pin)?;
        let signed = self.in_session(Hiding::Nothing, |context, session| {
            // The key isn't restricted: no proof is needed that the digest is of something harmless.
            let ticket = TPMT_TK_HASHCHECK {
                tag: TPM2_ST_HASHCHECK,
                hierarchy: TPM2_RH_NULL,
                digest: tss_esapi::tss2_esys::TPM2B_DIGEST::default(),
            };
            let ticket = HashcheckTicket::try_from(ticket)?;
            context.execute_with_session(Some(session), |context| context.sign(user, digest, scheme, ticket))
        })?;
        match signed.map_err(|error| self.pin_failed(action, error))? {
            Signature::EcDsa(ecc) => ecdsa::signature(ecc.signature_r().value(), ecc.signature_s().value())
                .map_err(|_| TpmError::Malformed(action)),
            Signature::RsaSsa(rsa) | Signature::RsaPss(rsa) => Ok(rsa.signature().value().to_vec()),
            _ => Err(TpmError::Malformed(action)),
        }
    }

    /// By a policy that asks for the key's authorization and is then thrown away.
    pub(super) fn verify_key_pin(&mut self, key: &Key, pin: &[u8]) -> Result<(), TpmError> {
        let user = self.user_key(key, pin)?;
        let policy = self.start(SessionType::Trial, None)?;
        let verified = self.in_session(Hiding::Nothing, |context, session| {
            let trial = PolicySession::try_from(policy)?;
            context.execute_with_session(Some(session), |context| {
                let entity = AuthHandle::from(ObjectHandle::from(user));
                context.policy_secret(
                    trial,
                    entity,
                    Nonce::default(),
                    Digest::default(),
                    Nonce::default(),
                    None,
                )
            })
        });
        self.end(policy)?;
        verified?.map(drop).map_err(|error| self.pin_failed("verify the PIN", error))
    }

    pub(super) fn change_key_pin(&mut self, key: &Key, current: &[u8], new: &[u8]) -> Result<Key, TpmError> {
        let action = "change the PIN";
        let ring = self.ring(key.place)?;
        if ring.current.as_ref().map(|there| &there.name) != Some(&key.name) {
            return Err(TpmError::KeyGone(key.place));
        }
        // What an interrupted change left.
        for handle in ring.handles.iter().copied().filter(|handle| *handle != key.handle) {
            self.remove(handle)?;
        }
        let to = next(key.handle);
        let user = self.user_key(key, current)?;
        let public = self.public_of(user)?;
        let auth = Auth::try_from(new).map_err(failed(action))?;
        self.with_storage_key(|tpm, storage, _| {
            let changed = tpm.in_session(Hiding::Both, |context: &mut Context, session| {
                context.execute_with_session(Some(session), |context| {
                    context.object_change_auth(user.into(), storage.into(), auth)
                })
            })?;
            let private = changed.map_err(|error| tpm.pin_failed(action, error))?;
            tpm.keep(storage, private, public, to)
        })?;
        self.remove(key.handle)?;
        self.read(key.place, to)?.ok_or(TpmError::KeyGone(key.place))
    }

    fn public_of(&mut self, key: KeyHandle) -> Result<Public, TpmError> {
        let read = self.context.execute_without_session(|context| context.read_public(key));
        read.map(|(public, _, _)| public).map_err(failed("read a key's public area"))
    }

    fn remove(&mut self, handle: u32) -> Result<(), TpmError> {
        let (object, _, _) = self.persistent(handle)?;
        self.evict(object.into(), handle)
    }

    pub(super) fn erase_key(&mut self, key: &Key) -> Result<(), TpmError> {
        let ring = self.ring(key.place)?;
        if ring.current.as_ref().map(|there| &there.name) != Some(&key.name) {
            return Err(TpmError::KeyGone(key.place));
        }
        // The older first: what is found after an interruption is the key with its present PIN.
        for handle in ring.handles.iter().copied().filter(|handle| *handle != key.handle) {
            self.remove(handle)?;
        }
        self.remove(key.handle)
    }
}

fn scheme_of(algorithm: Algorithm, scheme: Scheme, octets: usize) -> Result<SignatureScheme, TpmError> {
    let hash = match octets {
        20 => HashingAlgorithm::Sha1,
        32 => HashingAlgorithm::Sha256,
        48 => HashingAlgorithm::Sha384,
        64 => HashingAlgorithm::Sha512,
        _ => return Err(TpmError::NotCapable("a digest of that size")),
    };
    let hash_scheme = HashScheme::new(hash);
    match (algorithm, scheme) {
        (Algorithm::P256, Scheme::Ecdsa) => Ok(SignatureScheme::EcDsa { hash_scheme }),
        (Algorithm::Rsa2048, Scheme::Pkcs1) => Ok(SignatureScheme::RsaSsa { hash_scheme }),
        (Algorithm::Rsa2048, Scheme::Pss) => Ok(SignatureScheme::RsaPss { hash_scheme }),
        _ => Err(TpmError::NotCapable("such signatures with this kind of key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_in_a_ring_the_follower_is_newer() {
        let first = first_of(Place::new(3).expect("a place"));
        assert_eq!(first, FIRST + 8);
        for start in 0..RING {
            let old = first + start;
            let new = next(old);
            assert_ne!(old, new);
            assert!((first..first + RING).contains(&new));
            assert_eq!(newest(&[old, new]), Some(new));
            assert_eq!(newest(&[new, old]), Some(new));
            assert_eq!(newest(&[old]), Some(old));
        }
        assert_eq!(newest(&[]), None);
    }
}
