//! The root's CRL: a file from its last ceremony, and in the ledger the newest that any node ever served. A file can be put
//! back to an older one, also while nothing runs; what the root revoked must not seem to be good again.

use std::{collections::HashSet, sync::Arc};

use der::Decode;
use x509_cert::{
    certificate::Rfc5280,
    crl::{CertificateList, TbsCertList},
};

use super::{PublishError, read_foreign};
use crate::{
    app::{
        failure::Failure,
        trail::{Details, event},
    },
    domain::{audit::Actor, ids::IssuerId, profile::Issuer},
    ports::{
        clock::Clock,
        store::{Conflict, RevocationStore, StoreError},
    },
};

/// The use case.
pub struct RootCrls {
    /// Where the newest is remembered.
    pub revocations: Arc<dyn RevocationStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The root. Its CRLs' name in the ledger is [`name`]'s, so that another root's begin anew.
    pub root: Arc<Issuer>,
}

/// What is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCrl {
    /// The CRL, DER.
    pub der: Vec<u8>,
    /// Why it is the remembered one and not the file.
    pub instead: Option<Unfit>,
}

/// Why a CRL can't take the place of another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// RFC 5280, 5.2.3.
    #[error(
        "its number {next} isn't higher than {served} of the one that was served last; hold the next CRL ceremony with \
         the served one as the previous"
    )]
    Number {
        /// Of the one that was served.
        served: u64,
        /// Of this one.
        next: u64,
    },
    /// Something would seem to be good again.
    #[error("it leaves out serial number {0}, which the one that was served last lists")]
    LeavesOut(String),
    /// One of them can't be read.
    #[error("a root CRL can't be read: {0}")]
    Unreadable(String),
}

/// What a root is called in the ledger, by its key.
///
/// # Errors
/// `Foreign` when its key can't be encoded, which doesn't happen.
pub fn name(root: &[u8]) -> Result<IssuerId, PublishError> {
    let foreign = |error: &dyn std::fmt::Display| PublishError::Foreign(format!("the root: {error}"));
    let certificate = x509_cert::Certificate::from_der(root).map_err(|error| foreign(&error))?;
    let key = ca_x509::key::sha256(certificate.tbs_certificate().subject_public_key_info());
    let key = key.map_err(|error| foreign(&error))?;
    IssuerId::parse(&format!("root-{}", hex::encode(&key[..12]))).map_err(|error| foreign(&error))
}

impl RootCrls {
    /// The newest, of this file and of what is remembered; the file is remembered if it is.
    ///
    /// # Errors
    /// `Foreign` when the file isn't one of the root's; a failure of the store.
    pub async fn newest(&self, file: &[u8]) -> Result<RootCrl, PublishError> {
        let crl = read_foreign(file, &self.root).map_err(PublishError::Foreign)?;
        let root = self.root.id();
        loop {
            let remembered = self.revocations.current_crl(root).await?.map(|remembered| remembered.der);
            let keep = |der| RootCrl { der, instead: None };
            if let Some(remembered) = remembered {
                if remembered == file {
                    return Ok(keep(remembered));
                }
                if let Err(unfit) = succeeds(&remembered, file) {
                    return Ok(RootCrl { der: remembered, instead: Some(unfit) });
                }
            }
            let row = event(self.clock.now(), Actor::System, "root-crl.taken-up", crl.number)
                .with("root", root)
                .with("entries", crl.entries);
            match self.revocations.publish_crl(root, &crl, row).await {
                Ok(()) => return Ok(keep(file.to_vec())),
                // Another node was faster with this one or a newer one.
                Err(StoreError::Conflict(Conflict::CrlNumber)) => {}
                Err(error) => return Err(Failure::from(error).into()),
            }
        }
    }

    /// Whether a file may be served, without remembering it.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    pub async fn judge(&self, file: &[u8]) -> Result<Option<Unfit>, PublishError> {
        read_foreign(file, &self.root).map_err(PublishError::Foreign)?;
        let remembered = self.revocations.current_crl(self.root.id()).await?;
        let other = remembered.filter(|remembered| remembered.der != file);
        Ok(other.and_then(|remembered| succeeds(&remembered.der, file).err()))
    }
}

/// Whether `next` may take the place of `served`: its number is higher, and it lists every certificate that `served` lists.
fn succeeds(served: &[u8], next: &[u8]) -> Result<(), Unfit> {
    let (served, next) = (parse(served)?, parse(next)?);
    let number = |list: &TbsCertList<Rfc5280>| {
        let extensions = list.crl_extensions.as_deref().unwrap_or_default();
        ca_x509::crl::number(extensions).ok_or_else(|| Unfit::Unreadable("it has no number".to_owned()))
    };
    let (before, after) = (number(&served)?, number(&next)?);
    if after <= before {
        return Err(Unfit::Number { served: before, next: after });
    }
    let listed: HashSet<&[u8]> = serials(&next).collect();
    match serials(&served).find(|serial| !listed.contains(serial)) {
        Some(missing) => Err(Unfit::LeavesOut(hex::encode(missing))),
        None => Ok(()),
    }
}

fn parse(der: &[u8]) -> Result<TbsCertList<Rfc5280>, Unfit> {
    let list = CertificateList::from_der(der).map_err(|error| Unfit::Unreadable(error.to_string()))?;
    Ok(list.tbs_cert_list)
}

fn serials(list: &TbsCertList<Rfc5280>) -> impl Iterator<Item = &[u8]> {
    list.revoked_certificates.iter().flatten().map(|entry| entry.serial_number.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use ca_x509::{
        algorithm::SignatureAlgorithm,
        crl::{CrlEntry, CrlTemplate},
        signed::assemble,
    };
    use jiff::Timestamp;
    use x509_cert::{der::asn1::OctetString, name::Name};

    use super::*;

    fn list(number: u64, serials: &[u8]) -> Vec<u8> {
        let at = Timestamp::from_second(1_790_000_000).expect("a time");
        let entry = |serial: &u8| CrlEntry { serial: vec![*serial], revoked_at: at, reason: None };
        let template = CrlTemplate {
            issuer: Name::from_str("CN=Root").expect("a name"),
            issuer_key_identifier: OctetString::new([1; 20]).expect("octets"),
            this_update: at,
            next_update: at,
            number,
            entries: serials.iter().map(entry).collect(),
            algorithm: SignatureAlgorithm::EcdsaSha256,
        };
        assemble(&template.to_tbs_der().expect("a list"), template.algorithm, b"unsigned").expect("a list")
    }

    #[test]
    fn nothing_that_the_root_revoked_seems_good_again() {
        let served = list(7, &[1, 2]);
        succeeds(&served, &list(8, &[1, 2])).expect("the next year's");
        succeeds(&served, &list(9, &[3, 2, 1])).expect("one more");
        let refused = |next: &[u8]| succeeds(&served, next).expect_err("refused");
        assert_eq!(refused(&list(6, &[1, 2])), Unfit::Number { served: 7, next: 6 });
        assert_eq!(refused(&list(7, &[1, 2, 3])), Unfit::Number { served: 7, next: 7 });
        assert_eq!(refused(&list(8, &[1])), Unfit::LeavesOut("02".to_owned()));
        assert!(matches!(refused(b"no list"), Unfit::Unreadable(_)));
    }
}
