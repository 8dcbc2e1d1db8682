//! The makers' CRLs as the authority would take them up now.

use ca_core::{app::trust::TrustDesk, domain::attestation::Anchors};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::{
        exit::{CliError, Exit},
        output::{Output, table},
    },
    config::Config,
    material::{self, trust::crls},
};

#[derive(Serialize)]
struct CrlView {
    file: String,
    issuer: Option<String>,
    this_update: Option<Timestamp>,
    next_update: Option<Timestamp>,
    revoked: Option<usize>,
    /// `counts`, `due` (and counts) or `refused`.
    state: &'static str,
    why: Option<String>,
}

pub(super) async fn run(desk: &TrustDesk, config: &Config, output: Output) -> Result<(), CliError> {
    let haul = crls::all(&config.trust).map_err(CliError::configuration)?;
    let anchors = match desk.read.newest().await? {
        Some(newest) => newest.in_use()?.anchors,
        None if config.trust.has_files() => {
            let files = material::anchors(config).map_err(CliError::configuration)?;
            Anchors::new(&files).map_err(|error| CliError::configuration(error.into()))?
        }
        None => Anchors::none(),
    };
    let read: Vec<_> = haul.found.iter().map(|found| found.crl.clone()).collect();
    let (_, refused) = anchors.with_crls(&read);
    let now = desk.clock.now();
    let mut views: Vec<CrlView> = haul
        .found
        .iter()
        .enumerate()
        .map(|(number, found)| {
            let why = refused.iter().find(|(refused, _)| *refused == number).map(|(_, why)| why.to_string());
            let state = match &why {
                Some(_) => "refused",
                None if found.crl.is_due(now) => "due",
                None => "counts",
            };
            CrlView {
                file: found.file.clone(),
                issuer: Some(found.crl.issuer_name()),
                this_update: found.crl.this_update(),
                next_update: found.crl.next_update(),
                revoked: Some(found.crl.count()),
                state,
                why,
            }
        })
        .collect();
    views.extend(haul.faults.into_iter().map(|fault| CrlView {
        file: fault.from,
        issuer: None,
        this_update: None,
        next_update: None,
        revoked: None,
        state: "refused",
        why: Some(fault.problem),
    }));
    tell(config, &views, output)?;
    let troubled = views.iter().filter(|view| view.state != "counts").count();
    if troubled == 0 {
        return Ok(());
    }
    Err(CliError::new(Exit::CheckFailed, anyhow::anyhow!("{troubled} of the makers' CRLs want a look")))
}

fn tell(config: &Config, views: &[CrlView], output: Output) -> Result<(), CliError> {
    output.result(&views, |out| {
        if config.trust.maker_crls.is_none() {
            return writeln!(out, "trust.maker_crls names no folder: what makers revoke isn't looked at.");
        }
        let mut rows =
            vec![["STATE", "FILE", "ISSUER", "ISSUED", "NEXT", "REVOKES", "WHY"].map(String::from).to_vec()];
        let day = |at: Option<Timestamp>| {
            at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
        };
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        rows.extend(views.iter().map(|view| {
            vec![
                view.state.to_owned(),
                view.file.clone(),
                or_none(view.issuer.clone()),
                day(view.this_update),
                day(view.next_update),
                or_none(view.revoked.map(|count| count.to_string())),
                or_none(view.why.clone()),
            ]
        }));
        table(out, &rows)
    })
}
