//! `inro-agent enroll`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

use jiff::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    args::{EnrollArgs, PinArgs},
    exit::CliError,
    output::Output,
    person::TerminalPerson,
};
use crate::{
    certificate::{CertificateDetails, table, to_pem},
    config::Config,
    enrol::{Order, Outcome, Place, Records, World, enrol},
    messages::{Lang, say},
    paths,
    secret::SecretSource,
    server::https::{Connection, HttpsApi},
    token::{ManagementKey, all::Tokens},
};

pub(super) fn run(args: EnrollArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    if let Some(path) = args.out.as_ref().filter(|path| path.exists()) {
        return Err(CliError::Exists(path.clone()));
    }
    let api = connect(&args, config)?;
    let state = args.state_dir.clone().or_else(|| config.state_dir.clone()).or_else(paths::state_directory);
    let records = Records::new(&state.ok_or(CliError::NoStateDirectory)?);
    let mut person = TerminalPerson {
        lang: output.lang,
        password: args.login.password(),
        acquisition_code: args.login.acquisition_code(),
        ask_acquisition_code: args.login.ask_acquisition_code,
        pin: args.pin.pin(),
        new_pin: args.new_pin.new_pin(),
        agreed: args.overwrite,
    };
    let order = Order {
        user_id: args.user,
        token: args.token,
        slot: args.slot,
        algorithm: args.algorithm,
        management_key: management_key(&args.pin)?,
        start_over: args.start_over,
    };
    let mut world = World {
        driver: &Tokens::connected(),
        api: &api,
        person: &mut person,
        records: &records,
        now: Timestamp::now,
    };
    let outcome = enrol(&mut world, &order).map_err(CliError::Flow)?;
    report(&outcome, args.out.as_deref(), output)
}

fn connect(args: &EnrollArgs, config: &Config) -> Result<HttpsApi, CliError> {
    let options = &args.connection;
    let server = args.server.as_deref().or(config.server.as_deref()).ok_or(CliError::NoServer)?;
    let ca_file = options.ca_file.as_ref().or(config.ca_file.as_ref());
    let authorities = ca_file.map(|path| {
        let read = fs::read(path).map_err(|source| CliError::Unreadable { path: path.clone(), source });
        read.map(|pem| (path.display().to_string(), pem))
    });
    let authorities = authorities.transpose()?;
    let user = options.proxy_user.as_deref().or(config.proxy_user.as_deref());
    let file = options.proxy_password_file.as_ref().or(config.proxy_password_file.as_ref());
    let password = file.map(|file| SecretSource::File(file.clone()).read()).transpose()?;
    Ok(HttpsApi::new(&Connection {
        server,
        authorities: authorities.as_ref().map(|(path, pem)| (path.as_str(), pem.as_slice())),
        proxy: options.proxy.as_deref().or(config.proxy.as_deref()),
        proxy_credentials: user.zip(password.as_ref()),
    })?)
}

/// The management key of `--management-key-file`.
pub(super) fn management_key(args: &PinArgs) -> Result<Option<ManagementKey>, CliError> {
    let Some(source) = args.management_key() else {
        return Ok(None);
    };
    let digits = source.read()?;
    let octets = hex::decode(digits.expose()).ok().map(Zeroizing::new);
    octets.and_then(ManagementKey::new).map(Some).ok_or(CliError::ManagementKey)
}

fn report(outcome: &Outcome, out: Option<&Path>, output: &mut Output) -> Result<(), CliError> {
    let details = CertificateDetails::read(&outcome.certificate).ok();
    let pem = to_pem(&outcome.certificate).unwrap_or_default();
    let chain: Vec<String> = outcome.issuers.iter().filter_map(|issuer| to_pem(issuer).ok()).collect();
    let mut json = json!({
        "resumed": outcome.resumed,
        "certificate": details,
        "pem": pem,
        "chain": chain,
    });
    match &outcome.place {
        Place::Card { token, slot } => {
            json["token"] = json!(token.serial);
            json["kind"] = json!(token.kind.as_str());
            json["firmware"] = json!(token.firmware.map(|firmware| firmware.to_string()));
            json["slot"] = json!(slot.to_string());
        }
    }
    let table_in = |lang| details.as_ref().map(|details| table(details, lang)).unwrap_or_default();
    output.result(&json, |lang| format!("{}{}", done(outcome, lang), table_in(lang)))?;
    match out {
        Some(path) => save(path, &format!("{}\n{pem}", table_in(output.lang))),
        None => Ok(()),
    }
}

fn done(outcome: &Outcome, lang: Lang) -> String {
    match &outcome.place {
        Place::Card { token, slot } => {
            let serial = &token.serial;
            say!(
                lang,
                "The certificate is on token {serial}, slot {slot}, and confirmed. Close all browser windows once before the first login.\n",
                "証明書の取得が完了しました(トークン{serial}、スロット{slot})。初回ログインの前に、ブラウザをすべて閉じてください。\n"
            )
        }
    }
}

fn save(path: &Path, text: &str) -> Result<(), CliError> {
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| CliError::NotSaved { path: path.to_owned(), source })
}
