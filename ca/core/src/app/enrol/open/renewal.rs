//! What is particular to opening a renewal (更新): the valid certificate on the same token binds, and its slot isn't free.

use super::{
    Open, OpenEnrolment, OpenError,
    authenticate::{Authenticated, Bound},
};
use crate::{
    app::enrol::applicant::Credentials,
    domain::{
        attestation::yubikey::Slot,
        device::DeviceKind,
        enrolment::{Binding, Enrolment},
        ids::{EnrolmentId, SerialNumber},
        policy::{BindingRefusal, IssuancePolicy, Reason},
        renewal::{self, RenewalRefusal},
    },
};

impl OpenEnrolment {
    /// Who doesn't name a certificate of the user's on this token learns no more than with a wrong password. A machine, which
    /// is known, is told.
    pub(super) async fn bind_renewal(
        &self,
        open: &Open,
        known: &Authenticated,
        serial: &SerialNumber,
    ) -> Result<Bound, OpenError> {
        let certificates = self.certificates.certificates_of(&known.user.id).await?;
        let reassigned = known.user.assigned_device.as_ref().is_some_and(|assigned| *assigned != open.device);
        let named = renewal::named(&certificates, serial, &open.device).filter(|_| !reassigned);
        if let Some(predecessor) = named {
            return Ok(Bound { binding: Binding::Renewal, code: None, renews: Some(predecessor.intent) });
        }
        let why =
            if reassigned { BindingRefusal::OtherDeviceAssigned.code() } else { "renewal-names-nothing" };
        Err(match &open.credentials {
            Credentials::Password(login) => self.not_shown(open, known, login, why).await,
            Credentials::Machine(_) if reassigned => {
                self.refuse(open, why, OpenError::NotAssigned, known.now).await
            }
            Credentials::Machine(_) => {
                let reason = Reason::Renewal(RenewalRefusal::NotValid);
                self.refuse(open, why, OpenError::Policy(reason), known.now).await
            }
        })
    }

    /// Whether a repeat names the certificate that the enrolment was opened for.
    pub(super) async fn renews_the_same(
        &self,
        open: &Open,
        enrolment: &Enrolment,
    ) -> Result<bool, OpenError> {
        let (Some(serial), Some(intent)) = (&open.renews, enrolment.renews) else {
            return Ok(open.renews.is_none() && enrolment.renews.is_none());
        };
        let predecessor = self.certificates.certificate_of_intent(intent).await?;
        Ok(predecessor.is_some_and(|record| record.serial == *serial))
    }

    /// The slots that the key may be made in: those of the policy, of a renewal's without the one that isn't free.
    pub(super) async fn slots(
        &self,
        open: &Open,
        policy: &IssuancePolicy,
        renews: Option<EnrolmentId>,
    ) -> Result<Vec<Slot>, OpenError> {
        let permitted = &policy.rules.devices.yubikey.slots;
        let (Some(predecessor), DeviceKind::YubiKeyPiv) = (renews, open.device.kind) else {
            return Ok(permitted.clone());
        };
        let evidence = self.certificates.evidence(predecessor).await?;
        let made_in = evidence.and_then(|evidence| renewal::slot_of(&evidence.decoded));
        let slots = renewal::slots_for(permitted, made_in, open.firmware);
        match (slots.is_empty(), made_in) {
            (true, Some(slot)) => {
                let reason = Reason::Renewal(RenewalRefusal::NoSlot { slot });
                Err(self.refuse(open, reason.code(), OpenError::Policy(reason), self.clock.now()).await)
            }
            _ => Ok(slots),
        }
    }
}
