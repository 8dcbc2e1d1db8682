//! Judges the stored evidence of the whole fleet again, under another policy or other anchors: what would they have
//! refused? It changes nothing.
//!
//! Evidence is judged as of the day on which it was judged first, because makers' certificates expire in healthy
//! devices; what was trusted wrongly is taken out of the anchors, not waited out.

use std::sync::Arc;

use super::failure::{Failure, carries_failure, full_text};
use crate::{
    domain::{
        attestation::{self, Anchors, Attested, Claim, Evidence},
        csr,
        ids::{ContractNumber, IssuerId},
        policy::{BindingRefusal, DevicePolicy, PolicyRules, Reason, admit, vouches_for},
    },
    ports::{
        clock::Clock,
        fleet::{FleetMember, FleetPlace, FleetStore},
    },
};

/// Certificates that are read at a time.
const PAGE: u32 = 500;

/// The engine.
pub struct JudgeFleet {
    /// The ledger.
    pub fleet: Arc<dyn FleetStore>,
    /// What lives now.
    pub clock: Arc<dyn Clock>,
}

/// Whose certificates are judged.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The issuer.
    pub issuer: IssuerId,
    /// Only this contract's users.
    pub contract: Option<ContractNumber>,
}

/// What came of one certificate's evidence.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The certificate with its evidence.
    pub member: FleetMember,
    /// What is proven, or why not.
    pub verdict: Result<Attested, Fall>,
}

/// Why a certificate would not be issued any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fall {
    /// The stable code.
    pub code: String,
    /// In words.
    pub detail: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Certificates to be judged, as counted at the beginning.
    pub total: u64,
    /// Judged so far.
    pub judged: u64,
    /// Of these, how many would be refused.
    pub fallen: u64,
}

/// Why the fleet wasn't judged to its end.
#[derive(Debug, thiserror::Error)]
pub enum JudgeFleetError {
    /// Whoever asked wants no more.
    #[error("the judgement was stopped")]
    Stopped,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(JudgeFleetError);

/// What each certificate is judged by. `policy_of` is asked for each contract; `None` leaves its certificates out.
pub struct Bench<'a> {
    /// The anchors.
    pub anchors: &'a Anchors,
    /// The devices and keys that a contract's policy accepts.
    pub policy_of: &'a (dyn Fn(&ContractNumber) -> Option<Arc<DevicePolicy>> + Send + Sync),
}

impl JudgeFleet {
    /// Judges page by page and hands over each page's verdicts with the tally so far; only a page is in memory. `take`
    /// returns false to stop.
    ///
    /// # Errors
    /// [`JudgeFleetError`].
    pub async fn run(
        &self,
        scope: &Scope,
        bench: &Bench<'_>,
        take: &mut (dyn FnMut(Vec<Judged>, Tally) -> bool + Send),
    ) -> Result<Tally, JudgeFleetError> {
        let (at, contract) = (self.clock.now(), scope.contract.as_ref());
        let mut tally =
            Tally { total: self.fleet.fleet_size(&scope.issuer, contract, at).await?, ..Tally::default() };
        let mut after = FleetPlace::default();
        loop {
            let page = self.fleet.fleet(&scope.issuer, contract, at, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(tally) };
            after = last.place;
            let judged = judge_page(page, bench);
            tally.judged += judged.len() as u64;
            tally.fallen += judged.iter().filter(|judged| judged.verdict.is_err()).count() as u64;
            if !take(judged, tally) {
                return Err(JudgeFleetError::Stopped);
            }
        }
    }
}

/// Judges a page on as many threads as there are processors; verdicts are in the page's order.
fn judge_page(page: Vec<FleetMember>, bench: &Bench<'_>) -> Vec<Judged> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = page.len().div_ceil(threads).max(1);
    let verdicts: Vec<Option<Result<Attested, Fall>>> = std::thread::scope(|scope| {
        let judge_all = |members: &[FleetMember]| members.iter().map(|member| bench.judge(member)).collect();
        let workers: Vec<_> =
            page.chunks(share).map(|members| scope.spawn(move || -> Vec<_> { judge_all(members) })).collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(verdicts) => verdicts,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    let judged = page.into_iter().zip(verdicts);
    judged.filter_map(|(member, verdict)| Some(Judged { member, verdict: verdict? })).collect()
}

impl Bench<'_> {
    /// `None` when the certificate is left out.
    fn judge(&self, member: &FleetMember) -> Option<Result<Attested, Fall>> {
        (self.policy_of)(&member.contract).map(|policy| judge_stored(member, &policy, self.anchors))
    }
}

/// Judges what is stored of one certificate: request, evidence and answered challenge, exactly as when it was issued.
///
/// # Errors
/// [`Fall`], with the code that an enrolment would be refused by.
pub fn judge_stored(
    member: &FleetMember,
    policy: &DevicePolicy,
    anchors: &Anchors,
) -> Result<Attested, Fall> {
    let stored = &member.evidence;
    let evidence = Evidence::from_parts(&stored.format, &stored.parts).ok_or_else(|| Fall {
        code: "evidence-unknown-form".to_owned(),
        detail: "the stored evidence isn't of a form that this program knows".to_owned(),
    })?;
    let csr = csr::verify(&stored.csr, &member.user).map_err(|error| Fall::of(error.code(), &error))?;
    let claim = Claim {
        csr: &csr,
        device: &member.device,
        is_inventoried: vouches_for(&member.device, member.token.as_ref(), &member.contract),
        ak_name: member.ak_name.as_deref(),
        challenge: &stored.challenge,
        challenge_signature: &stored.challenge_signature,
    };
    let attested = attestation::verify(&evidence, &claim, anchors, policy.rules(), stored.judged_at)
        .map_err(|error| Fall::of(error.code(), &error))?;
    if attested.assurance < policy.lowest_assurance {
        let reason = Reason::Assurance { found: attested.assurance };
        return Err(Fall::of(reason.code(), &reason));
    }
    Ok(attested)
}

/// Why an enrolment like the one behind this certificate would be refused, whatever its evidence proves: by what bound the
/// user to the token, or by the token inventory of today.
pub fn rules_refuse(member: &FleetMember, rules: &PolicyRules) -> Option<Fall> {
    if !rules.binding.accept(member.binding) {
        return Some(Fall::of(BindingRefusal::NotAccepted.code(), &BindingRefusal::NotAccepted));
    }
    let fitness = admit(rules.inventory, member.token.as_ref(), &member.contract);
    fitness.err().map(|unfit| Fall::of(unfit.code(), &unfit))
}

impl Fall {
    fn of(code: &str, error: &dyn std::error::Error) -> Self {
        Self { code: code.to_owned(), detail: full_text(error) }
    }
}
