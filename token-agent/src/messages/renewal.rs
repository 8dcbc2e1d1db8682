//! Renewal: which certificates can be renewed, what was renewed, and what becomes of the old ones.

use super::{Lang, say};
use crate::{
    certificate::{local_time, printable},
    enrol::{Outcome, Place},
    renew::{Candidate, Fate, Readiness, Retirement, Spot},
};

/// A certificate, by its user and where it is.
pub(crate) fn candidate_title(candidate: &Candidate, lang: Lang) -> String {
    let name = candidate.details.name.as_deref().unwrap_or(&candidate.details.subject);
    let (name, user) = (printable(name), printable(&candidate.user_id));
    match &candidate.spot {
        Spot::Card { token, slot } => {
            let serial = printable(&token.serial);
            say!(
                lang,
                "{name} ({user}), token {serial}, slot {slot}",
                "{name} ({user})、トークン{serial}、スロット{slot}"
            )
        }
        Spot::Tpm { place, .. } => say!(
            lang,
            "{name} ({user}), key {place} of this computer's TPM",
            "{name} ({user})、このパソコンのTPMの鍵{place}"
        ),
    }
}

/// Whether a certificate can be renewed, or from when on.
pub(crate) fn candidate_state(candidate: &Candidate, lang: Lang) -> String {
    let until = local_time(candidate.details.not_after);
    match candidate.readiness {
        Readiness::UnderWay => say!(
            lang,
            "its renewal was begun and is to be finished; valid until {until}",
            "更新の途中です(有効期限 {until})"
        ),
        Readiness::Open => {
            say!(lang, "can be renewed; valid until {until}", "更新できます(有効期限 {until})")
        }
        Readiness::NotYet { opens } => {
            let opens = local_time(opens);
            say!(
                lang,
                "valid until {until}; can be renewed from {opens} on",
                "有効期限 {until}({opens} から更新できます)"
            )
        }
        Readiness::Expired => say!(
            lang,
            "expired {until}: it can't be renewed any more; have it revoked, then obtain a new one",
            "期限切れ({until})。更新できません。失効の手続きをしてから取得し直してください"
        ),
        Readiness::Superseded => {
            say!(lang, "was renewed; it is superseded", "更新済みです(古い証明書は使えません)")
        }
        Readiness::Succeeded => say!(
            lang,
            "a newer certificate of the same user is on the token",
            "同じ利用者の新しい証明書がトークンにあります"
        ),
    }
}

/// What the renewal came to.
pub(crate) fn renewed(outcome: &Outcome, lang: Lang) -> String {
    match &outcome.place {
        Place::Card { token, slot } => {
            let serial = printable(&token.serial);
            say!(
                lang,
                "The renewed certificate is on token {serial}, slot {slot}, and confirmed. The old one is superseded: choose the new one when the browser asks. Close all browser windows once before the next login.\n",
                "証明書の更新が完了しました(トークン{serial}、スロット{slot})。古い証明書は使えなくなりました。ブラウザの選択画面では新しい証明書を選んでください。次回ログインの前に、ブラウザをすべて閉じてください。\n"
            )
        }
        Place::Tpm { place, .. } => say!(
            lang,
            "The renewed certificate is for key {place} of this computer's TPM, and confirmed. The old one is superseded. Close all browser windows once before the next login.\n",
            "証明書の更新が完了しました(このパソコンのTPM、鍵{place})。古い証明書は使えなくなりました。次回ログインの前に、ブラウザをすべて閉じてください。\n"
        ),
    }
}

/// What became of a superseded certificate.
pub(crate) fn fate(retirement: &Retirement, lang: Lang) -> String {
    let retired = &retirement.retired;
    let (number, token) = (printable(&retired.old.serial), printable(&retired.token_serial));
    let place = printable(&retired.old.place);
    match &retirement.fate {
        Fate::Erased { successor } => {
            let successor = printable(successor);
            say!(
                lang,
                "The superseded certificate {number} and its key are erased from token {token}; the new one is in {successor}.\n",
                "更新前の証明書 {number} と鍵を、トークン{token}から消去しました(新しい証明書の場所: {successor})。\n"
            )
        }
        Fate::Waits { until } => {
            let until = local_time(*until);
            say!(
                lang,
                "The superseded certificate {number} stays in {place} of token {token} until {until}; the first run after that erases it.\n",
                "更新前の証明書 {number}(トークン{token}、{place})は {until} まで残ります。その後の実行時に消去します。\n"
            )
        }
        Fate::Away => say!(
            lang,
            "The superseded certificate {number} is to be erased from token {token}, which is not connected.\n",
            "更新前の証明書 {number} は、トークン{token}が接続されていないため、まだ消去していません。\n"
        ),
        Fate::Kept => say!(
            lang,
            "The superseded certificate {number} stays in {place} of token {token}: its successor is no longer there. Erase it if it isn't needed.\n",
            "更新前の証明書 {number}(トークン{token}、{place})は、新しい証明書がトークンにないため残しました。不要な場合は消去してください。\n"
        ),
    }
}
