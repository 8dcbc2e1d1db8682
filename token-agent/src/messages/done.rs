//! What was done, in a sentence or two.

use super::{Lang, say};
use crate::{
    certificate::{CertificateDetails, printable},
    erase::{Emptied, Erased},
    farewell::Told,
};

/// What erasing came to.
pub(crate) fn erased(erased: &Erased, lang: Lang) -> String {
    let (serial, slot) = (&erased.token.serial, erased.slot);
    let Some(what) = &erased.what else {
        return say!(
            lang,
            "Slot {slot} of token {serial} was empty; nothing was changed.\n",
            "トークン{serial}のスロット{slot}は空です。変更していません。\n"
        );
    };
    let mut text = say!(
        lang,
        "Key and certificate of slot {slot} of token {serial} are erased.\n",
        "トークン{serial}のスロット{slot}の鍵と証明書を消去しました。\n"
    );
    if let Some(certificate) = what.certificate.as_ref().filter(|_| !what.signed) {
        text.push_str(&still_to_revoke(certificate, lang));
    }
    text
}

/// What resetting a whole token came to.
pub(crate) fn emptied(emptied: &Emptied, lang: Lang) -> String {
    let serial = &emptied.token.serial;
    let mut text = say!(
        lang,
        "Token {serial} is as it was in the factory.\n",
        "トークン{serial}を出荷時の状態に戻しました。\n"
    );
    for certificate in &emptied.certificates {
        text.push_str(&still_to_revoke(certificate, lang));
    }
    text
}

/// Whether the bank knows of what was erased, now or before.
pub(crate) fn told(told: Told, lang: Lang) -> String {
    let mut text = String::new();
    if told.told > 0 {
        text.push_str(&say!(
            lang,
            "The bank has been told and has revoked the certificate.\n",
            "銀行に通知し、証明書を失効しました。\n"
        ));
    }
    if told.left > 0 {
        text.push_str(&say!(
            lang,
            "The bank can't be reached now. It is told, and revokes the certificate, the next time that the agent reaches it.\n",
            "現在、銀行に接続できません。次回の接続時に通知し、証明書を失効します。\n"
        ));
    }
    text
}

/// What erasing leaves to be done.
pub(crate) fn still_to_revoke(certificate: &CertificateDetails, lang: Lang) -> String {
    let number = printable(&certificate.serial);
    say!(
        lang,
        "The bank doesn't know that: have certificate {number} revoked as well (by the master user; a master's own at the branch).\n",
        "銀行側の失効は別の手続きです。証明書 {number} の失効も行ってください(マスターユーザが操作。マスターユーザ本人の証明書は窓口)。\n"
    )
}
