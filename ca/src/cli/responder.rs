//! `inro-ca responder …`: the certificates of the OCSP responders. A job renews them; this shows and hurries it.

use ca_core::{
    app::{
        failure::Failure,
        renew_responder::{RenewError, RenewResponder, When},
    },
    domain::{anchor::Halt, ids::IssuerId, ocsp::Responder},
};
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, table},
};
use crate::{
    config::Config,
    wiring::{self, Renewals},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the certificate that each responder answers with, and when it will be renewed.
    Status,
    /// Renew a responder's certificate now, whether it is due or not. Running nodes take it up within seconds.
    Renew {
        /// The issuer, where there are several.
        #[arg(long, value_parser = IssuerId::parse)]
        issuer: Option<IssuerId>,
    },
}

#[derive(Serialize)]
struct ResponderView {
    issuer: String,
    subject: String,
    serial: String,
    not_before: Timestamp,
    not_after: Timestamp,
    /// When the job renews it.
    renewal_at: Timestamp,
    /// Whether it was renewed since the ceremony; else it is the configured file's.
    renewed: bool,
}

impl ResponderView {
    fn of(renew: &RenewResponder, responder: &Responder, configured: &Responder) -> Self {
        Self {
            issuer: renew.issuer.id().to_string(),
            subject: responder.name().to_string(),
            serial: responder.serial().map(|serial| serial.to_string()).unwrap_or_default(),
            not_before: responder.not_before(),
            not_after: responder.not_after(),
            renewal_at: renew.policy.renewal_of(responder),
            renewed: responder != configured,
        }
    }
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let renewals = wiring::renewals(config).await.map_err(CliError::configuration)?;
    match command {
        Command::Status => status(&renewals, output).await,
        Command::Renew { issuer } => renew(&renewals, issuer, output).await,
    }
}

async fn status(renewals: &Renewals, output: Output) -> Result<(), CliError> {
    let (configured, in_use) = (renewals.responders.configured(), renewals.responders.in_use().await?);
    let all = renewals.renew.iter().zip(&in_use).zip(&configured);
    let views: Vec<ResponderView> =
        all.map(|((renew, in_use), configured)| ResponderView::of(renew, in_use, configured)).collect();
    output.result(&views, |out| {
        let heading = ["ISSUER", "SERIAL", "VALID UNTIL", "RENEWAL", "FROM"];
        let mut rows = vec![heading.map(String::from).to_vec()];
        rows.extend(views.iter().map(|view| {
            vec![
                view.issuer.clone(),
                view.serial.clone(),
                view.not_after.to_string(),
                view.renewal_at.to_string(),
                if view.renewed { "ledger" } else { "file" }.to_owned(),
            ]
        }));
        table(out, &rows)
    })
}

async fn renew(renewals: &Renewals, issuer: Option<IssuerId>, output: Output) -> Result<(), CliError> {
    let position = match &issuer {
        Some(issuer) => renewals.renew.iter().position(|renew| renew.issuer.id() == issuer),
        None if renewals.renew.len() == 1 => Some(0),
        None => {
            let why = anyhow::anyhow!("there are several issuers: say which one with --issuer");
            return Err(CliError::new(Exit::Failed, why));
        }
    };
    let position = position.ok_or_else(|| {
        let name = issuer.map(|issuer| issuer.to_string()).unwrap_or_default();
        CliError::not_found(format_args!("no issuer {name} is configured here"))
    })?;
    let (renew, reconcile) = (&renewals.renew[position], &renewals.reconcile[position]);
    output.progress("holding ledger and journal against each other …");
    if let Some(divergence) = reconcile.run().await?.divergence {
        return Err(Failure::Halted(Halt::Diverged(divergence)).into());
    }
    output.progress("renewing …");
    let configured = renewals.responders.configured().swap_remove(position);
    let renewed = renew.run(operator(), configured.clone(), When::Now).await?;
    let renewed = renewed.ok_or_else(|| anyhow::anyhow!("nothing was renewed"))?;
    let view = ResponderView::of(renew, &renewed, &configured);
    output.result(&view, |out| {
        writeln!(
            out,
            "the OCSP responder of {} has a new certificate, {}, valid until {}; running nodes take it up within seconds",
            view.issuer, view.serial, view.not_after
        )
    })
}

impl From<RenewError> for CliError {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Failure(failure) => failure.into(),
            RenewError::Draft(_)
            | RenewError::Lint(_)
            | RenewError::Signature(_)
            | RenewError::Responder(_)
            | RenewError::Ended => Self::new(Exit::Failed, error),
        }
    }
}
