//! Certificate chains of device makers: from a device's certificate to a root that is trusted, and that the certificate
//! which vouches for a device is one for its kind and not one of the same maker for something else. Issuers are found by
//! name and proven by signature; names mean nothing else.

use std::sync::Arc;

use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{
        ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    },
};
use jiff::Timestamp;

use super::{
    certificate::{CA_CRITICALS, DeviceCertificate},
    chain_error::ChainError,
    maker_crl::{CrlRefusal, MakerCrl, Revocations},
    memory::Memory,
};

/// Certificates in a chain at the most, leaf and root included.
pub(super) const MAX_CHAIN: usize = 6;
/// At most so many anchors: the makers of TPMs have hundreds of issuing certificates.
const MAX_ANCHORS: usize = 4096;

/// How far a configured certificate is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A root: chains may end here.
    Root,
    /// An intermediate: it must lead to a root.
    Intermediate,
}

/// What a configured certificate may vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It issues the attestation certificates (f9) of PIV applications.
    PivIssuer,
    /// It only links others to a root. Certificates for FIDO or `OpenPGP` belong nowhere.
    Link,
    /// It stands somewhere above the certificates of TPMs' endorsement or attestation keys, and vouches for nothing else.
    TpmMaker,
}

/// What a chain is to show. Anchors of one errand are nothing on another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The chain begins with a CA certificate, f9's, which vouches for PIV keys.
    Piv,
    /// The chain begins with the certificate of a TPM's key.
    Tpm {
        /// Whether certificates count after their notAfter.
        after_expiry: bool,
    },
}

impl Errand {
    /// CA certificates below the first one above the beginning.
    fn cas_below(self) -> usize {
        match self {
            Self::Piv => 1,
            Self::Tpm { .. } => 0,
        }
    }

    /// Whether a certificate may stand so far above the beginning, counted from 0.
    fn admits(self, candidate: &Candidate, depth: usize) -> bool {
        match self {
            Self::Piv if depth == 0 => candidate.purpose == Purpose::PivIssuer,
            Self::Piv => matches!(candidate.purpose, Purpose::PivIssuer | Purpose::Link),
            Self::Tpm { .. } => candidate.purpose == Purpose::TpmMaker,
        }
    }

    /// What a CA certificate may mark critical here.
    fn ca_criticals(self) -> &'static [ObjectIdentifier] {
        match self {
            Self::Piv => &CA_CRITICALS,
            Self::Tpm { .. } => &TPM_CA_CRITICALS,
        }
    }

    fn after_expiry(self) -> bool {
        self == Self::Tpm { after_expiry: true }
    }
}

/// A configured certificate of a device maker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// DER.
    pub der: Vec<u8>,
    /// How far it is trusted.
    pub trust: Trust,
    /// What for.
    pub purpose: Purpose,
}

/// An anchor that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// There is no root that leads to anything, or no PIV issuer.
    #[error("the trust anchors contain no {0}")]
    None(&'static str),
    /// Too many.
    #[error("there are more than {MAX_ANCHORS} trust anchors")]
    TooMany,
    /// Not a CA certificate of a form that this checks.
    #[error("trust anchor {number} is not a CA certificate: {problem}")]
    Unfit {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong.
        problem: String,
    },
}

/// What makers of TPMs also do: policies and purposes that say no more than that it is about TPMs.
const TPM_CA_CRITICALS: [ObjectIdentifier; 4] =
    [ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE, ID_CE_CERTIFICATE_POLICIES, ID_CE_EXT_KEY_USAGE];

/// A certificate that chains may lead over.
#[derive(Clone, Debug)]
struct Candidate {
    certificate: DeviceCertificate,
    trust: Trust,
    purpose: Purpose,
}

/// The configured certificates of device makers, read and checked.
#[derive(Debug)]
pub struct Anchors {
    candidates: Arc<Vec<Candidate>>,
    memory: Arc<Memory>,
    revocations: Revocations,
}

impl Anchors {
    /// Reads and checks the anchors.
    ///
    /// # Errors
    /// [`AnchorError`] names the one that is unfit, or what is missing altogether.
    pub fn new(anchors: &[Anchor]) -> Result<Self, AnchorError> {
        if anchors.len() > MAX_ANCHORS {
            return Err(AnchorError::TooMany);
        }
        let candidates = anchors
            .iter()
            .enumerate()
            .map(|(index, anchor)| {
                candidate(anchor).map_err(|problem| AnchorError::Unfit { number: index + 1, problem })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let has = |wanted: fn(&Candidate) -> bool| candidates.iter().any(wanted);
        if !has(|candidate| candidate.trust == Trust::Root) {
            return Err(AnchorError::None("root"));
        }
        if !has(|candidate| matches!(candidate.purpose, Purpose::PivIssuer | Purpose::TpmMaker)) {
            return Err(AnchorError::None("issuer of PIV attestation certificates, nor a maker of TPMs"));
        }
        Ok(Self {
            candidates: Arc::new(candidates),
            memory: Arc::default(),
            revocations: Revocations::default(),
        })
    }

    /// Nobody is believed: only what is asserted can be judged.
    pub fn none() -> Self {
        Self { candidates: Arc::default(), memory: Arc::default(), revocations: Revocations::default() }
    }

    /// The same anchors with what the makers' CRLs revoke, in place of what any before revoked; and which of the CRLs count
    /// for nothing, by their place in the list.
    ///
    /// A CRL counts when an anchor signed it (RFC 5280, 6.3.3), and for ever: past its nextUpdate a newer one may revoke
    /// more, never less.
    pub fn with_crls(&self, crls: &[MakerCrl]) -> (Self, Vec<(usize, CrlRefusal)>) {
        let mut revocations = Revocations::default();
        let mut refused = Vec::new();
        for (number, crl) in crls.iter().enumerate() {
            let by_name = self.candidates.iter().filter(|c| c.certificate.tbs().subject() == crl.issuer());
            let signers: Vec<_> = by_name.map(|candidate| &candidate.certificate).collect();
            match crl.signer(&signers) {
                Ok(signer) => revocations.add(signer, crl),
                Err(refusal) => refused.push((number, refusal)),
            }
        }
        let (candidates, memory) = (self.candidates.clone(), self.memory.clone());
        (Self { candidates, memory, revocations }, refused)
    }

    /// Follows `certificate`, with which the errand begins, to a root, over configured intermediates and `offered` ones,
    /// which are trusted for nothing but the way.
    ///
    /// # Errors
    /// [`ChainError`] of the attempt that got furthest.
    pub(super) fn path_above(
        &self,
        certificate: &DeviceCertificate,
        offered: Vec<DeviceCertificate>,
        errand: Errand,
        now: Timestamp,
    ) -> Result<Path, ChainError> {
        let purpose = match errand {
            Errand::Piv => Purpose::Link,
            Errand::Tpm { .. } => Purpose::TpmMaker,
        };
        let link = |certificate| Candidate { certificate, trust: Trust::Intermediate, purpose };
        let offered: Vec<Candidate> = offered.into_iter().map(link).collect();
        let pool: Vec<&Candidate> = self.candidates.iter().chain(&offered).collect();
        let mut way = Vec::new();
        let path = self.climb(&pool, certificate, &mut way, (errand, now))?;
        let mut below = certificate;
        for above in way.into_iter().map(|index| &pool[index].certificate) {
            self.memory.learn(below.der(), above.der());
            below = above;
        }
        Ok(path)
    }

    /// Climbs from `below`, to which the certificates in `used` led, to a root; on success they are the whole way.
    fn climb(
        &self,
        pool: &[&Candidate],
        below: &DeviceCertificate,
        used: &mut Vec<usize>,
        (errand, now): (Errand, Timestamp),
    ) -> Result<Path, ChainError> {
        // The leaf, and the certificate that the climb started from, are below the used ones.
        if used.len() + 2 >= MAX_CHAIN {
            return Err(ChainError::TooLong);
        }
        let mut furthest = ChainError::UnknownIssuer;
        for (index, candidate) in pool.iter().enumerate() {
            if used.contains(&index) || candidate.certificate.tbs().subject() != below.tbs().issuer() {
                continue;
            }
            let attempt = self.step(candidate, below, used.len(), (errand, now)).and_then(|()| {
                used.push(index);
                if candidate.trust == Trust::Root {
                    return Ok(Path { length: used.len(), root_sha256: candidate.certificate.sha256() });
                }
                self.climb(pool, &candidate.certificate, used, (errand, now)).inspect_err(|_| {
                    used.pop();
                })
            });
            match attempt {
                Ok(path) => return Ok(path),
                Err(error) if error.progress() >= furthest.progress() => furthest = error,
                Err(_) => {}
            }
        }
        Err(furthest)
    }

    /// Whether `candidate` may have issued `below`, which is the `depth`-th certificate from the beginning, counted from 0.
    fn step(
        &self,
        candidate: &Candidate,
        below: &DeviceCertificate,
        depth: usize,
        (errand, now): (Errand, Timestamp),
    ) -> Result<(), ChainError> {
        if !self.memory.knows(below.der(), candidate.certificate.der()) {
            below.is_signed_by(&candidate.certificate)?;
        }
        if self.revocations.name(&candidate.certificate, below) {
            let serial = hex::encode(below.tbs().serial_number().as_bytes());
            return Err(ChainError::Revoked { serial });
        }
        if !errand.admits(candidate, depth) {
            return Err(ChainError::Purpose);
        }
        let certificate = &candidate.certificate;
        certificate.check_ca(depth + errand.cas_below())?;
        certificate.check_time(now, errand.after_expiry())?;
        certificate.check_criticals(errand.ca_criticals())
    }
}

/// The way from a certificate to its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Certificates above the first, root included.
    pub(super) length: usize,
    /// SHA-256 of the root's certificate.
    pub(super) root_sha256: [u8; 32],
}

fn candidate(anchor: &Anchor) -> Result<Candidate, String> {
    let certificate = match anchor.purpose {
        Purpose::PivIssuer | Purpose::Link => DeviceCertificate::parse(&anchor.der),
        Purpose::TpmMaker => DeviceCertificate::parse_unsorted(&anchor.der),
    };
    let certificate = certificate.map_err(|error| error.to_string())?;
    certificate.check_ca(0).map_err(|error| error.to_string())?;
    if anchor.trust == Trust::Root {
        let self_issued = certificate.tbs().subject() == certificate.tbs().issuer();
        let is_own = match certificate.is_signed_by(&certificate) {
            // A root is believed for its octets, so old ones of TPM makers may have signed themselves over SHA-1.
            Err(ChainError::Algorithm) => anchor.purpose == Purpose::TpmMaker,
            result => result.is_ok(),
        };
        if !self_issued || !is_own {
            return Err("a root must be signed by its own key".to_owned());
        }
    }
    Ok(Candidate { certificate, trust: anchor.trust, purpose: anchor.purpose })
}
