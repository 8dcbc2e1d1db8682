//! `[token]`, or several `[[token]]` with the same keys: module, PIN, and lanes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{check_name, folder_is_safe, raw};
use crate::{
    custody::Document,
    signer::pin::Supply,
    token::{ModuleAccess, PinKeys, PinKind, PinMistake, PinSource, TokenSelection},
    vendor::Profile,
};

/// What a single `[token]` is called unless it says otherwise.
const ONLY: &str = "token";

/// A token and how it is used.
#[derive(Clone, Debug)]
pub struct Token {
    /// What logs and metrics call it.
    pub name: String,
    /// The module.
    pub access: ModuleAccess,
    /// Which of its tokens.
    pub token: TokenSelection,
    /// Where its PIN comes from at each login.
    pub supply: Supply,
    /// The PIN latch's file.
    pub latch: PathBuf,
    /// Sessions that sign in parallel.
    pub lanes: Lanes,
    /// For loading the module and logging in.
    pub start_deadline: Duration,
    /// For one signature.
    pub sign_deadline: Duration,
}

/// A token's lanes, and for whom they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// All of them, each a session; at least 1.
    pub all: u16,
    /// How many OCSP never takes.
    pub for_issuing: u16,
    /// How many issuing never takes.
    pub for_ocsp: u16,
    /// Signatures for issuing, and as many for OCSP, that may wait for a lane; at least 1.
    pub queue: u16,
}

/// Where the latches of a configuration are, by the token's name.
pub(super) fn latches(raw: &raw::Tokens, folder: &Path, latch: &Path) -> Vec<(String, PathBuf)> {
    let latch = folder.join(latch);
    match raw {
        raw::Tokens::One(token) => vec![(token.name.clone().unwrap_or_else(|| ONLY.to_owned()), latch)],
        raw::Tokens::Several(tokens) => {
            let names = tokens.iter().filter_map(|token| token.name.clone());
            names.map(|name| (name.clone(), latch_of(&latch, &name))).collect()
        }
    }
}

/// Each of several tokens has a latch of its own: another's PIN is no reason to leave it.
fn latch_of(latch: &Path, name: &str) -> PathBuf {
    let mut file = latch.as_os_str().to_owned();
    file.push("-");
    file.push(name);
    file.into()
}

/// Reads them; what isn't usable is left out and told in `mistakes`.
pub(super) fn validate(
    raw: raw::Tokens,
    folder: &Path,
    latch: &Path,
    mistakes: &mut Vec<String>,
) -> Vec<Token> {
    match raw {
        raw::Tokens::One(token) => {
            let name = token.name.clone().unwrap_or_else(|| ONLY.to_owned());
            let place = Place { key: "token".to_owned(), folder, latch: latch.to_owned() };
            one(*token, name, &place, mistakes).into_iter().collect()
        }
        raw::Tokens::Several(tokens) => several(tokens, folder, latch, mistakes),
    }
}

fn several(tokens: Vec<raw::Token>, folder: &Path, latch: &Path, mistakes: &mut Vec<String>) -> Vec<Token> {
    if tokens.is_empty() {
        mistakes.push("token: there is none: add a [token] table".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut valid: Vec<Token> = Vec::new();
    for (number, token) in tokens.into_iter().enumerate() {
        let Some(name) = token.name.clone() else {
            mistakes.push(format!(
                "token {}: each [[token]] needs a name of its own, such as name = \"hsm-1\"",
                number + 1
            ));
            continue;
        };
        if !names.insert(name.clone()) {
            mistakes
                .push(format!("token.name = {name:?} is there twice: give each [[token]] a name of its own"));
        }
        let place = Place { key: format!("token {name:?}"), folder, latch: latch_of(latch, &name) };
        if let Some(token) = one(token, name, &place, mistakes) {
            if let Some(same) = valid.iter().find(|other| is_same(other, &token)) {
                mistakes.push(format!(
                    "{} and token {:?} are the same token of the same module: two workers on one token are no second \
                     token; raise lanes instead",
                    place.key, same.name
                ));
            }
            if let Some(same) = valid.iter().find(|other| of_one_set(other, &token)) {
                mistakes.push(format!(
                    "{}: pin_custody: it is the custody set of token {:?} as well: a set keeps one token's PIN; make one \
                     for each with `inro-hsm custody create`",
                    place.key, same.name
                ));
            }
            valid.push(token);
        }
    }
    valid
}

/// Whether custodians would give both tokens one PIN. Copies of a set are one set: a share is given to the first.
fn of_one_set(one: &Token, other: &Token) -> bool {
    let set =
        |token: &Token| Document::read(token.supply.vault()?.folder()).ok().map(|document| document.set);
    set(one).is_some_and(|one| set(other) == Some(one))
}

/// Whether they are the same as far as files tell. What only the token can tell, such as that a label and a serial number
/// are one token's, is found out before its second login.
fn is_same(one: &Token, other: &Token) -> bool {
    let of = |token: &Token| {
        let module = &token.access.module;
        let module = module.canonicalize().unwrap_or_else(|_| module.clone());
        (module, token.access.environment.clone(), token.token.to_string())
    };
    of(one) == of(other)
}

/// Where a token's table stands, and what it is given.
struct Place<'a> {
    key: String,
    folder: &'a Path,
    latch: PathBuf,
}

fn one(raw: raw::Token, name: String, place: &Place<'_>, mistakes: &mut Vec<String>) -> Option<Token> {
    let key = &place.key;
    check_name(&format!("{key}: name"), &name, mistakes);
    let mut access = ModuleAccess::new(raw.module, raw.environment);
    match Profile::choose(raw.vendor.as_deref(), &access.module) {
        Ok(vendor) => access.vendor = vendor,
        Err(error) => mistakes.push(format!("{key}: vendor: {error}")),
    }
    mistakes
        .extend(access.mistakes().into_iter().map(|(problem, remedy)| format!("{key}: {problem}: {remedy}")));
    let keys = PinKeys {
        pin_file: raw.pin_file,
        pin_credential: raw.pin_credential,
        pin_custody: raw.pin_custody,
        pin: raw.pin,
    };
    let token = match (raw.label, raw.serial) {
        (Some(label), None) => Some(TokenSelection::Label(label)),
        (None, Some(serial)) => Some(TokenSelection::Serial(serial)),
        _ => {
            mistakes.push(format!("{key}: give either label or serial, to name exactly one token"));
            None
        }
    };
    let supply = supply(key, keys, token.as_ref(), place.folder, mistakes);
    let lanes = lanes(key, raw.lanes, (raw.issuing_lanes, raw.ocsp_lanes), raw.queue, mistakes);
    if !(1..=10).contains(&raw.sign_seconds) {
        mistakes.push(format!(
            "{key}: sign_seconds = {}: give 1 to 10; what takes longer counts as hanging",
            raw.sign_seconds
        ));
    }
    if raw.start_seconds == 0 {
        mistakes.push(format!("{key}: start_seconds = 0: give at least 1"));
    }
    Some(Token {
        name,
        access,
        token: token?,
        supply: supply?,
        latch: place.latch.clone(),
        lanes,
        start_deadline: Duration::from_secs(raw.start_seconds),
        sign_deadline: Duration::from_secs(raw.sign_seconds),
    })
}

/// Where the PIN comes from; what is wrong with that is told.
fn supply(
    key: &str,
    keys: PinKeys,
    token: Option<&TokenSelection>,
    folder: &Path,
    mistakes: &mut Vec<String>,
) -> Option<Supply> {
    let told =
        |mistake: PinMistake| format!("{key}: {}: {}: {}", mistake.key, mistake.problem, mistake.remedy);
    let source = keys.source(folder).map_err(|mistake| mistakes.push(told(mistake))).ok()?;
    match &source {
        PinSource::File(path) => folder_is_safe(&format!("{key}: pin_file"), path, mistakes),
        PinSource::Custody(set) => folder_is_safe(&format!("{key}: pin_custody"), set, mistakes),
        PinSource::Credential(_) | PinSource::ProtectedPath => {}
    }
    let mistake = match token {
        Some(token) => source.mistake_for(std::slice::from_ref(token), PinKind::User),
        None => source.mistake(),
    };
    mistakes.extend(mistake.map(told));
    Some(Supply::new(source))
}

/// One lane is kept for each use, unless there is but one.
fn lanes(
    key: &str,
    all: u16,
    kept: (Option<u16>, Option<u16>),
    queue: u16,
    mistakes: &mut Vec<String>,
) -> Lanes {
    let usually = u16::from(all > 1);
    let (for_issuing, for_ocsp) = (kept.0.unwrap_or(usually), kept.1.unwrap_or(usually));
    for (what, value) in [("lanes", all), ("queue", queue)] {
        if value == 0 {
            mistakes.push(format!("{key}: {what} = 0: give at least 1"));
        }
    }
    if for_issuing.saturating_add(for_ocsp) > all {
        mistakes.push(format!(
            "{key}: issuing_lanes = {for_issuing} and ocsp_lanes = {for_ocsp} are more than lanes = {all}: keep fewer, \
             or have more lanes"
        ));
    }
    Lanes { all, for_issuing, for_ocsp, queue }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_kept_for_each_use_unless_there_is_but_one() {
        let of = |all, issuing, ocsp| {
            let mut mistakes = Vec::new();
            let lanes = lanes("token", all, (issuing, ocsp), 1, &mut mistakes);
            ((lanes.for_issuing, lanes.for_ocsp), mistakes.len())
        };
        assert_eq!(of(4, None, None), ((1, 1), 0));
        assert_eq!(of(1, None, None), ((0, 0), 0));
        assert_eq!(of(8, Some(4), Some(0)), ((4, 0), 0));
        assert_eq!(of(2, Some(2), None), ((2, 1), 1));
        assert_eq!(of(0, None, None).1, 1);
    }

    #[test]
    fn latches_are_the_tokens_own() {
        let latch = Path::new("/var/lib/pin.latch");
        assert_eq!(latch_of(latch, "hsm-1"), Path::new("/var/lib/pin.latch-hsm-1"));
    }
}
