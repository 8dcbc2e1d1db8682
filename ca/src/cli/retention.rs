//! `inro-ca retention …`: how long personal data is kept, what is due, and erasing it now.

use ca_core::app::erase::{Erased, Standing};
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::CliError,
    operator,
    output::{Output, table},
};
use crate::{config::Config, wiring};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say for each kind of personal data how long it is kept, and how much of it is due.
    Status,
    /// Erase what is due now. The server does the same every six hours.
    Run {
        /// Say what would be erased, and erase nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Serialize)]
struct KindView {
    kind: &'static str,
    /// Days that it is kept.
    days: i64,
    /// What began before this is due.
    before: Timestamp,
    /// Records that are due.
    due: u64,
    /// Records that were erased by this command.
    erased: u64,
}

impl KindView {
    fn of(standing: &Standing, erased: u64) -> Self {
        Self {
            kind: standing.kind.as_str(),
            days: standing.period.as_hours() / 24,
            before: standing.before,
            due: standing.due,
            erased,
        }
    }
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::retention_desk(config).await.map_err(CliError::configuration)?;
    let looked = desk.look().await?;
    let for_real = matches!(command, Command::Run { dry_run: false });
    let erased = if for_real {
        output.progress("erasing what is due");
        desk.run(&operator()).await
    } else {
        Erased::default()
    };
    let count = |standing: &Standing| {
        erased.records.iter().find(|(kind, _)| *kind == standing.kind).map_or(0, |(_, records)| *records)
    };
    let views: Vec<KindView> = looked.iter().map(|of| KindView::of(of, count(of))).collect();
    output.result(&views, |out| table(out, &rows(&views, for_real)))?;
    erased.failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn rows(views: &[KindView], for_real: bool) -> Vec<Vec<String>> {
    let mut head = vec!["KIND", "KEPT FOR", "DUE BEFORE", "DUE"];
    head.extend(for_real.then_some("ERASED"));
    let mut rows = vec![head.into_iter().map(String::from).collect::<Vec<_>>()];
    rows.extend(views.iter().map(|view| {
        let mut row = vec![
            view.kind.to_owned(),
            format!("{} days", view.days),
            view.before.to_string(),
            view.due.to_string(),
        ];
        row.extend(for_real.then(|| view.erased.to_string()));
        row
    }));
    rows
}
