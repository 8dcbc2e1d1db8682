//! What a policy would have refused: every living certificate is judged by it, and nothing is changed.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use ca_core::{
    app::judge_fleet::{Bench, Fall, JudgeFleetError, Judged, Scope, Tally, rules_refuse},
    domain::{
        attestation::Anchors,
        ids::ContractNumber,
        policy::{PolicyRules, WrittenPolicy},
    },
};
use serde::Serialize;

use crate::{
    cli::{
        evidence::standing_anchors,
        exit::CliError,
        output::{Output, table},
    },
    config::Config,
    material::trust::crls,
    wiring,
};

/// A line of progress at most so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct FallenView {
    serial: String,
    user: String,
    contract: String,
    token_kind: &'static str,
    token_serial: String,
    not_after: jiff::Timestamp,
    code: String,
    detail: String,
}

#[derive(Serialize)]
struct Report {
    policy: String,
    version: u32,
    trust: String,
    judged: u64,
    refused: Vec<FallenView>,
    /// How many for each reason.
    reasons: BTreeMap<String, u64>,
    seconds: f64,
}

pub(super) async fn run(
    config: &Config,
    written: &WrittenPolicy,
    contract: Option<ContractNumber>,
    output: Output,
) -> Result<(), CliError> {
    let desk = wiring::evidence_desk(config).await.map_err(CliError::configuration)?;
    let (anchors, trust) = standing_anchors(&desk, config).await?;
    let anchors = Anchors::new(&anchors).map_err(|error| CliError::configuration(error.into()))?;
    let anchors = crls::applied(&config.trust, &anchors).map_err(CliError::configuration)?;
    let devices = Arc::new(written.rules.devices.clone());
    let policy_of = |_: &ContractNumber| Some(devices.clone());
    let bench = Bench { anchors: &anchors, policy_of: &policy_of };
    let scope = Scope { issuer: config.customer_issuer().id.clone(), contract };
    let began = Instant::now();
    let (mut told, mut refused) = (began, Vec::new());
    let mut take = |page: Vec<Judged>, tally: Tally| {
        refused.extend(page.into_iter().filter_map(|judged| refusal(judged, &written.rules)));
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            output.progress(&format!(
                "{} of {} judged, {} would be refused …",
                tally.judged,
                tally.total,
                refused.len()
            ));
        }
        true
    };
    let tally = desk.judge.run(&scope, &bench, &mut take).await.map_err(|error| match error {
        JudgeFleetError::Failure(failure) => CliError::from(failure),
        stopped @ JudgeFleetError::Stopped => anyhow::Error::from(stopped).into(),
    })?;
    let mut reasons = BTreeMap::new();
    for fallen in &refused {
        *reasons.entry(fallen.code.clone()).or_default() += 1;
    }
    let (name, version) = (written.id.name.to_string(), written.id.version);
    let (judged, seconds) = (tally.judged, began.elapsed().as_secs_f64());
    let report = Report { policy: name, version, trust, judged, refused, reasons, seconds };
    output.result(&report, |out| print(out, &report))
}

/// What the policy would have said; `None` where the certificate stands.
fn refusal(judged: Judged, rules: &PolicyRules) -> Option<FallenView> {
    let Judged { member, verdict } = judged;
    let Fall { code, detail } = match verdict {
        Err(fall) => fall,
        Ok(_) => rules_refuse(&member, rules)?,
    };
    Some(FallenView {
        serial: member.serial.to_string(),
        user: member.user.to_string(),
        contract: member.contract.to_string(),
        token_kind: member.device.kind.as_str(),
        token_serial: member.device.serial.to_string(),
        not_after: member.not_after,
        code,
        detail,
    })
}

fn print(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    if !report.refused.is_empty() {
        let heading = ["SERIAL", "USER", "CONTRACT", "TOKEN", "REASON", ""];
        let mut rows = vec![heading.map(String::from).to_vec()];
        rows.extend(report.refused.iter().map(|view| {
            let (serial, user, contract) = (view.serial.clone(), view.user.clone(), view.contract.clone());
            vec![serial, user, contract, view.token_serial.clone(), view.code.clone(), view.detail.clone()]
        }));
        table(out, &rows)?;
        writeln!(out)?;
    }
    let (refused, judged) = (report.refused.len(), report.judged);
    writeln!(
        out,
        "{}/{} would have refused {refused} of {judged} certificates, by {}.",
        report.policy, report.version, report.trust
    )?;
    for (code, count) in &report.reasons {
        writeln!(out, "  {count} {code}")?;
    }
    writeln!(out, "Nothing was changed.")
}
