//! What a certificate was issued on.

use ca_core::domain::ids::SerialNumber;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::{
        exit::CliError,
        output::{Output, facts},
    },
    config::Config,
    wiring::EvidenceDesk,
};

#[derive(Serialize)]
struct View {
    serial: String,
    user: String,
    format: String,
    verdict: String,
    policy: String,
    trust_version: u32,
    judged_at: Timestamp,
    decoded: Vec<String>,
    record_sha256: String,
    parts: Vec<usize>,
}

pub(super) async fn run(
    desk: &EvidenceDesk,
    config: &Config,
    serial: &SerialNumber,
    output: Output,
) -> Result<(), CliError> {
    let issuer = &config.customer_issuer().id;
    let shown = desk.certificates.show(issuer, serial).await?;
    let shown = shown.ok_or_else(|| CliError::not_found(format_args!("there is no certificate {serial}")))?;
    let evidence = shown.evidence.ok_or_else(|| {
        CliError::not_found(format_args!("there is no evidence for the certificate {serial}: it is erased retention.evidence after the certificate's end"))
    })?;
    let view = View {
        serial: serial.to_string(),
        user: shown.record.user.to_string(),
        record_sha256: hex::encode(evidence.sha256()),
        parts: evidence.parts.iter().map(Vec::len).collect(),
        format: evidence.format,
        verdict: evidence.verdict,
        policy: evidence.policy.to_string(),
        trust_version: evidence.trust_version,
        judged_at: evidence.judged_at,
        decoded: evidence.decoded.lines().map(ToOwned::to_owned).collect(),
    };
    output.result(&view, |out| {
        let trust = match view.trust_version {
            0 => "the configuration's files".to_owned(),
            version => format!("version {version}"),
        };
        let parts: Vec<String> = view.parts.iter().map(ToString::to_string).collect();
        let mut lines = vec![
            ("serial", view.serial.clone()),
            ("user", view.user.clone()),
            ("evidence", format!("{}, {} octets", view.format, parts.join(" + "))),
            ("verdict", view.verdict.clone()),
            ("policy", view.policy.clone()),
            ("trust", trust),
            ("judged", view.judged_at.to_string()),
            ("record", view.record_sha256.clone()),
        ];
        lines.extend(view.decoded.iter().map(|line| ("", line.clone())));
        facts(out, &lines)
    })
}
