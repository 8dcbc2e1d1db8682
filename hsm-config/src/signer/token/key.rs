//! A key on a token: how it signs, and how it is proven to be its certificate's.

use std::time::Duration;

use ca_x509::{SignatureAlgorithm, verify::verify};
use signer_protocol::message::KeyLabel;
use tokio::time::Instant;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::{
    signer::places::Use,
    token::KeyId,
    worker::{
        handle::{CallError, Worker},
        protocol::ErrorClass,
    },
};

/// What a key signs to prove itself. It begins no DER structure, so the signature is good for nothing else.
const PROOF: &[u8] = b"Inro signer proves that this key signs";

/// A key, as its certificate describes it.
#[derive(Clone, Debug)]
pub(in crate::signer) struct TokenKey {
    pub(in crate::signer) label: KeyLabel,
    pub(in crate::signer) id: KeyId,
    pub(in crate::signer) public_key: SubjectPublicKeyInfoOwned,
    pub(in crate::signer) public_key_der: Vec<u8>,
    pub(in crate::signer) algorithm: SignatureAlgorithm,
    pub(in crate::signer) used_for: Use,
}

/// A signature that verifies, and how long the lane and the check had the message.
#[derive(Clone, Debug)]
pub(in crate::signer) struct Made {
    pub(in crate::signer) octets: Vec<u8>,
    pub(in crate::signer) took: Duration,
}

/// Why a worker made no usable signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignFailure {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("key {:?} made a signature that its certificate doesn't verify", .0.0)]
    Wrong(KeyLabel),
}

impl SignFailure {
    pub(super) fn class(&self) -> ErrorClass {
        match self {
            Self::Call(error) => error.class(),
            Self::Wrong(_) => ErrorClass::Restart,
        }
    }
}

/// Why a key isn't used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproven {
    #[error("key {label:?}: {failure}")]
    Fails { label: String, failure: SignFailure },
    #[error(
        "key {label:?}: the key with CKA_ID {id} on the token is not the one in its certificate; correct id or \
         certificate in the configuration, or put the right key on the token"
    )]
    Another { label: String, id: KeyId },
}

impl TokenKey {
    /// Signs, and checks the signature against the certificate.
    pub(super) async fn sign(
        &self,
        worker: &Worker,
        message: &[u8],
        limit: Duration,
    ) -> Result<Made, SignFailure> {
        let made = worker.sign_timed(&self.id, self.algorithm.into(), message.to_vec(), limit).await?;
        let checking = Instant::now();
        match verify(&self.public_key, self.algorithm, message, &made.octets) {
            Ok(()) => Ok(Made { octets: made.octets, took: made.in_lane + checking.elapsed() }),
            Err(_) => Err(SignFailure::Wrong(self.label.clone())),
        }
    }

    /// Has it sign now, for nothing but to see that it does.
    pub(super) async fn probe(&self, worker: &Worker, limit: Duration) -> Result<(), SignFailure> {
        self.sign(worker, PROOF, limit).await.map(drop)
    }

    /// Proves it: it has its certificate's public key, and what it signs verifies.
    pub(super) async fn prove(&self, worker: &Worker, limit: Duration) -> Result<(), Unproven> {
        let label = &self.label.0;
        let fails = |failure| Unproven::Fails { label: label.clone(), failure };
        let public_key = worker.public_key(&self.id, limit).await.map_err(|error| fails(error.into()))?;
        if public_key != self.public_key_der {
            return Err(Unproven::Another { label: label.clone(), id: self.id.clone() });
        }
        self.probe(worker, limit).await.map_err(fails)
    }
}
