//! `inro-agent erase`.

use jiff::Timestamp;
use serde_json::json;

use super::{
    args::EraseArgs, enroll::management_key, exit::CliError, output::Output, person::TerminalPerson,
};
use crate::{
    certificate::printable,
    erase::{Erased, erase},
    messages::{Lang, say},
    token::all::Tokens,
};

pub(super) fn run(args: &EraseArgs, output: &mut Output) -> Result<(), CliError> {
    let mut person = TerminalPerson {
        lang: output.lang,
        password: None,
        acquisition_code: None,
        ask_acquisition_code: false,
        pin: args.pin.pin(),
        new_pin: None,
        agreed: args.yes,
    };
    let key = management_key(&args.pin)?;
    let erased =
        erase(&Tokens::connected(), &mut person, &args.token, args.slot, key.as_ref(), Timestamp::now())?;
    let certificate = erased.what.as_ref().and_then(|what| what.certificate.as_ref());
    let json = json!({
        "token": erased.token.serial,
        "slot": erased.slot.to_string(),
        "erased": erased.what.is_some(),
        "certificate": certificate,
    });
    output.result(&json, |lang| words(&erased, lang))
}

fn words(erased: &Erased, lang: Lang) -> String {
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
        let number = printable(&certificate.serial);
        text.push_str(&say!(
            lang,
            "The bank doesn't know that: have certificate {number} revoked as well (by the master user; a master's own at the branch).\n",
            "銀行側の失効は別の手続きです。証明書 {number} の失効も行ってください(マスターユーザが操作。マスターユーザ本人の証明書は窓口)。\n"
        ));
    }
    text
}
