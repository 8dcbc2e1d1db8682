//! 発行の可否: whether a user may have a certificate now. Asked when the enrolment is opened, and again with the proven
//! assurance before anything is drafted; the store re-checks what concurrent requests could break.

use ca_x509::KeyKind;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::{
    attestation::{
        Attested, Rules,
        tpm::TpmRules,
        yubikey::{DevicePolicy, Firmware},
    },
    business_hours::IssuingHours,
    certificate::{CertificateRecord, CertificateState},
    contract::{Contract, Plan},
    device::{Assurance, Device, DeviceKind},
    enrolment::{AcquisitionCode, Binding},
    ids::SerialNumber,
    user::{Role, User, UserState},
};

/// The rules of issuance as the bank set them; the version is stored with each verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuancePolicy {
    /// Rises with each change.
    pub version: u32,
    /// When certificates can be obtained (rule 3).
    pub hours: IssuingHours,
    /// The accepted kinds of device.
    pub kinds: Vec<DeviceKind>,
    /// Which YubiKeys and keys in them are accepted.
    pub devices: DevicePolicy,
    /// Which TPMs and keys in them are accepted.
    pub tpm: TpmRules,
    /// The lowest assurance on which a certificate is issued at once.
    pub approve_from: Assurance,
    /// The lowest assurance that a member of staff may approve; `None` where that isn't done.
    pub hold_from: Option<Assurance>,
}

impl Default for IssuancePolicy {
    /// Bank business hours, attestation with PIN, nothing held for approval.
    fn default() -> Self {
        Self {
            version: 1,
            hours: IssuingHours::BankBusinessHours(super::business_hours::BankCalendar::default()),
            kinds: vec![DeviceKind::YubiKeyPiv],
            devices: DevicePolicy::default(),
            tpm: TpmRules::default(),
            approve_from: Assurance::AttestedWithPin,
            hold_from: None,
        }
    }
}

impl IssuancePolicy {
    /// What evidence is judged by.
    pub fn rules(&self) -> Rules<'_> {
        Rules { kinds: &self.kinds, yubikey: &self.devices, tpm: &self.tpm }
    }

    /// The kinds of key that a device may have, best first: what an agent should generate.
    pub fn keys_for(&self, kind: DeviceKind, firmware: Option<Firmware>) -> Vec<KeyKind> {
        match (kind, firmware) {
            (DeviceKind::YubiKeyPiv, Some(firmware)) => self.devices.keys_for(firmware),
            (DeviceKind::YubiKeyPiv | DeviceKind::Tpm, _) => vec![KeyKind::P256, KeyKind::Rsa { bits: 2048 }],
            (DeviceKind::Piv | DeviceKind::Pkcs11, _) => {
                vec![KeyKind::P256, KeyKind::P384, KeyKind::Rsa { bits: 2048 }]
            }
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

/// Whether the applicant may open an enrolment at `now`. What is proven about the key comes later.
pub fn may_open(policy: &IssuancePolicy, applicant: &Applicant, now: Timestamp) -> Decision {
    standing(policy, applicant, now).map_or_else(Decision::Refuse, |()| Decision::Approve)
}

/// Whether the applicant gets a certificate at `now` for the key that was attested.
pub fn decide(
    policy: &IssuancePolicy,
    applicant: &Applicant,
    attested: &Attested,
    now: Timestamp,
) -> Decision {
    if let Err(reason) = standing(policy, applicant, now) {
        return Decision::Refuse(reason);
    }
    let found = attested.assurance;
    if found >= policy.approve_from {
        Decision::Approve
    } else if policy.hold_from.is_some_and(|lowest| found >= lowest) {
        Decision::Hold
    } else {
        Decision::Refuse(Reason::Assurance { found })
    }
}

fn standing(policy: &IssuancePolicy, applicant: &Applicant, now: Timestamp) -> Result<(), Reason> {
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

/// What became of an acquisition code that was, or wasn't, presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeCheck {
    /// None came with the request.
    NotPresented,
    /// There is none for the user, or another.
    Wrong,
    /// It is the one, past its 取得期限.
    Expired,
    /// Too many wrong attempts burnt it (rule 13).
    Burnt,
    /// It is the one.
    Right,
}

/// Compares the SHA-256 of a presented acquisition code with the stored one, in constant time.
pub fn check_code(
    stored: Option<&AcquisitionCode>,
    presented_sha256: Option<&[u8; 32]>,
    now: Timestamp,
) -> CodeCheck {
    let Some(presented) = presented_sha256 else { return CodeCheck::NotPresented };
    let Some(stored) = stored else { return CodeCheck::Wrong };
    if stored.attempts_left == 0 {
        return CodeCheck::Burnt;
    }
    if !bool::from(stored.sha256.ct_eq(presented)) {
        return CodeCheck::Wrong;
    }
    if now >= stored.expires_at { CodeCheck::Expired } else { CodeCheck::Right }
}

/// Why a user isn't bound to a token. Outside there is one answer for all of them and for a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingRefusal {
    /// Another token is assigned to the user.
    #[error("another token is assigned to the user")]
    OtherDeviceAssigned,
    /// No token is assigned and no code came.
    #[error("no token is assigned to the user and no acquisition code was given")]
    NothingAssigned,
    /// The code isn't right.
    #[error("the acquisition code is not valid")]
    Code(CodeCheck),
}

impl BindingRefusal {
    /// The stable code, for the audit trail.
    pub fn code(self) -> &'static str {
        match self {
            Self::OtherDeviceAssigned => "binding-other-device-assigned",
            Self::NothingAssigned => "binding-nothing-assigned",
            Self::Code(CodeCheck::Expired) => "binding-code-expired",
            Self::Code(CodeCheck::Burnt) => "binding-code-burnt",
            Self::Code(_) => "binding-code-wrong",
        }
    }
}

/// Rule 12, Binding: a token that the bank or the master assigned, or a one-time acquisition code. An assignment is
/// not overridden by a code.
///
/// # Errors
/// [`BindingRefusal`] for the audit trail.
pub fn bind(user: &User, device: &Device, code: CodeCheck) -> Result<Binding, BindingRefusal> {
    match (&user.assigned_device, code) {
        (Some(assigned), _) if assigned == device => Ok(Binding::AssignedSerial),
        (Some(_), _) => Err(BindingRefusal::OtherDeviceAssigned),
        (None, CodeCheck::Right) => Ok(Binding::AcquisitionCode),
        (None, CodeCheck::NotPresented) => Err(BindingRefusal::NothingAssigned),
        (None, check) => Err(BindingRefusal::Code(check)),
    }
}

/// Rule 12, once more when the certificate is issued: what bound the user to the token when the enrolment was opened
/// may have been taken away since.
pub fn is_still_bound(user: &User, device: &Device, binding: Binding) -> bool {
    match (&user.assigned_device, binding) {
        (Some(assigned), _) => assigned == device,
        (None, Binding::AcquisitionCode) => true,
        (None, Binding::AssignedSerial) => false,
    }
}

#[cfg(test)]
mod tests;
