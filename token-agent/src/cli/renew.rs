//! `inro-agent renew`: erases what was superseded and whose grace is over, then renews what is open for it.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    args::RenewArgs,
    enroll::{management_key, outcome_json, save},
    exit::CliError,
    output::Output,
    person::TerminalPerson,
    tpm::{self, TPM},
};
use crate::{
    certificate::{CertificateDetails, local_time},
    config::Config,
    enrol::{Failure, Order, Outcome, Predecessor, Records, RenewalUnderWay, World},
    farewell::Farewells,
    messages::{Lang, candidate_state, candidate_title, fate, renewed, say, table},
    renew::{Candidate, Fate, Once, Readiness, Retirement, Spot, Terms, candidates, finish, renew},
    secret::terminal,
    server::EnrolmentApi,
    token::{ManagementKey, TokenError, all::Tokens, permitted::PermittedTokens},
};

pub(super) fn run(args: &RenewArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    args.key.check_out()?;
    let grace = grace(args.grace_hours, config)?;
    let api = args.service.connect(config, output.lang)?;
    let state = args.state.folder(config)?;
    let records = Records::new(&state);
    // What was erased without the network is told first: it may be what stands in the way.
    Farewells::new(&state).tell_by_the_way(&api);
    let driver = Tokens::connected(config.pkcs11_module.as_deref());
    let machine = tpm::machine_in_use(config, args.token.as_deref() == Some(TPM))?;
    let mut terminal = TerminalPerson {
        lang: output.lang,
        password: args.password.password(),
        acquisition_code: None,
        ask_acquisition_code: false,
        pin: args.pin.pin(),
        new_pin: args.new_pin.new_pin(),
        pin_length: config.pin_length(),
        agreed: args.key.overwrite,
    };
    let mut person = Once::new(&mut terminal);
    let management_key = management_key(&args.pin)?;
    let only = args.token.as_deref().filter(|token| *token != TPM);
    let finish_now = |person: &mut Once<'_>, management_key: Option<&ManagementKey>| {
        let terms = Terms { grace, come_home: !args.stay, only, management_key };
        let finished = finish(&driver, machine.as_ref(), person, &records, &terms, Timestamp::now());
        finished.map_err(|error| CliError::Flow(Failure { error, resumable: true }))
    };
    // What is erased first makes room.
    let mut retirements = finish_now(&mut person, management_key.as_ref())?;
    let now = Timestamp::now();
    let all = candidates(&driver, machine.as_ref(), &records, api.origin(), only, now)?;
    let Some(chosen) = choose(&all, args, output.lang)? else {
        let under_way = records.renewals_under_way(api.origin());
        if let Some(serial) = missing(&under_way, &all, args) {
            let error = TokenError::NotConnected { serial }.into();
            return Err(CliError::Flow(Failure { error, resumable: true }));
        }
        return report(None, &all, &retirements, output);
    };
    person.turn_to(chosen.spot.token_serial());
    let order = Order {
        user_id: chosen.user_id.clone(),
        token: Some(chosen.spot.token_serial().to_owned()),
        slot: args.key.slot,
        algorithm: args.key.algorithm,
        management_key,
        start_over: args.key.start_over,
        renews: Some(Predecessor::read(&chosen.certificate)?),
    };
    if matches!(chosen.spot, Spot::Tpm { .. }) {
        tpm::check_permitted(config)?;
    }
    // Listing and clearing away go on where the policy permits no new key.
    let permitted = PermittedTokens { driver: &driver, permitted: &config.permitted };
    let mut world =
        World { driver: &permitted, api: &api, person: &mut person, records: &records, now: Timestamp::now };
    let outcome = renew(&mut world, &order, &chosen.spot, machine.as_ref()).map_err(CliError::Flow)?;
    retirements.retain(|retirement| matches!(retirement.fate, Fate::Erased { .. }));
    retirements.extend(finish_now(&mut person, order.management_key.as_ref())?);
    report(Some((chosen, &outcome)), &all, &retirements, output)?;
    save(args.key.out.as_deref(), &outcome, output)
}

/// How long a superseded certificate stays on the token: what the policy fixes, the option, or the configuration.
fn grace(option: Option<u16>, config: &Config) -> Result<SignedDuration, CliError> {
    match option {
        Some(_) if config.fixed.grace_hours && option != config.grace_hours => {
            Err(CliError::Fixed("--grace-hours"))
        }
        Some(hours) => Ok(SignedDuration::from_hours(hours.into())),
        None => Ok(config.grace()),
    }
}

/// The certificate that is meant; `None` when none is due.
fn choose<'a>(all: &'a [Candidate], args: &RenewArgs, lang: Lang) -> Result<Option<&'a Candidate>, CliError> {
    let is_meant = |candidate: &&Candidate| {
        let user = args.user.as_ref().is_none_or(|user| *user == candidate.user_id);
        let token = match args.token.as_deref() {
            None => true,
            Some(TPM) => matches!(candidate.spot, Spot::Tpm { .. }),
            Some(serial) => serial == candidate.spot.token_serial(),
        };
        user && token
    };
    if let Some(serial) = &args.serial {
        let named = |candidate: &&Candidate| candidate.details.serial.eq_ignore_ascii_case(serial);
        let found = all.iter().filter(is_meant).find(named);
        let found = found.ok_or_else(|| CliError::NoSuchCertificate(serial.clone()))?;
        // Whether it is time is for the bank to say: its clock counts.
        return Ok((found.readiness != Readiness::Superseded).then_some(found));
    }
    let due: Vec<&Candidate> =
        all.iter().filter(is_meant).filter(|candidate| candidate.readiness.is_due()).collect();
    match due.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several if terminal::is_there() => pick(several, lang).map(Some),
        several => Err(several_renewable(several)),
    }
}

/// The token of a renewal that was begun and can't be finished because it isn't connected.
fn missing(under_way: &[RenewalUnderWay], all: &[Candidate], args: &RenewArgs) -> Option<String> {
    let is_meant = |renewal: &&RenewalUnderWay| {
        args.user.as_ref().is_none_or(|user| *user == renewal.user_id)
            && args.token.as_ref().is_none_or(|token| *token == renewal.token_serial)
            && all.iter().all(|candidate| candidate.spot.token_serial() != renewal.token_serial)
    };
    under_way.iter().find(is_meant).map(|renewal| renewal.token_serial.clone())
}

fn several_renewable(several: &[&Candidate]) -> CliError {
    CliError::SeveralRenewable(several.iter().map(|candidate| candidate.details.serial.clone()).collect())
}

/// Asks which one.
fn pick<'a>(several: &[&'a Candidate], lang: Lang) -> Result<&'a Candidate, CliError> {
    let mut prompt = say!(lang, "Which certificate?\n", "更新する証明書を選択してください。\n");
    for (number, candidate) in (1..).zip(several) {
        let until = local_time(candidate.details.not_after);
        let _ = writeln!(prompt, "  {number}. {} ({until})", candidate_title(candidate, lang));
    }
    prompt.push_str(&say!(lang, "Number: ", "番号: "));
    let answer = terminal::ask(&prompt).ok().and_then(|answer| answer.trim().parse::<usize>().ok());
    let chosen = answer.and_then(|number| several.get(number.checked_sub(1)?).copied());
    chosen.ok_or_else(|| several_renewable(several))
}

fn report(
    renewal: Option<(&Candidate, &Outcome)>,
    all: &[Candidate],
    retirements: &[Retirement],
    output: &mut Output,
) -> Result<(), CliError> {
    let json = json!({
        "renewed": renewal.map(|(old, outcome)| renewed_json(old, outcome)),
        "certificates": all.iter().map(candidate_json).collect::<Vec<_>>(),
        "superseded": retirements.iter().map(retirement_json).collect::<Vec<_>>(),
    });
    output.result(&json, |lang| {
        let mut text = match renewal {
            Some((_, outcome)) => {
                let details = CertificateDetails::read(&outcome.certificate);
                let details = details.map(|details| table(&details, lang)).unwrap_or_default();
                renewed(outcome, lang) + &details
            }
            None => nothing(all, lang),
        };
        text.extend(retirements.iter().map(|retirement| fate(retirement, lang)));
        text
    })
}

fn nothing(all: &[Candidate], lang: Lang) -> String {
    let mut text = if all.is_empty() {
        say!(
            lang,
            "No user's certificate on the connected tokens.\n",
            "接続中のトークンに、利用者の証明書はありません。\n"
        )
    } else {
        say!(lang, "Nothing is to be renewed now.\n", "現在、更新が必要な証明書はありません。\n")
    };
    for candidate in all {
        let (title, state) = (candidate_title(candidate, lang), candidate_state(candidate, lang));
        let _ = writeln!(text, "  {title}: {state}");
    }
    text
}

fn renewed_json(old: &Candidate, outcome: &Outcome) -> Value {
    let mut json = outcome_json(outcome);
    json["supersedes"] = json!(old.details.serial);
    if let Some(retired) = &outcome.retired {
        json["superseded_at"] = json!(retired.confirmed_at);
    }
    json
}

fn candidate_json(candidate: &Candidate) -> Value {
    let mut json = json!({
        "token": candidate.spot.token_serial(),
        "user": candidate.user_id,
        "serial": candidate.details.serial,
        "not_after": candidate.details.not_after,
    });
    let place = match &candidate.spot {
        Spot::Card { .. } => "slot",
        Spot::Tpm { .. } => "key",
    };
    json[place] = json!(candidate.spot.label());
    json["renewal"] = json!(match candidate.readiness {
        Readiness::UnderWay => "under-way",
        Readiness::Open => "open",
        Readiness::NotYet { .. } => "not-yet",
        Readiness::Expired => "expired",
        Readiness::Superseded => "superseded",
        Readiness::Succeeded => "succeeded",
    });
    if let Readiness::NotYet { opens } = candidate.readiness {
        json["renewal_opens"] = json!(opens);
    }
    json
}

fn retirement_json(retirement: &Retirement) -> Value {
    let retired = &retirement.retired;
    let mut json = json!({
        "token": retired.token_serial,
        "user": retired.user_id,
        "serial": retired.old.serial,
        "place": retired.old.place,
        "successor": {"serial": retired.new.serial, "place": retired.new.place},
    });
    match &retirement.fate {
        Fate::Erased { successor } => {
            json["state"] = json!("erased");
            json["successor"]["place"] = json!(successor);
        }
        Fate::Waits { until } => {
            json["state"] = json!("waits");
            json["until"] = json!(until);
        }
        Fate::Away => json["state"] = json!("token-away"),
        Fate::Kept => json["state"] = json!("kept"),
    }
    json
}
