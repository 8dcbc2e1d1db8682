//! Labels in tables.

use super::Lang;
use crate::certificate::ValidityState;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Subject,
    UserId,
    Serial,
    Issuer,
    NotBefore,
    NotAfter,
    TokenSerial,
    Policies,
    Fingerprint,
    Reader,
    Firmware,
    Pin,
    Slot,
    State,
}

impl Label {
    pub(crate) fn text(self, lang: Lang) -> &'static str {
        let (english, japanese) = match self {
            Self::Subject => ("Subject", "所有者(サブジェクト)"),
            Self::UserId => ("User ID", "ログインID"),
            Self::Serial => ("Certificate serial", "証明書シリアル番号"),
            Self::Issuer => ("Issuer", "発行者"),
            Self::NotBefore => ("Valid from", "有効期間の開始"),
            Self::NotAfter => ("Valid until", "有効期限"),
            Self::TokenSerial => ("Token serial", "トークンのシリアル番号"),
            Self::Policies => ("Assurance (policy)", "保証レベル(ポリシー)"),
            Self::Fingerprint => ("SHA-256", "SHA-256 フィンガープリント"),
            Self::Reader => ("Reader", "リーダー"),
            Self::Firmware => ("Firmware", "ファームウェア"),
            Self::Pin => ("PIN", "PIN"),
            Self::Slot => ("Slot", "スロット"),
            Self::State => ("State", "状態"),
        };
        match lang {
            Lang::En => english,
            Lang::Ja => japanese,
        }
    }
}

impl ValidityState {
    /// The state with the days that are left.
    pub(crate) fn text(self, lang: Lang, days: i64) -> String {
        let ago = -days;
        match self {
            Self::NotYetValid => super::say!(lang, "not yet valid", "有効期間前"),
            Self::Valid => super::say!(lang, "valid, {days} days left", "有効(残り{days}日)"),
            Self::Expiring => {
                super::say!(
                    lang,
                    "valid, renew now: {days} days left",
                    "有効(残り{days}日・更新してください)"
                )
            }
            Self::Expired => super::say!(lang, "expired {ago} days ago", "期限切れ({ago}日前)"),
        }
    }
}
