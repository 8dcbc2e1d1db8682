//! What was done, in a sentence or two.

use super::{Lang, explain_server, say};
use crate::{
    certificate::{CertificateDetails, printable},
    erase::Gone,
    farewell::Telling,
    route::RouteError,
};

/// What erasing came to, what is left to be done by hand, and whether the bank knows.
pub(crate) fn erased(gone: &Gone, told: &Telling, lang: Lang) -> String {
    let mut text = match gone {
        Gone::Nothing if told.told + told.left + told.to_revoke.len() == 0 => {
            say!(lang, "The bank knows of everything.\n", "銀行に通知する内容はありません。\n")
        }
        Gone::Nothing => String::new(),
        Gone::Slot(erased) if erased.was_empty => {
            let (serial, slot) = (&erased.token.serial, erased.slot);
            say!(
                lang,
                "Slot {slot} of token {serial} was empty; nothing was changed.\n",
                "トークン{serial}のスロット{slot}は空です。変更していません。\n"
            )
        }
        Gone::Slot(erased) => {
            let (serial, slot) = (&erased.token.serial, erased.slot);
            say!(
                lang,
                "Key and certificate of slot {slot} of token {serial} are erased.\n",
                "トークン{serial}のスロット{slot}の鍵と証明書を消去しました。\n"
            )
        }
        Gone::Token(emptied) => {
            let serial = &emptied.token.serial;
            say!(
                lang,
                "Token {serial} is as it was in the factory.\n",
                "トークン{serial}を出荷時の状態に戻しました。\n"
            )
        }
        Gone::TpmKey(erased) => match erased.place {
            Some(place) => say!(
                lang,
                "Key {place} of this computer's TPM and its certificate are erased.\n",
                "このパソコンのTPMの鍵{place}と証明書を消去しました。\n"
            ),
            None => say!(
                lang,
                "The certificate of a key that the TPM no longer has is erased.\n",
                "TPMにない鍵の証明書を消去しました。\n"
            ),
        },
    };
    text.push_str(&self::told(told, lang));
    text.push_str(&to_revoke(&told.to_revoke, lang));
    text
}

/// Whether the bank knows of what was erased, now or before.
fn told(told: &Telling, lang: Lang) -> String {
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
            "The bank can't be told now. The note is kept; the agent tells it, and the bank revokes the certificate, the next time that it can be reached.\n",
            "現在、銀行に通知できません。通知の内容はこのパソコンに保存しました。次回の接続時に通知し、証明書を失効します。\n"
        ));
        let why = match &told.why {
            Some(RouteError::Server(error)) => explain_server(error, lang).what,
            Some(error) => printable(&error.to_string()),
            None => return text,
        };
        text.push_str(&say!(lang, "The reason: {why}\n", "理由: {why}\n"));
    }
    text
}

/// What erasing leaves to be done by hand, now or before.
fn to_revoke(certificates: &[CertificateDetails], lang: Lang) -> String {
    if certificates.is_empty() {
        return String::new();
    }
    let mut text = say!(
        lang,
        "These keys could not sign that they are gone, so the bank doesn't know. Have their certificates revoked as well (by the master user; a master's own at the branch):\n",
        "次の証明書は、鍵が消去を証明できないため、銀行に通知できません。失効も行ってください(マスターユーザが操作。マスターユーザ本人の証明書は窓口)。\n"
    );
    for certificate in certificates {
        let number = printable(&certificate.serial);
        let user = printable(certificate.user_id.as_deref().unwrap_or_default());
        text.push_str(&say!(lang, "  {user}: certificate {number}\n", "・{user} 証明書 {number}\n"));
    }
    text.push_str(&say!(
        lang,
        "The agent reminds of them until the bank has revoked them.\n",
        "失効を確認できるまで、このアプリでお知らせします。\n"
    ));
    text
}
