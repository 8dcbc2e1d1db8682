//! Where the key of an enrolment lives, as the enrolment sees it: a card in a reader, or this machine's TPM. What differs
//! between them stays behind these two traits; the order of the steps is in their types.

use ca_wire::enrolment::{Certify, DeviceClaim, KeyRequirements, Opened, TpmIdentity};
use jiff::Timestamp;

use super::{EnrolError, Person, record::RecordFile};
use crate::{
    custodian::Custodian,
    token::{Slot, TokenIdentity},
};

/// What step 1 says of the device.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) device: DeviceClaim,
    /// Of a TPM only.
    pub(super) tpm: Option<TpmIdentity>,
}

/// What the server issued.
pub(super) struct Issued {
    /// DER.
    pub(super) certificate: Vec<u8>,
    /// DER, from the issuing CA to the root.
    pub(super) issuers: Vec<Vec<u8>>,
}

/// Where a key and its certificate are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a slot of a card.
    Card { token: TokenIdentity, slot: Slot },
    /// In this computer's TPM; the certificate in a file beside.
    Tpm { identity: agent_tpm::Identity, place: agent_tpm::Place },
}

impl Place {
    /// A card's slot, or the number of a key in the TPM.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Card { slot, .. } => slot.to_string(),
            Self::Tpm { place, .. } => place.to_string(),
        }
    }
}

/// A device that was opened and not yet touched.
pub(super) trait Home {
    /// What step 1 says of it.
    fn claim(&self) -> Claim;

    /// Makes the device ready and generates the key, or finds the one of before the interruption.
    fn key<'h>(
        self: Box<Self>,
        person: &mut dyn Person,
        rules: &KeyRequirements,
        record: &mut RecordFile,
        custodian: Option<&Custodian<'_>>,
        now: Timestamp,
    ) -> Result<Box<dyn KeyAtHome + 'h>, EnrolError>
    where
        Self: 'h;
}

/// The device with the enrolment's key.
pub(super) trait KeyAtHome {
    /// DER of the key's `SubjectPublicKeyInfo`.
    fn public_key(&self) -> &[u8];

    /// Where the predecessor's key is, as [`Place::label`]; `None` when nothing is renewed or the key is gone.
    fn predecessor(&self) -> Option<String>;

    /// CSR, evidence and the signatures over the challenge.
    fn evidence(
        &mut self,
        person: &mut dyn Person,
        user_id: &str,
        opened: &Opened,
    ) -> Result<Certify, EnrolError>;

    /// Puts the certificate beside the key and reads it back.
    fn install(
        self: Box<Self>,
        person: &mut dyn Person,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Place, EnrolError>;
}
