//! What was done, in a sentence or two.

use super::{Lang, say};
use crate::{
    certificate::{CertificateDetails, printable},
    erase::Erased,
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
    if let Some(certificate) = &what.certificate {
        text.push_str(&still_to_revoke(certificate, lang));
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
