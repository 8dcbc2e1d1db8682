//! Failures at this computer's TPM.

use agent_tpm::{Health, TpmError};

use super::Explanation;
use crate::{
    certificate::printable,
    enrol::EnrolError,
    messages::{Lang, say},
};

/// Explains what the TPM said.
#[expect(clippy::too_many_lines, reason = "a table of sentences")]
pub(crate) fn explain_tpm(error: &TpmError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        TpmError::Unsupported(_) => (
            say!(
                lang,
                "The agent can't use the TPM of this system yet.",
                "このシステムのTPMには対応していません。"
            ),
            say!(
                lang,
                "Use a security key or a smart card.",
                "セキュリティキーまたはICカードを使ってください。"
            ),
        ),
        TpmError::Absent { .. } if cfg!(windows) => (
            say!(
                lang,
                "Windows knows of no TPM 2.0 in this computer.",
                "このパソコンにTPM 2.0が見つかりません。"
            ),
            say!(
                lang,
                "Switch the TPM on in the computer's firmware settings (“TPM”, “fTPM” or “PTT”), or use a security key.",
                "パソコンのファームウェア設定でTPM(fTPM、PTT)を有効にするか、セキュリティキーを使ってください。"
            ),
        ),
        TpmError::Absent { address, .. } => {
            let address = printable(address);
            (
                say!(lang, "No TPM 2.0 answers at {address}.", "{address} にTPM 2.0がありません。"),
                say!(
                    lang,
                    "Switch the TPM on in the computer's firmware settings (“TPM”, “fTPM” or “PTT”), or name another with --tpm.",
                    "パソコンのファームウェア設定でTPM(fTPM、PTT)を有効にするか、--tpm で指定してください。"
                ),
            )
        }
        TpmError::NotPermitted { .. } if cfg!(windows) => (
            say!(
                lang,
                "Windows does not permit you to use the TPM for this.",
                "WindowsがTPMのこの操作を許可していません。"
            ),
            say!(
                lang,
                "Start the program as administrator, or have the administrator do it.",
                "管理者として実行するか、管理者に依頼してください。"
            ),
        ),
        TpmError::NotPermitted { address, .. } => {
            let address = printable(address);
            (
                say!(
                    lang,
                    "You are not permitted to use the TPM ({address}).",
                    "TPM({address})を使う権限がありません。"
                ),
                say!(
                    lang,
                    "Have the administrator add you to the group “tss” (sudo usermod -aG tss YOUR-NAME), and log in anew.",
                    "管理者に tss グループへの追加を依頼し(sudo usermod -aG tss ユーザ名)、ログインし直してください。"
                ),
            )
        }
        TpmError::Busy { .. } | TpmError::MemoryTaken => (
            say!(lang, "Other programs occupy the TPM.", "他のプログラムがTPMを使用中です。"),
            say!(
                lang,
                "Wait a moment and run the same command again. Use the device /dev/tpmrm0, which takes turns.",
                "しばらく待って、同じコマンドを実行してください。デバイスには /dev/tpmrm0 を指定してください。"
            ),
        ),
        TpmError::PinWrong { tries_left } => (
            say!(
                lang,
                "The PIN of the key in the TPM is wrong. Tries left: {tries_left}.",
                "TPMの鍵のPINが正しくありません(残り{tries_left}回)。"
            ),
            say!(
                lang,
                "Try again with the right PIN; after the last try the TPM makes you wait.",
                "正しいPINでやり直してください。残り回数がなくなると、しばらく使えなくなります。"
            ),
        ),
        TpmError::Locked { seconds } => {
            let minutes = seconds.div_ceil(60);
            (
                say!(
                    lang,
                    "There were too many wrong PINs: the TPM has locked itself for now.",
                    "PINの誤りが続いたため、TPMが一時的にロックされています。"
                ),
                say!(
                    lang,
                    "Leave the computer on; a try comes back every {minutes} minutes. The administrator can release it at once (tpm2_dictionarylockout --clear-lockout). Nothing is lost.",
                    "電源を入れたままお待ちください({minutes}分ごとに1回分回復します)。管理者はすぐに解除できます(tpm2_dictionarylockout --clear-lockout)。鍵は失われていません。"
                ),
            )
        }
        TpmError::HierarchyLocked(_) => (
            say!(
                lang,
                "An administrator has locked the TPM's management with a password.",
                "TPMの管理がパスワードで保護されています。"
            ),
            say!(
                lang,
                "Ask the administrator of this computer; the agent needs the owner and endorsement hierarchies without passwords.",
                "パソコンの管理者に確認してください(所有者・承認の各階層にパスワードがない状態で使えます)。"
            ),
        ),
        TpmError::NoRoom | TpmError::NoPlace => (
            say!(lang, "The TPM has no room for another key.", "TPMに鍵を追加する空きがありません。"),
            say!(
                lang,
                "Erase a key that is no longer needed (inro-agent list, inro-agent erase --token tpm --key N).",
                "不要な鍵を消去してください(inro-agent list、inro-agent erase --token tpm --key 番号)。"
            ),
        ),
        TpmError::KeyGone(_) => explained_lost(Health::Removed, lang),
        TpmError::OtherCredential => (
            say!(
                lang,
                "The bank's challenge was not made for this TPM.",
                "銀行からの確認情報が、このTPMのものではありません。"
            ),
            say!(
                lang,
                "Begin anew with --start-over; if that doesn't help, ask the bank.",
                "--start-over で最初からやり直してください。解決しない場合は銀行にお問い合わせください。"
            ),
        ),
        TpmError::PlaceTaken(_)
        | TpmError::ForeignObject(_)
        | TpmError::NotCapable(_)
        | TpmError::Malformed(_)
        | TpmError::Failed { .. } => (
            say!(lang, "The TPM failed: {error}.", "TPMでエラーが発生しました({error})。"),
            say!(
                lang,
                "Restart the computer and run the same command again; if that doesn't help, use a security key.",
                "パソコンを再起動して、同じコマンドを実行してください。解決しない場合はセキュリティキーを使ってください。"
            ),
        ),
    };
    Explanation { what, next }
}

/// Explains why a key isn't there.
pub(crate) fn explain_lost(health: Health, lang: Lang) -> Explanation {
    let (what, next) = explained_lost(health, lang);
    Explanation { what, next }
}

fn explained_lost(health: Health, lang: Lang) -> (String, String) {
    let anew = say!(
        lang,
        "The key is lost for ever: have its certificate revoked and obtain a new one. “inro-agent erase --token tpm” clears up.",
        "鍵は復元できません。証明書を失効してから、取得し直してください(後始末: inro-agent erase --token tpm)。"
    );
    match health {
        Health::Good => (say!(lang, "The key is there.", "鍵はあります。"), String::new()),
        Health::Cleared => (
            say!(
                lang,
                "This computer's TPM was cleared (firmware settings, a new system, or a reset), and every key in it with it.",
                "このパソコンのTPMが初期化(クリア)されたため、中の鍵がすべて失われました。"
            ),
            anew,
        ),
        Health::Removed => (
            say!(
                lang,
                "The key is no longer in the TPM: another program removed it.",
                "TPMに鍵がありません。他のプログラムによって削除されました。"
            ),
            anew,
        ),
        Health::OtherTpm => (
            say!(
                lang,
                "This is another TPM than the one the key was made in (another computer or mainboard).",
                "鍵を生成したTPMとは別のTPMです(パソコンまたは基板の交換)。"
            ),
            say!(
                lang,
                "Use the computer that the certificate was obtained on, or have it revoked and obtain a new one here.",
                "取得したときのパソコンを使うか、証明書を失効してから、このパソコンで取得し直してください。"
            ),
        ),
    }
}

pub(super) fn explain_key(error: &EnrolError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        EnrolError::TpmKeyLost(health) => return explain_lost(*health, lang),
        EnrolError::WhichTpmKey { places } => {
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            let places = places.join(", ");
            (
                say!(lang, "The TPM has several keys: {places}.", "TPMに複数の鍵があります: {places}"),
                say!(lang, "Choose one with --key.", "--key 番号 で1つを指定してください。"),
            )
        }
        EnrolError::KeptTpmKey | EnrolError::KeptToken => (
            say!(lang, "Nothing was erased.", "消去していません。"),
            say!(
                lang,
                "Run it again with --yes to erase.",
                "消去する場合は --yes を付けて実行してください。"
            ),
        ),
        EnrolError::NotKept | EnrolError::Shelf(_) => (
            say!(
                lang,
                "The certificate's file could not be written or read: {error}.",
                "証明書のファイルを読み書きできません({error})。"
            ),
            say!(
                lang,
                "Check the folder and the disk's space, and run the same command again.",
                "フォルダと空き容量を確認して、同じコマンドを実行してください。"
            ),
        ),
        _ => (
            say!(lang, "The TPM has no such key.", "TPMに該当する鍵がありません。"),
            say!(
                lang,
                "“inro-agent list --token tpm” shows what there is.",
                "inro-agent list --token tpm で確認してください。"
            ),
        ),
    };
    Explanation { what, next }
}
