//! The stages of what is going on, as the window lists them.

use crate::{enrol::Step, messages::Lang};

/// A stage. Several steps belong to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Version,
    Login,
    Token,
    Request,
    Write,
    Confirm,
}

impl Stage {
    /// The stages of obtaining a certificate, in their order.
    pub(crate) const OBTAIN: [Self; 6] =
        [Self::Version, Self::Login, Self::Token, Self::Request, Self::Write, Self::Confirm];

    /// The stage that begins or goes on with this step; `None` for what may be said at any time.
    pub(crate) fn of(step: &Step) -> Option<Self> {
        match step {
            Step::CheckingVersion => Some(Self::Version),
            Step::Authenticating => Some(Self::Login),
            Step::Requesting => Some(Self::Request),
            Step::Writing { .. } | Step::KeepingCertificate => Some(Self::Write),
            Step::Confirming => Some(Self::Confirm),
            Step::NewerAgent { .. } | Step::ClockDiffers { .. } | Step::Resuming | Step::BeginningAnew => {
                None
            }
            _ => Some(Self::Token),
        }
    }

    /// In words; in this computer's TPM some are others.
    pub(crate) fn text(self, in_tpm: bool, lang: Lang) -> &'static str {
        let (english, japanese) = match self {
            Self::Token if in_tpm => ("Making the key in the TPM", "TPMでの鍵の生成"),
            Self::Write if in_tpm => ("Keeping it on this computer", "このパソコンへの保存"),
            Self::Version => ("Checking the version", "バージョンの確認"),
            Self::Login => ("Authenticating", "認証"),
            Self::Token => ("Making the key on the token", "トークンの準備と鍵の生成"),
            Self::Request => ("Requesting the certificate", "証明書の発行"),
            Self::Write => ("Writing it to the token", "トークンへの書き込み"),
            Self::Confirm => ("Confirming to the bank", "銀行への完了通知"),
        };
        match lang {
            Lang::En => english,
            Lang::Ja => japanese,
        }
    }
}
