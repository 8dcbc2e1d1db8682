//! `inro-agent doctor`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{args::DoctorArgs, exit::CliError, output::Output, tpm};
use crate::{
    certificate::save_new,
    config::Config,
    doctor::{Fact, Grade, Patient, Report, examine},
    messages::{Lang, diagnosis, finding},
};

pub(super) fn run(args: &DoctorArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    if let Some(path) = args.out.as_ref().filter(|path| path.exists()) {
        return Err(CliError::Exists(path.clone()));
    }
    let lang = output.lang;
    let route = args.service.route_with_password(config, lang)?;
    let patient = Patient {
        route: &route,
        pkcs11_module: config.pkcs11_module.clone(),
        permitted: &config.permitted,
        machine: tpm::machine_in_use(config, false)?,
    };
    let report = examine(&patient, Timestamp::now(), |area| Output::progress(area.text(lang)));
    if let Some(path) = &args.out {
        let failed = |source| CliError::NotWritten { path: path.clone(), source };
        save_new(path, &diagnosis(&report, lang)).map_err(failed)?;
    }
    output.result(&to_json(&report, lang), |lang| diagnosis(&report, lang))?;
    match report.wrong() {
        0 => Ok(()),
        count => Err(CliError::Unwell(count)),
    }
}

fn to_json(report: &Report, lang: Lang) -> Value {
    json!({
        "healthy": report.wrong() == 0,
        "support_code": report.support_code(),
        "at": report.at.to_string(),
        "version": report.version,
        "system": report.system,
        "findings": report.facts.iter().map(|fact| fact_json(fact, lang)).collect::<Vec<_>>(),
    })
}

fn fact_json(fact: &Fact, lang: Lang) -> Value {
    let words = finding(fact, lang);
    let grade = match fact.grade() {
        Grade::Good => "good",
        Grade::Note => "note",
        Grade::Wrong => "wrong",
    };
    let mut json = json!({"code": fact.code(), "grade": grade, "what": words.what});
    if !words.next.is_empty() {
        json["next"] = words.next.into();
    }
    json
}
