//! Failures at the token.

use super::Explanation;
use crate::{
    certificate::printable,
    messages::{Lang, say},
    token::TokenError,
};

/// Explains a failure at the token.
#[expect(clippy::too_many_lines, reason = "a table of sentences")]
pub(crate) fn explain_token(error: &TokenError, lang: Lang) -> Explanation {
    let again = || {
        say!(
            lang,
            "Connect the token again and run the same command; if that doesn't help, use another token.",
            "トークンを接続し直して、同じコマンドを実行してください。解決しない場合は、別のトークンを使ってください。"
        )
    };
    let (what, next) = match error {
        TokenError::NoService(_) => (
            say!(
                lang,
                "The smart-card service of this computer doesn't answer.",
                "このパソコンのスマートカードサービスが応答しません。"
            ),
            say!(
                lang,
                "Start it (Linux: pcscd; Windows: the service “Smart Card”) and run the same command again.",
                "サービスを開始して(Linux: pcscd、Windows: Smart Card サービス)、同じコマンドを実行してください。"
            ),
        ),
        TokenError::NoToken => (
            say!(lang, "No token is connected.", "トークンが接続されていません。"),
            say!(
                lang,
                "Connect it and run the same command again.",
                "トークンを接続して、同じコマンドを実行してください。"
            ),
        ),
        TokenError::NotConnected { serial } => {
            let serial = printable(serial);
            (
                say!(lang, "Token {serial} is not connected.", "トークン {serial} が接続されていません。"),
                say!(
                    lang,
                    "Connect that very token and run the same command again; “inro-agent tokens” shows what is connected.",
                    "そのトークンを接続して、同じコマンドを実行してください。接続中のトークンは inro-agent tokens で確認できます。"
                ),
            )
        }
        TokenError::NotPermitted { kind } => (
            say!(
                lang,
                "Your administrator doesn't permit this kind of token ({kind}) for certificates.",
                "この種類のトークン({kind})は、管理者の設定により使用できません。"
            ),
            say!(
                lang,
                "Use the token that your company hands out, or ask the administrator.",
                "会社から配布されたトークンを使うか、社内の管理者に確認してください。"
            ),
        ),
        TokenError::Several { serials } => {
            let serials = printable(&serials.join(", "));
            (
                say!(
                    lang,
                    "Several tokens are connected: {serials}.",
                    "複数のトークンが接続されています: {serials}"
                ),
                say!(
                    lang,
                    "Choose one with --token SERIAL.",
                    "--token シリアル番号 で1つを指定してください。"
                ),
            )
        }
        TokenError::Busy => (
            say!(lang, "Another program is using the token.", "別のプログラムがトークンを使用中です。"),
            say!(
                lang,
                "Close it (browser, GnuPG, other card software) and run the same command again.",
                "ブラウザやGnuPGなどを終了して、同じコマンドを実行してください。"
            ),
        ),
        TokenError::Removed | TokenError::Reset => (
            say!(
                lang,
                "The token was removed, or another program reset it.",
                "トークンが抜かれたか、別のプログラムによってリセットされました。"
            ),
            say!(
                lang,
                "Connect the same token again, close other programs that use it, and run the same command.",
                "同じトークンを接続し、トークンを使う他のプログラムを終了して、同じコマンドを実行してください。"
            ),
        ),
        TokenError::PinWrong { tries_left } => (
            say!(
                lang,
                "The PIN is wrong. Tries left: {tries_left}.",
                "PINが正しくありません(残り{tries_left}回)。"
            ),
            say!(
                lang,
                "Try again with the right PIN; after the last try the token is blocked.",
                "正しいPINでやり直してください。残り回数がなくなるとロックされます。"
            ),
        ),
        TokenError::PinBlocked => (
            say!(lang, "The token's PIN is blocked.", "トークンのPINがロックされています。"),
            say!(
                lang,
                "Ask for it to be unblocked (inro-agent unblock, or “Unblock PIN” in the window). Where your company set the PUK itself, use that one (ykman piv access unblock-pin).",
                "ロック解除を申請してください(inro-agent unblock、または画面の「PINロック解除」)。会社でPUKを設定している場合は、それを使って解除できます(ykman piv access unblock-pin)。"
            ),
        ),
        TokenError::PinRefused => (
            say!(lang, "The token doesn't accept this new PIN.", "トークンがこの新しいPINを受け付けません。"),
            say!(
                lang,
                "Choose another: longer, up to 8 characters, and not a simple pattern.",
                "より長く(8文字まで)、単純でない別のPINにしてください。"
            ),
        ),
        TokenError::ManagementKeyUnknown => (
            say!(
                lang,
                "This token's management key was changed and isn't kept on the token.",
                "このトークンの管理キーは変更されており、トークン内に保存されていません。"
            ),
            say!(
                lang,
                "Give it with --management-key-file, or ask who prepared the token. Resetting the token helps too, but destroys its keys.",
                "--management-key-file で管理キーを指定するか、トークンを準備した担当者に確認してください。初期化も可能ですが、中の鍵は失われます。"
            ),
        ),
        TokenError::PrintedObjectTaken => (
            say!(
                lang,
                "The place for the management key on this token holds something else.",
                "管理キーを保存する領域が、別の用途に使われています。"
            ),
            say!(
                lang,
                "Use another token, or reset this one; that destroys its keys.",
                "別のトークンを使うか、このトークンを初期化してください(中の鍵は失われます)。"
            ),
        ),
        TokenError::TooLarge { slot, octets } => (
            say!(
                lang,
                "The certificate ({octets} octets) doesn't fit into slot {slot}.",
                "証明書({octets}バイト)がスロット{slot}に入りません。"
            ),
            say!(lang, "Tell the bank.", "銀行にご連絡ください。"),
        ),
        TokenError::ModuleUnusable { path, source } => {
            let (path, reason) = (printable(&path.display().to_string()), printable(&source.to_string()));
            (
                say!(
                    lang,
                    "The PKCS#11 module {path} can't be used: {reason}.",
                    "PKCS#11モジュール {path} を使えません({reason})。"
                ),
                say!(
                    lang,
                    "Check --pkcs11-module, or pkcs11_module in agent.toml, and that the vendor's software is installed.",
                    "--pkcs11-module(または agent.toml の pkcs11_module)と、メーカーのソフトウェアが導入済みかを確認してください。"
                ),
            )
        }
        TokenError::KeyNotKept => (
            say!(
                lang,
                "The token made a key that could leave it; that key was destroyed.",
                "トークンが、外部に取り出せる鍵を生成したため、その鍵を破棄しました。"
            ),
            say!(
                lang,
                "Use another token, or ask its vendor for a setting that keeps keys inside.",
                "別のトークンを使うか、鍵を取り出せない設定についてメーカーに確認してください。"
            ),
        ),
        TokenError::Unsupported(_)
        | TokenError::Malformed(_)
        | TokenError::Module { .. }
        | TokenError::Failed { .. }
        | TokenError::Status { .. } => {
            (say!(lang, "The token failed: {error}.", "トークンでエラーが発生しました({error})。"), again())
        }
    };
    Explanation { what, next }
}
