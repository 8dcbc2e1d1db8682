//! `inro-agent browser setup` and `doctor`.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{args::BrowserCommand, exit::CliError, output::Output, tpm::machine};
use crate::{
    browser::{Change, Finding, Outcome, examine_keys, examine_registrations, remove, set_up},
    config::Config,
    messages::{Lang, change, good, say, trouble},
};

pub(super) fn run(command: &BrowserCommand, config: &Config, output: &mut Output) -> Result<(), CliError> {
    match command {
        BrowserCommand::Setup { remove: true, .. } => report(&remove().map_err(CliError::Browser)?, output),
        BrowserCommand::Setup { module, .. } => {
            report(&set_up(module.clone()).map_err(CliError::Browser)?, output)
        }
        BrowserCommand::Doctor { module } => doctor(module.clone(), config, output),
    }
}

fn report(changes: &[Change], output: &mut Output) -> Result<(), CliError> {
    let json: Vec<Value> = changes
        .iter()
        .map(|change| {
            json!({
                "place": change.place,
                "module": change.module,
                "outcome": match change.outcome {
                    Outcome::Added => "added",
                    Outcome::Already => "already",
                    Outcome::Replaced => "replaced",
                    Outcome::Removed => "removed",
                    Outcome::Absent => "absent",
                },
            })
        })
        .collect();
    let touched = changes.iter().any(|change| !matches!(change.outcome, Outcome::Already | Outcome::Absent));
    output.result(&json!({"changes": json}), |lang| {
        let mut text: String = changes.iter().map(|each| change(each, lang)).collect();
        if touched {
            text.push_str(&say!(
                lang,
                "Close all browser windows once; then they see it.\n",
                "ブラウザをすべて閉じると反映されます。\n"
            ));
        }
        text
    })
}

/// Succeeds whatever it finds: scripts read the findings.
fn doctor(module: Option<PathBuf>, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let mut findings = examine_registrations(module).map_err(CliError::Browser)?;
    findings.extend(examine_keys(&machine(config)?, Timestamp::now())?);
    let healthy = findings.iter().all(|finding| matches!(finding, Finding::Good(_)));
    let lang = output.lang;
    let json: Vec<Value> = findings.iter().map(|finding| finding_json(finding, lang)).collect();
    output.result(&json!({"healthy": healthy, "findings": json}), |lang| {
        findings.iter().map(|finding| finding_text(finding, lang)).collect()
    })
}

fn finding_json(finding: &Finding, lang: Lang) -> Value {
    match finding {
        Finding::Good(what) => json!({"good": true, "what": good(what, lang)}),
        Finding::Bad(what) => {
            let explanation = trouble(what, lang);
            json!({"good": false, "what": explanation.what, "next": explanation.next})
        }
    }
}

fn finding_text(finding: &Finding, lang: Lang) -> String {
    match finding {
        Finding::Good(what) => format!("✓ {}\n", good(what, lang)),
        Finding::Bad(what) => {
            let explanation = trouble(what, lang);
            format!("✗ {}\n  {}\n", explanation.what, explanation.next)
        }
    }
}
