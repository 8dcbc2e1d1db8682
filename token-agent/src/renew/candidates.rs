//! Which certificates the connected tokens hold, and which of them can be renewed. Needs no PIN and changes nothing.

use agent_tpm::Place as TpmPlace;
use ca_core::domain::validity::renewal_opens;
use jiff::Timestamp;

use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, Records, RenewalUnderWay, Retired},
    token::{ReaderState, Slot, TokenDriver, TokenError, TokenIdentity},
    tpm::Machine,
};

/// Where a certificate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Card { token: TokenIdentity, slot: Slot },
    Tpm { serial: String, place: TpmPlace },
}

impl Spot {
    /// The serial number of the token or TPM.
    pub(crate) fn token_serial(&self) -> &str {
        match self {
            Self::Card { token, .. } => &token.serial,
            Self::Tpm { serial, .. } => serial,
        }
    }

    /// A card's slot, or the number of a key in the TPM.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Card { slot, .. } => slot.to_string(),
            Self::Tpm { place, .. } => place.to_string(),
        }
    }
}

/// A user's certificate.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) spot: Spot,
    pub(crate) user_id: String,
    /// DER.
    pub(crate) certificate: Vec<u8>,
    pub(crate) details: CertificateDetails,
    pub(crate) readiness: Readiness,
}

/// Whether it can be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// A renewal was begun here and isn't finished.
    UnderWay,
    Open,
    /// Rule 5.
    NotYet {
        opens: Timestamp,
    },
    Expired,
    /// It was renewed here.
    Superseded,
    /// A newer certificate of the same user is on the same token.
    Succeeded,
}

impl Readiness {
    /// Whether there is something to do.
    pub(crate) fn is_due(self) -> bool {
        matches!(self, Self::UnderWay | Self::Open)
    }
}

/// The users' certificates on the connected tokens, or on this one only; those in the TPM where there is a machine. The
/// server's origin tells which renewals are under way.
///
/// # Errors
/// When a token can't be read: it could be the one that is meant.
pub(crate) fn candidates(
    driver: &dyn TokenDriver,
    machine: Option<&Machine>,
    records: &Records,
    server: &str,
    only: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Candidate>, EnrolError> {
    let mut found: Vec<(Spot, Vec<u8>)> = Vec::new();
    for entry in machine.map(|machine| machine.shelf.entries()).transpose()?.unwrap_or_default() {
        found.push((Spot::Tpm { serial: entry.tpm, place: entry.place }, entry.certificate));
    }
    if only.is_none_or(|serial| found.iter().all(|(spot, _)| spot.token_serial() != serial)) {
        match serials(driver, only) {
            // Who has a TPM needs no smart-card service.
            Err(TokenError::NoService(_)) if !found.is_empty() => {}
            serials => {
                let serials = serials?;
                if serials.is_empty() && found.is_empty() {
                    return Err(TokenError::NoToken.into());
                }
                for serial in serials {
                    read(driver, &serial, &mut found)?;
                }
            }
        }
    }
    let (retired, under_way) = (records.retired()?, records.renewals_under_way(server));
    let users = found.into_iter().filter_map(|(spot, certificate)| {
        let details = CertificateDetails::read(&certificate).ok()?;
        let user_id = details.user_id.clone()?;
        Some(Candidate { spot, user_id, certificate, details, readiness: Readiness::Open })
    });
    let mut all: Vec<Candidate> = users.collect();
    let judged: Vec<Readiness> =
        all.iter().map(|candidate| judge(candidate, &all, &under_way, &retired, now)).collect();
    for (candidate, readiness) in all.iter_mut().zip(judged) {
        candidate.readiness = readiness;
    }
    Ok(all)
}

fn serials(driver: &dyn TokenDriver, only: Option<&str>) -> Result<Vec<String>, TokenError> {
    if let Some(serial) = only {
        return Ok(vec![serial.to_owned()]);
    }
    let tokens = driver.readers()?.into_iter().filter_map(|reader| match reader.state {
        ReaderState::Token(identity) => Some(Ok(identity.serial)),
        ReaderState::Busy => Some(Err(TokenError::Busy)),
        _ => None,
    });
    tokens.collect()
}

fn read(driver: &dyn TokenDriver, serial: &str, found: &mut Vec<(Spot, Vec<u8>)>) -> Result<(), TokenError> {
    let mut token = driver.open(serial)?;
    for slot in Slot::all() {
        let Some(certificate) = token.certificate(slot)? else { continue };
        let spot = Spot::Card { token: token.identity().clone(), slot };
        // An interrupted move leaves a certificate in two slots.
        let twice = found.iter().any(|(known, der)| known.token_serial() == serial && *der == certificate);
        if !twice {
            found.push((spot, certificate));
        }
    }
    Ok(())
}

fn judge(
    candidate: &Candidate,
    all: &[Candidate],
    under_way: &[RenewalUnderWay],
    retired: &[Retired],
    now: Timestamp,
) -> Readiness {
    if retired.iter().any(|retired| retired.is(&candidate.certificate)) {
        return Readiness::Superseded;
    }
    let token = candidate.spot.token_serial();
    let begun = |renewal: &RenewalUnderWay| {
        renewal.user_id == candidate.user_id
            && renewal.token_serial == token
            && renewal.renews == candidate.details.serial
    };
    if under_way.iter().any(begun) {
        return Readiness::UnderWay;
    }
    let (this, opens) = (&candidate.details, renewal_opens(candidate.details.not_after));
    let succeeds = |other: &Candidate| {
        other.spot.token_serial() == token
            && other.user_id == candidate.user_id
            && other.details.issuer == this.issuer
            && other.details.not_before > this.not_before
            && other.details.not_after >= now
    };
    match () {
        () if all.iter().any(succeeds) => Readiness::Succeeded,
        () if now > this.not_after => Readiness::Expired,
        () if now < opens => Readiness::NotYet { opens },
        () => Readiness::Open,
    }
}
