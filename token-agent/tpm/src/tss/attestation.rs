//! The attestation key, and what is proven with it.

use tss_esapi::{
    Context,
    constants::SessionType,
    handles::{AuthHandle, KeyHandle},
    interface_types::session_handles::{AuthSession, PolicySession},
    structures::{Data, Digest, EncryptedSecret, IdObject, Nonce, SignatureScheme},
    traits::Marshall,
};
use zeroize::Zeroizing;

use super::{
    TssTpm,
    connection::Hiding,
    failure::{failed, failed_in, kind},
    templates,
};
use crate::{Certification, Hierarchy, Key, TpmError};

impl TssTpm {
    pub(super) fn attestation_public(&mut self) -> Result<Vec<u8>, TpmError> {
        // Known beforehand, so that the endorsement key isn't made while the attestation key takes a slot.
        self.endorsement_handle()?;
        self.with_primary(Hierarchy::Endorsement, templates::attestation_key(), |_, _, public| {
            public.marshall().map_err(failed("describe its attestation key"))
        })
    }

    pub(super) fn activate_credential(
        &mut self,
        blob: &[u8],
        secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let endorsement = self.endorsement_handle()?;
        let malformed = |_| TpmError::OtherCredential;
        let blob = IdObject::try_from(blob).map_err(malformed)?;
        let secret = EncryptedSecret::try_from(secret).map_err(malformed)?;
        self.with_primary(Hierarchy::Endorsement, templates::attestation_key(), |tpm, attestation, _| {
            let policy = tpm.endorsement_policy()?;
            let activated = tpm.in_session(Hiding::Answer, |context, session| {
                let sessions = (Some(session), Some(policy), None);
                context.execute_with_sessions(sessions, |context| {
                    context.activate_credential(attestation, endorsement, blob, secret)
                })
            });
            tpm.end(policy)?;
            activated?.map(|digest| Zeroizing::new(digest.value().to_vec())).map_err(refused)
        })
    }

    /// The endorsement key may be used by whom the endorsement hierarchy authorizes (EK Credential Profile, policy A).
    fn endorsement_policy(&mut self) -> Result<AuthSession, TpmError> {
        let action = "use its endorsement key";
        let session = self.start(SessionType::Policy, None)?;
        let satisfy = |context: &mut Context| {
            let policy = PolicySession::try_from(session)?;
            context.execute_with_session(Some(AuthSession::Password), |context| {
                let (nonce, digest) = (Nonce::default(), Digest::default());
                context.policy_secret(policy, AuthHandle::Endorsement, nonce, digest, Nonce::default(), None)
            })
        };
        match satisfy(&mut self.context).map_err(failed_in(Hierarchy::Endorsement, action)) {
            Ok(_) => Ok(session),
            Err(error) => {
                self.end(session)?;
                Err(error)
            }
        }
    }

    pub(super) fn certify_key(
        &mut self,
        key: &Key,
        pin: &[u8],
        qualifying: &[u8; 32],
    ) -> Result<Certification, TpmError> {
        let action = "certify the key";
        self.endorsement_handle()?;
        let qualifying = Data::try_from(qualifying.as_slice()).map_err(failed(action))?;
        self.with_primary(Hierarchy::Endorsement, templates::attestation_key(), |tpm, attestation, _| {
            let user = tpm.user_key(key, pin)?;
            let certified = tpm.in_session(Hiding::Nothing, |context, session| {
                certify(context, session, user, attestation, qualifying)
            })?;
            certified.map_err(|error| tpm.pin_failed(action, error))
        })
    }
}

/// The attestation key has no password.
fn certify(
    context: &mut Context,
    session: AuthSession,
    user: KeyHandle,
    attestation: KeyHandle,
    qualifying: Data,
) -> tss_esapi::Result<Certification> {
    let sessions = (Some(session), Some(AuthSession::Password), None);
    let (info, signature) = context.execute_with_sessions(sessions, |context| {
        context.certify(user.into(), attestation, qualifying, SignatureScheme::Null)
    })?;
    Ok(Certification { info: info.marshall()?, signature: signature.marshall()? })
}

fn refused(error: tss_esapi::Error) -> TpmError {
    use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
    match kind(error) {
        Some(
            Kind::Integrity | Kind::Value | Kind::Size | Kind::EccPoint | Kind::Insufficient | Kind::Binding,
        ) => TpmError::OtherCredential,
        _ => failed("activate the challenge")(error),
    }
}
