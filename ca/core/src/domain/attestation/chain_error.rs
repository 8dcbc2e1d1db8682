//! Why a certificate isn't believed to be a maker's: how its chain breaks, each way with a stable code.

use const_oid::ObjectIdentifier;

/// Why a certificate doesn't lead to a trusted root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No known certificate has the issuer's name.
    #[error("its issuer is not known")]
    UnknownIssuer,
    /// A certificate with the issuer's name exists, but didn't sign.
    #[error("it was not signed by the certificate with its issuer's name")]
    Signature,
    /// The signature algorithm isn't one that is accepted.
    #[error("its signature algorithm is not accepted")]
    Algorithm,
    /// A certificate of the chain isn't a CA's.
    #[error("a certificate in its chain is not a CA's")]
    NotCa,
    /// A path length constraint is exceeded.
    #[error("a path length constraint in its chain is exceeded")]
    PathLength,
    /// A certificate of the chain isn't valid now.
    #[error("a certificate in its chain is not valid at this time")]
    NotValidNow,
    /// A critical extension that isn't understood.
    #[error("a certificate in its chain has the critical extension {0}, which is not understood")]
    CriticalExtension(ObjectIdentifier),
    /// Its issuer vouches for something else.
    #[error("its issuer doesn't vouch for keys of this kind")]
    Purpose,
    /// The maker took a certificate back.
    #[error("a certificate in its chain was revoked by its maker (serial number {serial})")]
    Revoked {
        /// Its serial number, hexadecimal.
        serial: String,
    },
    /// More certificates than a chain may have.
    #[error("its chain is too long")]
    TooLong,
}

impl ChainError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => "evidence-unknown-issuer",
            Self::Signature => "evidence-chain-signature",
            Self::Algorithm => "evidence-chain-algorithm",
            Self::NotCa => "evidence-chain-not-ca",
            Self::PathLength => "evidence-chain-path-length",
            Self::NotValidNow => "evidence-chain-not-valid-now",
            Self::CriticalExtension(_) => "evidence-chain-critical-extension",
            Self::Purpose => "evidence-chain-purpose",
            Self::Revoked { .. } => "evidence-chain-revoked",
            Self::TooLong => "evidence-chain-too-long",
        }
    }

    /// How far the attempt got: the furthest explains best.
    pub(super) fn progress(&self) -> u8 {
        match self {
            Self::UnknownIssuer => 0,
            Self::Signature => 1,
            Self::Algorithm => 2,
            Self::Revoked { .. } => 4,
            _ => 3,
        }
    }
}
