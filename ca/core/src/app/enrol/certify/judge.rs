//! Steps 1 to 3 of an issuance: the request, the evidence, the rules; of a renewal also the old key's word for the new one.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::{Instrument, debug_span};

use super::{
    super::{refusal::Refusal, token_check},
    Certify, CertifyEnrolment, CertifyError,
};
use crate::{
    app::{failure::full_text, trust::InUse},
    domain::{
        attestation::{self, Attested, Claim, yubikey::Slot},
        contract::Contract,
        csr::{self, Csr},
        enrolment::{Binding, Enrolment},
        ids::EnrolmentId,
        policy::{Applicant, Decision, IssuancePolicy, Reason, decide, is_first, is_still_bound},
        renewal::{self, RenewalRefusal, SignatureRefusal},
        user::User,
    },
};

/// What came of judging what was sent.
pub(super) enum Judgement {
    /// Steps 1 to 3 passed.
    Approved(Box<Approval>),
    /// Something in it ends the enrolment.
    Final(Refusal),
}

/// When it is judged, by whose word and by what rules: one answer to each for the whole request.
pub(super) struct Judging {
    pub(super) now: Timestamp,
    pub(super) trust: Arc<InUse>,
    pub(super) policy: Arc<IssuancePolicy>,
    /// Whether the bank itself knows the device.
    is_inventoried: bool,
    /// What is to be renewed.
    predecessor: Option<Predecessor>,
}

/// The certificate that is to be renewed.
struct Predecessor {
    der: Vec<u8>,
    /// Where its key was made, of a YubiKey's.
    made_in: Option<Slot>,
}

pub(super) struct Approval {
    pub(super) csr: Csr,
    pub(super) attested: Attested,
    pub(super) user: User,
    pub(super) contract: Contract,
}

impl CertifyEnrolment {
    /// Steps 1 to 3, and what they were judged by.
    pub(super) async fn judged(
        &self,
        certify: &Certify,
        enrolment: &Enrolment,
        applicant: Applicant,
    ) -> Result<(Judgement, Judging), CertifyError> {
        let judging = self.judging(enrolment, &applicant).instrument(debug_span!("policy")).await?;
        let judgement = Self::judge(certify, enrolment, applicant, &judging)?;
        Ok((judgement, judging))
    }

    /// What the applicant is judged by now. A policy or an inventory that changed since the enrolment was opened counts.
    async fn judging(&self, enrolment: &Enrolment, applicant: &Applicant) -> Result<Judging, CertifyError> {
        let contract = &applicant.contract.number;
        let policy = self.policies.of(contract).await?;
        let (device, binding) = (&enrolment.device, enrolment.binding);
        let token = token_check::check(&*self.inventory, &policy, contract, device, binding).await?;
        if let Err(unfit) = token.fitness {
            return Err(CertifyError::Policy(Reason::Token(unfit)));
        }
        let predecessor = match enrolment.renews {
            Some(intent) => Some(self.predecessor(intent, applicant).await?),
            None => None,
        };
        let trust = self.trust.current();
        Ok(Judging { now: self.clock.now(), trust, policy, is_inventoried: token.is_known, predecessor })
    }

    async fn predecessor(
        &self,
        intent: EnrolmentId,
        applicant: &Applicant,
    ) -> Result<Predecessor, CertifyError> {
        let record = applicant.certificates.iter().find(|record| record.intent == intent);
        let der = record.and_then(|record| record.der());
        let der = der.ok_or(CertifyError::Policy(Reason::Renewal(RenewalRefusal::NotValid)))?.to_vec();
        let evidence = self.certificates.evidence(intent).await?;
        Ok(Predecessor { der, made_in: evidence.and_then(|evidence| renewal::slot_of(&evidence.decoded)) })
    }

    /// Steps 1 to 3, the dearest checks last.
    fn judge(
        certify: &Certify,
        enrolment: &Enrolment,
        applicant: Applicant,
        judging: &Judging,
    ) -> Result<Judgement, CertifyError> {
        let examined = debug_span!("evidence").in_scope(|| Self::examine(certify, enrolment, judging));
        match examined {
            Ok((csr, attested)) => Self::approve(enrolment, applicant, csr, attested, judging),
            Err(refusal) => Ok(Judgement::Final(refusal)),
        }
    }

    /// Steps 1 and 2.
    fn examine(
        certify: &Certify,
        enrolment: &Enrolment,
        judging: &Judging,
    ) -> Result<(Csr, Attested), Refusal> {
        let csr = match csr::verify(&certify.csr, &enrolment.user) {
            Ok(csr) => csr,
            Err(error) => return Err(Refusal::new(error.code(), full_text(&error))),
        };
        check_predecessor(certify, enrolment, &csr, judging)
            .map_err(|error| Refusal::new(error.code(), error))?;
        let claim = Claim {
            csr: &csr,
            device: &enrolment.device,
            is_inventoried: judging.is_inventoried,
            ak_name: enrolment.ak_name.as_deref(),
            challenge: &enrolment.challenge,
            challenge_signature: &certify.challenge_signature,
        };
        let (anchors, rules) = (&judging.trust.anchors, judging.policy.rules.devices.rules());
        let verdict = attestation::verify(&certify.evidence, &claim, anchors, rules, judging.now);
        let attested = verdict.map_err(|error| Refusal::new(error.code(), full_text(&error)))?;
        let made_in = judging.predecessor.as_ref().and_then(|predecessor| predecessor.made_in);
        match renewal::same_slot(&attested, made_in) {
            None => Ok((csr, attested)),
            Some(slot) => {
                let detail =
                    format!("the certificate that is to be renewed has its key in slot {slot} already");
                Err(Refusal::new("evidence-same-slot", detail))
            }
        }
    }

    /// Step 3.
    fn approve(
        enrolment: &Enrolment,
        applicant: Applicant,
        csr: Csr,
        attested: Attested,
        judging: &Judging,
    ) -> Result<Judgement, CertifyError> {
        let (policy, binding) = (&judging.policy, enrolment.binding);
        let is_bound = is_still_bound(&policy.rules.binding, &applicant.user, &enrolment.device, binding)
            && (binding != Binding::FirstCome || is_first(&applicant.certificates));
        if !is_bound {
            return Err(CertifyError::Policy(Reason::TokenNotAssigned));
        }
        match decide(policy, &applicant, (&attested, enrolment.renews), judging.now) {
            Decision::Approve => {
                let Applicant { user, contract, .. } = applicant;
                Ok(Judgement::Approved(Box::new(Approval { csr, attested, user, contract })))
            }
            Decision::Hold => Err(CertifyError::Held),
            Decision::Refuse(reason) if is_final(&reason) => {
                Ok(Judgement::Final(Refusal::new(reason.code(), &reason)))
            }
            Decision::Refuse(reason) => Err(CertifyError::Policy(reason)),
        }
    }
}

/// The old key's word for the new one, where there is an old one, and only there.
fn check_predecessor(
    certify: &Certify,
    enrolment: &Enrolment,
    csr: &Csr,
    judging: &Judging,
) -> Result<(), SignatureRefusal> {
    let signature = certify.predecessor_signature.as_deref();
    match &judging.predecessor {
        Some(predecessor) => {
            renewal::check_signature(&predecessor.der, &enrolment.challenge, csr.public_key_der(), signature)
        }
        None if signature.is_some() => Err(SignatureRefusal::NotAsked),
        None => Ok(()),
    }
}

/// Whether the same enrolment can never succeed. Hours pass, suspensions are lifted, plans grow.
fn is_final(reason: &Reason) -> bool {
    match reason {
        Reason::AlreadyCertified { .. } | Reason::ExpiredNotRevoked { .. } | Reason::Assurance { .. } => true,
        Reason::Renewal(refusal) => match refusal {
            RenewalRefusal::Expired { .. }
            | RenewalRefusal::NotValid
            | RenewalRefusal::OtherDevice { .. } => true,
            RenewalRefusal::NotYet { .. }
            | RenewalRefusal::Pending { .. }
            | RenewalRefusal::NoSlot { .. } => false,
        },
        Reason::UserSuspended
        | Reason::UserRemoved
        | Reason::UserLocked
        | Reason::OtherContract
        | Reason::OutsideHours { .. }
        | Reason::DeviceKind { .. }
        | Reason::Token(_)
        | Reason::TokenNotAssigned
        | Reason::Quota => false,
    }
}
