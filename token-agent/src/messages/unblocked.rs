//! What unblocking came to.

use super::{Lang, say};
use crate::unblock::Unblocked;

/// The PIN is a new one.
pub(crate) fn unblocked(unblocked: &Unblocked, lang: Lang) -> String {
    let serial = &unblocked.token.serial;
    let mut text = say!(
        lang,
        "Token {serial} has its new PIN and works as before.\n",
        "トークン{serial}のPINロックを解除し、新しいPINを設定しました。\n"
    );
    if !unblocked.puk_replaced {
        text.push_str(&say!(
            lang,
            "The connection to the bank broke off before the unblocking code was replaced. Nothing is lost; the next unblocking replaces it.\n",
            "銀行との通信が途切れたため、解除用コードの更新を確認できませんでした。そのままご利用いただけます(次回の解除時に更新されます)。\n"
        ));
    }
    text
}
