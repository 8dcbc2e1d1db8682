//! `inro-agent enroll`.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    args::{EnrollArgs, PinArgs},
    exit::CliError,
    output::Output,
    person::TerminalPerson,
    tpm::{self, TPM},
};
use crate::{
    certificate::{CertificateDetails, save_new, to_pem},
    config::Config,
    enrol::{Order, Outcome, Place, Records, World, enrol, enrol_in_tpm},
    farewell::Farewells,
    messages::{Lang, as_text, say, table},
    token::{ManagementKey, all::Tokens, permitted::PermittedTokens},
};

pub(super) fn run(args: EnrollArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    args.key.check_out()?;
    let api = args.service.connect(config, output.lang)?;
    let state = args.state.folder(config)?;
    let records = Records::new(&state);
    // What was erased without the network is told first: it may be what stands in the way.
    let farewells = Farewells::new(&state);
    farewells.tell_by_the_way(&api);
    let mut person = TerminalPerson {
        lang: output.lang,
        password: args.login.password(),
        acquisition_code: args.login.acquisition_code(),
        ask_acquisition_code: args.login.ask_acquisition_code,
        pin: args.pin.pin(),
        new_pin: args.new_pin.new_pin(),
        pin_length: config.pin_length(),
        agreed: args.key.overwrite,
    };
    let order = Order {
        user_id: args.user,
        token: args.token,
        slot: args.key.slot,
        algorithm: args.key.algorithm,
        management_key: management_key(&args.pin)?,
        start_over: args.key.start_over,
        renews: None,
    };
    let tokens = Tokens::connected(config.pkcs11_module.as_deref());
    let mut world = World {
        driver: &PermittedTokens { driver: &tokens, permitted: &config.permitted },
        api: &api,
        person: &mut person,
        records: &records,
        now: Timestamp::now,
    };
    let outcome = if order.token.as_deref() == Some(TPM) {
        tpm::check_permitted(config)?;
        enrol_in_tpm(&mut world, &order, &tpm::machine(config)?)
    } else {
        enrol(&mut world, &order)
    };
    let outcome = outcome.map_err(CliError::Flow)?;
    farewells.settle_by_new(&order.user_id);
    report(&outcome, output)?;
    save(args.key.out.as_deref(), &outcome, output)
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

fn report(outcome: &Outcome, output: &mut Output) -> Result<(), CliError> {
    let details = CertificateDetails::read(&outcome.certificate).ok();
    let table_in = |lang| details.as_ref().map(|details| table(details, lang)).unwrap_or_default();
    output.result(&outcome_json(outcome), |lang| format!("{}{}", done(outcome, lang), table_in(lang)))
}

/// The certificate that came of it, and where it is.
pub(super) fn outcome_json(outcome: &Outcome) -> Value {
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
        Place::Tpm { identity, place } => {
            json["token"] = json!(identity.serial);
            json["kind"] = json!(TPM);
            json["firmware"] = json!(identity.firmware);
            json["key"] = json!(place);
        }
    }
    json
}

/// Keeps the certificate's details and PEM where that was asked for.
pub(super) fn save(out: Option<&Path>, outcome: &Outcome, output: &Output) -> Result<(), CliError> {
    match out {
        Some(path) => save_new(path, &as_text(&outcome.certificate, output.lang))
            .map_err(|source| CliError::NotSaved { path: path.to_owned(), source }),
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
        Place::Tpm { place, .. } => say!(
            lang,
            "The certificate is for key {place} of this computer's TPM, and confirmed. Run “inro-agent browser setup” once, so that your browser finds it.\n",
            "証明書の取得が完了しました(このパソコンのTPM、鍵{place})。ブラウザで使うには inro-agent browser setup を一度実行してください。\n"
        ),
    }
}
