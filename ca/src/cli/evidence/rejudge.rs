//! Judges the whole fleet's evidence again, says who falls out and why, and plans what follows when asked to.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use ca_core::{
    app::{
        judge_fleet::{Bench, JudgeFleetError, Judged, Scope, Tally},
        rejudge::Plan,
    },
    domain::{
        attestation::{Anchor, Anchors},
        ids::ContractNumber,
        policy::DevicePolicy,
        revocation::RevocationReason,
        trust::sha256,
    },
    ports::{policies::PolicyForm, rejudgements::Fallen},
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Rejudge,
    plan::{FallenView, rows},
};
use crate::{
    cli::{
        exit::{CliError, Exit},
        operator,
        output::{Output, table},
    },
    config::{Config, TomlPolicies},
    material::trust::crls,
    wiring::EvidenceDesk,
};

/// A line of progress at most so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Report {
    basis: String,
    judged: u64,
    fallen: Vec<FallenView>,
    /// How many fell out for each reason.
    reasons: Vec<(String, usize)>,
    seconds: f64,
    plan: Option<u64>,
    revoke_at: Option<Timestamp>,
}

/// The policy of each contract.
enum Policies {
    One(Arc<DevicePolicy>),
    Each(HashMap<ContractNumber, Arc<DevicePolicy>>),
}

impl Policies {
    fn of(&self, contract: &ContractNumber) -> Option<Arc<DevicePolicy>> {
        match self {
            Self::One(policy) => Some(policy.clone()),
            Self::Each(policies) => policies.get(contract).cloned(),
        }
    }
}

pub(super) async fn run(
    desk: &EvidenceDesk,
    config: &Config,
    asked: Rejudge,
    output: Output,
) -> Result<(), CliError> {
    let (policies, of_policy) = policies(desk, &asked).await?;
    let (anchors, of_trust) = anchors(desk, config, &asked).await?;
    let basis = format!("{of_policy}; {of_trust}");
    output.progress(&format!("judging by {basis} …"));
    let issuer = config.customer_issuer().id.clone();
    let scope = Scope { issuer: issuer.clone(), contract: asked.contract.clone() };
    let policy_of = |contract: &ContractNumber| policies.of(contract);
    let bench = Bench { anchors: &anchors, policy_of: &policy_of };
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut fallen: Vec<Fallen> = Vec::new();
    let mut take = |judged: Vec<Judged>, tally: Tally| {
        fallen.extend(judged.into_iter().filter_map(|judged| {
            let fall = judged.verdict.err()?;
            let member = judged.member;
            let (code, detail) = (fall.code, fall.detail);
            Some(Fallen { issuer: issuer.clone(), serial: member.serial, user: member.user, code, detail })
        }));
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let rate = f64_of(tally.judged) / began.elapsed().as_secs_f64();
            output.progress(&format!(
                "{} of {} judged, {} fall out, {rate:.0} a second …",
                tally.judged, tally.total, tally.fallen
            ));
        }
        true
    };
    let tally = desk.judge.run(&scope, &bench, &mut take).await?;
    let seconds = began.elapsed().as_secs_f64();
    let plan = match (asked.apply, asked.revoke_at, asked.reason) {
        (true, Some(revoke_at), Some(reason)) => {
            Some(plan(desk, &basis, tally.judged, (revoke_at, reason), &fallen).await?)
        }
        _ => None,
    };
    tell(
        &Report {
            reasons: reasons(&fallen),
            fallen: fallen.into_iter().map(view).collect(),
            judged: tally.judged,
            basis,
            seconds,
            revoke_at: asked.revoke_at.filter(|_| plan.is_some()),
            plan,
        },
        output,
    )
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn f64_of(number: u64) -> f64 {
    number as f64
}

async fn policies(desk: &EvidenceDesk, asked: &Rejudge) -> Result<(Policies, String), CliError> {
    if let Some(path) = &asked.policy {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--policy: can't read {}", path.display()))
            .map_err(CliError::configuration)?;
        let written = TomlPolicies.read(&text).map_err(|error| {
            CliError::new(Exit::Configuration, anyhow::anyhow!("--policy: {}: {error}", path.display()))
        })?;
        let basis = format!("the policy {} of a file", written.id);
        return Ok((Policies::One(Arc::new(written.rules.devices)), basis));
    }
    let mut each = HashMap::new();
    for contract in desk.contracts.contracts().await.map_err(ca_core::app::failure::Failure::from)? {
        let policy = desk.policies.of(&contract.number).await?;
        each.insert(contract.number, Arc::new(policy.rules.devices.clone()));
    }
    Ok((Policies::Each(each), "each contract's policy of today".to_owned()))
}

async fn anchors(
    desk: &EvidenceDesk,
    config: &Config,
    asked: &Rejudge,
) -> Result<(Anchors, String), CliError> {
    let (mut anchors, mut basis) = standing(desk, config, asked.trust).await?;
    for without in &asked.without {
        let before = anchors.len();
        anchors.retain(|anchor| sha256(&anchor.der) != *without);
        let what = hex::encode(without);
        if anchors.len() == before {
            return Err(CliError::not_found(format_args!(
                "--without: no standing anchor has the SHA-256 {what}"
            )));
        }
        basis = format!("{basis} without {what}");
    }
    let anchors = Anchors::new(&anchors).context("what is left of the anchors can't judge anything")?;
    let anchors = crls::applied(&config.trust, &anchors).map_err(CliError::configuration)?;
    if config.trust.maker_crls.is_some() {
        basis.push_str(", with the makers' CRLs of today");
    }
    Ok((anchors, basis))
}

/// The anchors in use, and what they are called.
pub(in crate::cli) async fn standing_anchors(
    desk: &EvidenceDesk,
    config: &Config,
) -> Result<(Vec<Anchor>, String), CliError> {
    standing(desk, config, None).await
}

async fn standing(
    desk: &EvidenceDesk,
    config: &Config,
    version: Option<u32>,
) -> Result<(Vec<Anchor>, String), CliError> {
    let verified = match version {
        Some(version) => Some(desk.trust.version(version).await?),
        None => desk.trust.newest().await?,
    };
    if let Some(verified) = verified {
        return Ok((verified.bundle.standing(), format!("trust version {}", verified.record.version)));
    }
    let files = crate::material::anchors(config).map_err(CliError::configuration)?;
    Ok((files, "the anchors of the configuration's files".to_owned()))
}

async fn plan(
    desk: &EvidenceDesk,
    basis: &str,
    judged: u64,
    (revoke_at, reason): (Timestamp, RevocationReason),
    fallen: &[Fallen],
) -> Result<u64, CliError> {
    let plan = Plan { basis: basis.to_owned(), judged, revoke_at, reason, fallen: fallen.to_vec() };
    Ok(desk.rejudge.plan(operator(), plan).await?)
}

fn reasons(fallen: &[Fallen]) -> Vec<(String, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for fallen in fallen {
        *counts.entry(&fallen.code).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().map(|(code, count)| (code.to_owned(), count)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts
}

fn view(fallen: Fallen) -> FallenView {
    FallenView {
        serial: fallen.serial.to_string(),
        user: fallen.user.to_string(),
        code: fallen.code,
        detail: fallen.detail,
    }
}

fn tell(report: &Report, output: Output) -> Result<(), CliError> {
    output.result(report, |out| {
        if !report.fallen.is_empty() {
            table(out, &rows(&report.fallen))?;
        }
        let (judged, fallen, seconds) = (report.judged, report.fallen.len(), report.seconds);
        writeln!(out, "{judged} certificates judged in {seconds:.1} s, {fallen} fall out.")?;
        report.reasons.iter().try_for_each(|(code, count)| writeln!(out, "  {count} {code}"))?;
        match (report.plan, report.revoke_at) {
            (Some(plan), Some(at)) => writeln!(
                out,
                "Plan {plan} revokes them at {at}. Call it off with: inro-ca evidence plan cancel {plan}"
            ),
            _ if fallen > 0 => writeln!(
                out,
                "Nothing was changed. To plan their revocation: --apply --revoke-at DATE --reason privilegeWithdrawn"
            ),
            _ => Ok(()),
        }
    })
}

impl From<JudgeFleetError> for CliError {
    fn from(error: JudgeFleetError) -> Self {
        match error {
            JudgeFleetError::Failure(failure) => failure.into(),
            error @ JudgeFleetError::Stopped => Self::new(Exit::Failed, error),
        }
    }
}
