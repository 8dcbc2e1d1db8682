//! An enrolment: from the challenge to the confirmation, resumable at each step.

use jiff::Timestamp;

use super::{
    device::Device,
    ids::{EnrolmentId, IdempotencyKey, SerialNumber, UserId},
};

/// An enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Its name, and the intent's.
    pub id: EnrolmentId,
    /// The agent's key for it: opening it again with the same key finds it.
    pub idempotency_key: IdempotencyKey,
    /// Whose.
    pub user: UserId,
    /// The token that the agent says it will use.
    pub device: Device,
    /// How the user was bound to the token (rule 12).
    pub binding: Binding,
    /// The intent of the certificate that is to be renewed, when this is a renewal (更新).
    pub renews: Option<EnrolmentId>,
    /// 32 random octets that the token's key signs, so that evidence can't be replayed.
    pub challenge: [u8; 32],
    /// SHA-256 of the bearer that authorises the later steps; the bearer itself is never stored.
    pub bearer_sha256: [u8; 32],
    /// Challenge and bearer are worthless afterwards.
    pub expires_at: Timestamp,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The Name (TPM 2.0 Part 1, 16) of the attestation key that it was opened with; a TPM's only. The challenge was made
    /// for the TPM that holds this key and the claimed endorsement key, so the evidence must be this key's.
    pub ak_name: Option<Vec<u8>>,
    /// How far it got.
    pub state: EnrolmentState,
}

/// How a user was bound to the token (rule 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// The token's serial was assigned to the user.
    AssignedSerial,
    /// A one-time acquisition code from the branch's letter.
    AcquisitionCode,
    /// Nothing but the password: the first token to come, for a user's first certificate, where the contract's policy
    /// allows it.
    FirstCome,
    /// The valid certificate on the same token, which is being renewed; its key signs.
    Renewal,
}

impl Binding {
    /// The stable name in storage and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssignedSerial => "assigned-serial",
            Self::AcquisitionCode => "acquisition-code",
            Self::FirstCome => "first-come",
            Self::Renewal => "renewal",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::AssignedSerial, Self::AcquisitionCode, Self::FirstCome, Self::Renewal]
            .into_iter()
            .find(|b| b.as_str() == text)
    }
}

/// How far an enrolment got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrolmentState {
    /// The challenge is out.
    Challenged,
    /// A certificate was intended; its row says how far that got.
    Certified {
        /// The certificate's serial number.
        serial: SerialNumber,
    },
    /// Refused for good; a repeat gets the same answer.
    Refused {
        /// The stable problem code.
        code: String,
        /// What it said.
        detail: String,
    },
}

/// A one-time acquisition code (取得用コード) as stored: only its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquisitionCode {
    /// SHA-256 of the normalised code; the code has at least 80 random bits, so a fast hash is enough.
    pub sha256: [u8; 32],
    /// 取得期限.
    pub expires_at: Timestamp,
    /// Wrong attempts left before it is burnt (rule 13).
    pub attempts_left: u8,
}
