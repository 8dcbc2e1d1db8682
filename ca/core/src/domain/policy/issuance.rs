//! 発行の可否: whether a user may have a certificate now. Asked when the enrolment is opened, and again with the proven
//! assurance before anything is drafted; the store re-checks what concurrent requests could break.

use std::sync::Arc;

use jiff::Timestamp;

use super::{PolicyRules, PolicyVersion};
use crate::domain::{
    attestation::Attested,
    business_hours::{BankCalendar, IssuingHours},
    certificate::{CertificateRecord, CertificateState},
    contract::{Contract, Plan},
    device::{Assurance, Device, DeviceKind},
    ids::{EnrolmentId, PolicyName, SerialNumber},
    renewal::{RenewalRefusal, renewable},
    user::{Role, User, UserState},
};

/// The rules of issuance for a contract's users; its name and version are stored with each verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuancePolicy {
    /// Which policy, in which version.
    pub id: PolicyVersion,
    /// When certificates can be obtained (rule 3).
    pub hours: Arc<IssuingHours>,
    /// Devices, keys, binding, inventory. What is proven must reach its lowest assurance to be issued at once.
    pub rules: PolicyRules,
    /// The lowest assurance that a member of staff may approve; `None` where that isn't done.
    pub hold_from: Option<Assurance>,
}

impl Default for IssuancePolicy {
    /// Bank business hours, the recommended rules, nothing held for approval.
    fn default() -> Self {
        Self {
            id: PolicyVersion { name: PolicyName::bank(), version: 1 },
            hours: Arc::new(IssuingHours::BankBusinessHours(BankCalendar::default())),
            rules: PolicyRules::default(),
            hold_from: None,
        }
    }
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Issue.
    Approve,
    /// A member of staff must approve.
    Hold,
    /// Don't.
    Refuse(Reason),
}

/// Why a user may not have a certificate now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// 利用停止 (rule 14).
    #[error("the user is suspended")]
    UserSuspended,
    /// The user was removed.
    #[error("the user was removed")]
    UserRemoved,
    /// IDロック.
    #[error("the user's login is locked")]
    UserLocked,
    /// The user belongs to another contract.
    #[error("the user doesn't belong to this contract")]
    OtherContract,
    /// Outside the hours of rule 3.
    #[error("certificates are not issued at this hour")]
    OutsideHours {
        /// When they are again, as far as the calendar knows.
        opens_at: Option<Timestamp>,
    },
    /// Rules 1 and 4: there is a valid certificate.
    #[error("the user already has certificate {serial}")]
    AlreadyCertified {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// Rule 4: "an expired one is revoked first".
    #[error("the user's expired certificate {serial} must be revoked first")]
    ExpiredNotRevoked {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// The certificate can't be renewed (rules 1 and 5).
    #[error("{0}")]
    Renewal(RenewalRefusal),
    /// Devices of this kind aren't accepted.
    #[error("devices of the kind {} are not accepted", found.as_str())]
    DeviceKind {
        /// The kind.
        found: DeviceKind,
    },
    /// The inventory doesn't let the token be used.
    #[error("{0}")]
    Token(super::UnfitToken),
    /// Rule 12: the token isn't assigned to the user any more, or another one is.
    #[error("the token is no longer assigned to the user")]
    TokenNotAssigned,
    /// Rule 1: at most so many certificates per contract.
    #[error("the contract's plan has no room for another certificate")]
    Quota,
    /// What was proven isn't enough.
    #[error("the proven assurance is {}, which is not enough", found.as_str())]
    Assurance {
        /// What was proven.
        found: Assurance,
    },
}

impl Reason {
    /// The stable code, for the ledger, the audit trail and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UserSuspended => "policy-user-suspended",
            Self::UserRemoved => "policy-user-removed",
            Self::UserLocked => "policy-user-locked",
            Self::OtherContract => "policy-other-contract",
            Self::OutsideHours { .. } => "policy-outside-hours",
            Self::AlreadyCertified { .. } => "policy-already-certified",
            Self::ExpiredNotRevoked { .. } => "policy-expired-not-revoked",
            Self::Renewal(refusal) => refusal.code(),
            Self::DeviceKind { .. } => "policy-device-kind",
            Self::Token(unfit) => unfit.code(),
            Self::TokenNotAssigned => "policy-token-not-assigned",
            Self::Quota => "policy-quota",
            Self::Assurance { .. } => "policy-assurance",
        }
    }
}

/// Who asks for a certificate, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The contract.
    pub contract: Contract,
    /// The user.
    pub user: User,
    /// All certificates that the user ever had, intents included, newest first.
    pub certificates: Vec<CertificateRecord>,
    /// How many *other* users of the same contract and role hold a certificate or open intent that isn't revoked.
    pub other_holders: usize,
}

/// What a certificate is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The device that the key lives on.
    pub device: &'a Device,
    /// The intent of the certificate that is renewed; none for a new one.
    pub renews: Option<EnrolmentId>,
}

/// Whether the applicant may open an enrolment at `now`. What is proven about the key comes later.
pub fn may_open(
    policy: &IssuancePolicy,
    applicant: &Applicant,
    purpose: Purpose<'_>,
    now: Timestamp,
) -> Decision {
    let kind = purpose.device.kind;
    match standing(policy, applicant, purpose, now) {
        Err(reason) => Decision::Refuse(reason),
        Ok(()) if !policy.rules.devices.kinds.contains(&kind) => {
            Decision::Refuse(Reason::DeviceKind { found: kind })
        }
        Ok(()) => Decision::Approve,
    }
}

/// Whether the applicant gets a certificate at `now` for the key that was attested; `renews` as in [`Purpose`].
pub fn decide(
    policy: &IssuancePolicy,
    applicant: &Applicant,
    (attested, renews): (&Attested, Option<EnrolmentId>),
    now: Timestamp,
) -> Decision {
    let purpose = Purpose { device: &attested.device, renews };
    if let Err(reason) = standing(policy, applicant, purpose, now) {
        return Decision::Refuse(reason);
    }
    let found = attested.assurance;
    if found >= policy.rules.devices.lowest_assurance {
        Decision::Approve
    } else if policy.hold_from.is_some_and(|lowest| found >= lowest) {
        Decision::Hold
    } else {
        Decision::Refuse(Reason::Assurance { found })
    }
}

fn standing(
    policy: &IssuancePolicy,
    applicant: &Applicant,
    purpose: Purpose<'_>,
    now: Timestamp,
) -> Result<(), Reason> {
    let user = &applicant.user;
    match user.state {
        UserState::Active => {}
        UserState::Suspended => return Err(Reason::UserSuspended),
        UserState::Removed => return Err(Reason::UserRemoved),
    }
    if user.locked_at.is_some() {
        return Err(Reason::UserLocked);
    }
    if user.contract != applicant.contract.number {
        return Err(Reason::OtherContract);
    }
    if let Some(predecessor) = purpose.renews {
        // It takes the predecessor's place in the plan, and no hour is a wrong one (rule 3).
        let renewed = renewable(&applicant.certificates, predecessor, purpose.device, now);
        return renewed.map(drop).map_err(Reason::Renewal);
    }
    one_per_user(&applicant.certificates, now)?;
    if !plan_admits(applicant.contract.plan, user.role, applicant.other_holders) {
        return Err(Reason::Quota);
    }
    match policy.hours.opens_next(now) {
        Some(opens) if opens == now => Ok(()),
        opens_at => Err(Reason::OutsideHours { opens_at }),
    }
}

/// Rules 1 and 4: no second certificate beside one that isn't revoked. An open intent counts: it may be signed.
fn one_per_user(certificates: &[CertificateRecord], now: Timestamp) -> Result<(), Reason> {
    let standing = certificates.iter().find(|certificate| {
        matches!(certificate.state, CertificateState::Intended | CertificateState::Issued { .. })
    });
    match standing {
        None => Ok(()),
        Some(certificate) if certificate.not_after < now => {
            Err(Reason::ExpiredNotRevoked { serial: certificate.serial.clone() })
        }
        Some(certificate) => Err(Reason::AlreadyCertified { serial: certificate.serial.clone() }),
    }
}

/// Rule 1, 発行数: whether a contract's plan has room for one more of this role beside `others`.
pub fn plan_admits(plan: Plan, role: Role, others: usize) -> bool {
    match role {
        Role::Master => others == 0,
        Role::General => others < usize::from(plan.general_users),
    }
}
