//! `TBSCertList`: full CRLs under the issuing key's own name, with numbers that rise, that leave out no unexpired
//! revocation of the journal. Entries that the journal doesn't know are allowed: they revoke, they don't un-revoke.

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS, ID_CE_INVALIDITY_DATE,
};
use der::asn1::GeneralizedTime;
use jiff::Timestamp;
use signer_protocol::{
    codec::MAX_CRL,
    message::{Refusal, RefusalCode},
};
use x509_cert::{
    certificate::Version,
    crl::{RevokedCert, TbsCertList},
    ext::{
        Extension,
        pkix::{CrlNumber, CrlReason},
    },
};

use super::{extensions, key::IssuingKey, recent, refuse, structure};
use crate::journal::{CrlState, KeyIndex, Serial};

/// How far a number may rise above the one before. Without a bound one CRL could take the highest number of all, and
/// no other could ever follow it.
const MAX_RISE: u64 = 1 << 32;

/// A `TBSCertList` that says nothing wrong by itself; the past may still forbid it.
#[derive(Debug)]
pub struct Parsed {
    /// Number and thisUpdate.
    pub state: CrlState,
    /// In ascending order.
    entries: Vec<(Serial, Timestamp)>,
}

/// Judges what a `TBSCertList` says by itself.
///
/// # Errors
/// The refusal.
pub fn parse(tbs: &[u8], key: &IssuingKey, now: Timestamp) -> Result<Parsed, Refusal> {
    let list: TbsCertList = structure::strict("TBSCertList", tbs, MAX_CRL)?;
    if list.version != Version::V2 {
        return refuse(RefusalCode::OutsideProfile, "the CRL is not of version 2");
    }
    if list.signature != key.identity.algorithm.identifier() {
        return refuse(RefusalCode::OutsideProfile, "the CRL's signature algorithm is not this key's");
    }
    structure::same_name("the CRL's issuer", &list.issuer, &key.identity.name_der)?;
    let this_update = times(&list, key, now)?;
    let number = extensions(list.crl_extensions.as_deref().unwrap_or_default(), key)?;
    let entries = entries(&list, now)?;
    Ok(Parsed { state: CrlState { number, this_update }, entries })
}

/// Judges a parsed CRL against the past.
///
/// # Errors
/// The refusal.
pub fn judge(crl: &Parsed, past: Option<&KeyIndex>) -> Result<(), Refusal> {
    let last_number = past.and_then(KeyIndex::crl).map_or(0, |last| last.number);
    if crl.state.number.saturating_sub(last_number) > MAX_RISE {
        return refuse(
            RefusalCode::CrlNumber,
            format!("cRLNumber {} rises too far above {last_number}", crl.state.number),
        );
    }
    let Some(past) = past else { return Ok(()) };
    if let Some(last) = past.crl() {
        if crl.state.number <= last.number {
            return refuse(
                RefusalCode::CrlNumber,
                format!("cRLNumber {} does not rise above {}", crl.state.number, last.number),
            );
        }
        if crl.state.this_update < last.this_update {
            return refuse(
                RefusalCode::OutsideValidity,
                format!(
                    "thisUpdate {} is before the last CRL's, {}",
                    crl.state.this_update, last.this_update
                ),
            );
        }
    }
    complete(crl, past)
}

/// Counting suffices, because no serial number stands twice in either.
fn complete(crl: &Parsed, past: &KeyIndex) -> Result<(), Refusal> {
    let mut found = 0_usize;
    for (serial, revoked_at) in &crl.entries {
        let Some(journaled) = past.revocation(serial) else { continue };
        if *revoked_at > journaled.revoked_at {
            return refuse(
                RefusalCode::DeniesRevocation,
                format!("{serial} is revoked since {}, not since {revoked_at}", journaled.revoked_at),
            );
        }
        if journaled.not_after >= crl.state.this_update {
            found += 1;
        }
    }
    let unexpired = |not_after: Timestamp| not_after >= crl.state.this_update;
    let expected = past.revocations().filter(|(_, revoked)| unexpired(revoked.not_after)).count();
    if found == expected {
        return Ok(());
    }
    let is_listed = |serial: &Serial| crl.entries.binary_search_by_key(serial, |(listed, _)| *listed).is_ok();
    let missing = past
        .revocations()
        .find(|(serial, revoked)| unexpired(revoked.not_after) && !is_listed(serial))
        .map(|(serial, _)| serial.to_string())
        .unwrap_or_default();
    refuse(
        RefusalCode::DeniesRevocation,
        format!("the CRL leaves out {} of {expected} revocations, such as {missing}", expected - found),
    )
}

fn times(list: &TbsCertList, key: &IssuingKey, now: Timestamp) -> Result<Timestamp, Refusal> {
    let this_update = structure::time("thisUpdate", &list.this_update)?;
    recent("thisUpdate", this_update, now)?;
    let Some(next_update) = &list.next_update else {
        return refuse(RefusalCode::OutsideValidity, "nextUpdate is missing (RFC 5280, 5.1.2.5)");
    };
    let next_update = structure::time("nextUpdate", next_update)?;
    if next_update <= this_update || next_update.duration_since(this_update) > key.profile.max_crl_validity {
        return refuse(
            RefusalCode::OutsideValidity,
            format!(
                "nextUpdate {next_update} must be after thisUpdate by at most {} hours",
                key.profile.max_crl_validity.as_hours()
            ),
        );
    }
    Ok(this_update)
}

/// The number. Delta CRLs, partitions and indirect CRLs say so in critical extensions, which are not in the list.
fn extensions(extensions: &[Extension], key: &IssuingKey) -> Result<u64, Refusal> {
    structure::without_duplicates(extensions)?;
    let mut number = None;
    let mut has_identifier = false;
    for extension in extensions {
        match extension.extn_id {
            ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                extensions::authority_key_identifier(extension, &key.key_identifier)?;
                has_identifier = true;
            }
            ID_CE_CRL_NUMBER => {
                structure::criticality("cRLNumber", extension, false)?;
                structure::value::<CrlNumber>("cRLNumber", extension)?;
                number = ca_x509::crl::number(std::slice::from_ref(extension));
                if number.is_none() {
                    return refuse(RefusalCode::CrlNumber, "cRLNumber doesn't fit 64 bits");
                }
            }
            other => {
                return refuse(
                    RefusalCode::OutsideProfile,
                    format!("CRL extension {other} is not in the profile: only full CRLs are signed"),
                );
            }
        }
    }
    match number {
        Some(number) if has_identifier => Ok(number),
        _ => refuse(RefusalCode::OutsideProfile, "cRLNumber or authorityKeyIdentifier is missing"),
    }
}

fn entries(list: &TbsCertList, now: Timestamp) -> Result<Vec<(Serial, Timestamp)>, Refusal> {
    let Some(revoked) = &list.revoked_certificates else { return Ok(Vec::new()) };
    if revoked.is_empty() {
        return refuse(RefusalCode::Malformed, "an empty list of revoked certificates must be left out");
    }
    let mut entries = Vec::with_capacity(revoked.len());
    for entry in revoked {
        let Ok(serial) = Serial::from_content(entry.serial_number.as_bytes()) else {
            return refuse(RefusalCode::Malformed, "a serial number in the CRL is not a positive INTEGER");
        };
        let revoked_at = structure::time("revocationDate", &entry.revocation_date)?;
        if revoked_at.duration_since(now) > super::CLOCK_TOLERANCE {
            return refuse(
                RefusalCode::OutsideValidity,
                format!("{serial} would be revoked in the future, {revoked_at}"),
            );
        }
        entry_extensions(&serial, entry)?;
        entries.push((serial, revoked_at));
    }
    entries.sort_unstable();
    if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return refuse(RefusalCode::Malformed, format!("{} stands twice in the CRL", twice[0].0));
    }
    Ok(entries)
}

fn entry_extensions(serial: &Serial, entry: &RevokedCert) -> Result<(), Refusal> {
    let Some(extensions) = &entry.crl_entry_extensions else { return Ok(()) };
    structure::without_duplicates(extensions)?;
    for extension in extensions {
        structure::criticality("a CRL entry's extension", extension, false)?;
        match extension.extn_id {
            ID_CE_CRL_REASONS => {
                let reason: CrlReason = structure::value("reasonCode", extension)?;
                if matches!(reason, CrlReason::CertificateHold | CrlReason::RemoveFromCRL) {
                    return refuse(
                        RefusalCode::OutsideProfile,
                        format!("{serial}: revocation is final, reason {reason:?} is not in the profile"),
                    );
                }
            }
            ID_CE_INVALIDITY_DATE => {
                structure::value::<GeneralizedTime>("invalidityDate", extension)?;
            }
            other => {
                return refuse(
                    RefusalCode::OutsideProfile,
                    format!("{serial}: CRL entry extension {other} is not in the profile"),
                );
            }
        }
    }
    Ok(())
}
