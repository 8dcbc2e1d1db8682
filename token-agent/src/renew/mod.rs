//! Renewing (更新): which certificates can be renewed, the renewal itself, and what comes after it.
//!
//! The renewal is an enrolment whose key lives beside its predecessor's ([`crate::enrol`]). Until the bank has taken its
//! confirmation the old certificate works; afterwards it is superseded, stays on the token for a grace, and is then
//! erased by whichever run comes next. At no moment is there a token without a working certificate.

mod candidates;
mod once;
mod retirement;
#[cfg(test)]
mod tests;

use jiff::SignedDuration;

pub(crate) use candidates::{Candidate, Readiness, Spot, candidates};
pub(crate) use once::Once;
pub(crate) use retirement::{Fate, Retirement, Terms, finish};

use crate::{
    enrol::{EnrolError, Failure, Order, Outcome, World, enrol, enrol_in_tpm},
    tpm::Machine,
};

/// How long a superseded certificate stays on the token. The bank has the confirmation; the grace is for the day on which
/// it has to go back to a backup of its records, in which the old certificate is the one that counts.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_hours(72);

/// Renews the certificate of the order, or brings an interrupted renewal of it to its end.
///
/// # Errors
/// [`Failure`], which says whether running again resumes.
pub(crate) fn renew(
    world: &mut World<'_>,
    order: &Order,
    spot: &Spot,
    machine: Option<&Machine>,
) -> Result<Outcome, Failure> {
    match (spot, machine) {
        (Spot::Card { .. }, _) => enrol(world, order),
        (Spot::Tpm { .. }, None) => Err(EnrolError::NoTpmKey.into()),
        (Spot::Tpm { .. }, Some(machine)) => {
            let outcome = enrol_in_tpm(world, order, machine)?;
            // Programs see a key in the TPM by its certificate's file, and shall see the new one only.
            if let Some(retired) = &outcome.retired {
                retirement::take_off_the_shelf(machine, retired)?;
            }
            Ok(outcome)
        }
    }
}
