//! How commands fail: the exit status, and the words.

use std::{io, path::PathBuf, process::ExitCode};

use agent_tpm::BadAddress;
use ca_core::domain::attestation::CrlRefusal;

#[cfg(target_os = "linux")]
use crate::{browser::BrowserError, messages::explain_browser};
use crate::{
    certificate::printable,
    config::ConfigError,
    enrol::{EnrolError, Failure},
    messages::{Explanation, Lang, explain, say},
    route::RouteError,
    secret::SecretError,
    server::ServerError,
    token::TokenError,
    unblock::UnblockError,
};

/// The exit status; `inro-agent --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    Done = 0,
    Machine = 1,
    Usage = 2,
    Token = 3,
    Pin = 4,
    Refused = 5,
    Network = 6,
    Interrupted = 7,
    NotAgreed = 8,
    Unwell = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Config(ConfigError),
    #[error(transparent)]
    TpmAddress(BadAddress),
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Browser(BrowserError),
    #[error("the administrator's policy fixes {0}")]
    Fixed(&'static str),
    #[error("{0} things were found wrong")]
    Unwell(usize),
    #[error("no slot is named")]
    NoSlot,
    #[error("no certificate {0} on the connected tokens")]
    NoSuchCertificate(String),
    #[error("several certificates can be renewed: {}", .0.join(", "))]
    SeveralRenewable(Vec<String>),
    #[error("no server is named")]
    NoServer,
    #[error("no folder for the record of the enrolment")]
    NoStateDirectory,
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    #[error("{} can't be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the management key is not right")]
    ManagementKey,
    #[error("the certificate is on the token, but could not be saved to {}", path.display())]
    NotSaved {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} can't be written", path.display())]
    NotWritten {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[cfg(feature = "window")]
    #[error("the window can't be opened: {0}")]
    Window(String),
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} is no CRL that can be used", path.display())]
    NoCrl {
        path: PathBuf,
        #[source]
        source: CrlRefusal,
    },
    #[error("no maker that is trusted here vouches for the key")]
    NotProven,
    #[error("{0} things in the file don't fit")]
    EvidenceWrong(usize),
    #[error("the result could not be written")]
    Output(#[source] io::Error),
    #[error("{}", .0.error)]
    Flow(Failure),
}

impl<E: Into<EnrolError>> From<E> for CliError {
    fn from(error: E) -> Self {
        Self::Flow(Failure::from(error))
    }
}

impl From<RouteError> for CliError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::NoServer => Self::NoServer,
            RouteError::Fixed(option) => Self::Fixed(option),
            RouteError::Unreadable { path, source } => Self::Unreadable { path, source },
            RouteError::Secret(error) => Self::Flow(Failure::from(error)),
            RouteError::Server(error) => Self::Flow(Failure::from(error)),
        }
    }
}

impl CliError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::TpmAddress(_)
            | Self::Fixed(_)
            | Self::NoSlot
            | Self::NoSuchCertificate(_)
            | Self::SeveralRenewable(_)
            | Self::NoServer
            | Self::NoStateDirectory
            | Self::ManagementKey
            | Self::NoCertificate(_)
            | Self::NoCrl { .. }
            | Self::Exists(_) => Exit::Usage,
            Self::NotProven | Self::EvidenceWrong(_) => Exit::Refused,
            Self::Unwell(_) => Exit::Unwell,
            #[cfg(target_os = "linux")]
            Self::Browser(_) => Exit::Machine,
            Self::Unreadable { .. } | Self::NotSaved { .. } | Self::NotWritten { .. } | Self::Output(_) => {
                Exit::Machine
            }
            #[cfg(feature = "window")]
            Self::Window(_) => Exit::Machine,
            Self::Flow(failure) if failure.resumable && failure.error.is_interruption() => Exit::Interrupted,
            Self::Flow(failure) => exit_of(&failure.error),
        }
    }

    /// Whether the result on standard output says it already.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, Self::NotProven | Self::EvidenceWrong(_) | Self::Unwell(_))
    }

    pub(super) fn is_resumable(&self) -> bool {
        matches!(self, Self::Flow(failure) if failure.resumable)
    }

    #[expect(clippy::too_many_lines, reason = "a table of sentences")]
    pub(super) fn explain(&self, lang: Lang) -> Explanation {
        let (what, next) = match self {
            Self::Flow(failure) => return explain(&failure.error, lang),
            Self::Config(error) => {
                let error = printable(&error.to_string());
                (
                    say!(
                        lang,
                        "The configuration can't be used: {error}.",
                        "設定ファイルを使えません({error})。"
                    ),
                    say!(
                        lang,
                        "Mend the file, or name another with --config.",
                        "ファイルを修正するか、--config で別のファイルを指定してください。"
                    ),
                )
            }
            Self::TpmAddress(error) => {
                let error = printable(&error.to_string());
                (
                    say!(
                        lang,
                        "The TPM's address can't be used: {error}.",
                        "TPMの指定が正しくありません({error})。"
                    ),
                    say!(
                        lang,
                        "Leave TPM2TOOLS_TCTI unset, or give --tpm /dev/tpmrm0.",
                        "環境変数 TPM2TOOLS_TCTI を消すか、--tpm /dev/tpmrm0 を指定してください。"
                    ),
                )
            }
            #[cfg(target_os = "linux")]
            Self::Browser(error) => return explain_browser(error, lang),
            Self::Fixed(option) => (
                say!(
                    lang,
                    "Your administrator has decided what {option} says.",
                    "{option} は管理者が設定しているため、変更できません。"
                ),
                say!(
                    lang,
                    "Leave the option out. If it must be another value, ask the administrator.",
                    "このオプションを外して実行してください。変更が必要な場合は社内の管理者に依頼してください。"
                ),
            ),
            Self::Unwell(count) => (
                say!(lang, "{count} things are wrong.", "{count}件の問題があります。"),
                say!(
                    lang,
                    "Do what stands beside each; or give this page to the help desk.",
                    "各項目の対処方法に従うか、この結果をヘルプデスクに渡してください。"
                ),
            ),
            Self::NoSlot => (
                say!(lang, "No slot is named.", "スロットが指定されていません。"),
                say!(
                    lang,
                    "Give --slot; “inro-agent tokens” shows what each holds.",
                    "--slot で指定してください(内容は inro-agent tokens で確認できます)。"
                ),
            ),
            Self::NoSuchCertificate(serial) => {
                let serial = printable(serial);
                (
                    say!(
                        lang,
                        "There is no certificate {serial} on the connected tokens.",
                        "接続中のトークンに証明書 {serial} はありません。"
                    ),
                    say!(
                        lang,
                        "“inro-agent list” shows what is there.",
                        "inro-agent list で確認してください。"
                    ),
                )
            }
            Self::SeveralRenewable(serials) => {
                let serials = serials.join(", ");
                (
                    say!(
                        lang,
                        "Several certificates can be renewed: {serials}.",
                        "更新できる証明書が複数あります: {serials}"
                    ),
                    say!(
                        lang,
                        "Name one with --serial, --token or --user.",
                        "--serial、--token または --user で1つを指定してください。"
                    ),
                )
            }
            Self::NoServer => (
                say!(lang, "No server is named.", "接続先のサーバが指定されていません。"),
                say!(
                    lang,
                    "Give --server https://…, as in the bank's letter.",
                    "銀行から案内されたアドレスを --server https://… で指定してください。"
                ),
            ),
            Self::NoStateDirectory => (
                say!(
                    lang,
                    "There is no folder for the record of the enrolment.",
                    "手続きの記録を保存するフォルダがありません。"
                ),
                say!(lang, "Give one with --state-dir.", "--state-dir で指定してください。"),
            ),
            Self::Exists(path) => {
                let path = printable(&path.display().to_string());
                (
                    say!(lang, "{path} exists already.", "{path} は既に存在します。"),
                    say!(
                        lang,
                        "Give --out another name; nothing is overwritten.",
                        "--out で別の名前を指定してください(上書きはしません)。"
                    ),
                )
            }
            Self::Unreadable { path, .. } => {
                let path = printable(&path.display().to_string());
                (
                    say!(lang, "{path} can't be read.", "{path} を読み取れません。"),
                    say!(
                        lang,
                        "Check the name and who may read it.",
                        "ファイル名と読み取り権限を確認してください。"
                    ),
                )
            }
            Self::ManagementKey => (
                say!(
                    lang,
                    "The management key's file doesn't hold 32, 48 or 64 hexadecimal digits.",
                    "管理キーのファイルに、32・48・64桁の16進数がありません。"
                ),
                say!(lang, "Put the key there as it was set.", "設定した管理キーを記載してください。"),
            ),
            Self::NotSaved { path, .. } => {
                let path = printable(&path.display().to_string());
                (
                    say!(
                        lang,
                        "The certificate is on the token and confirmed, but {path} could not be written.",
                        "証明書の取得は完了しましたが、{path} に保存できませんでした。"
                    ),
                    say!(
                        lang,
                        "Use “inro-agent list --json” to get it from the token.",
                        "inro-agent list --json でトークンから読み出せます。"
                    ),
                )
            }
            Self::NotWritten { path, .. } => {
                let path = printable(&path.display().to_string());
                (
                    say!(lang, "{path} can't be written.", "{path} に書き込めません。"),
                    say!(lang, "Check who may write there.", "書き込み権限を確認してください。"),
                )
            }
            #[cfg(feature = "window")]
            Self::Window(reason) => (
                say!(lang, "The window can't be opened: {reason}.", "画面を表示できません({reason})。"),
                say!(
                    lang,
                    "It needs a desktop with OpenGL 2 and a font. The commands do the same without: inro-agent --help.",
                    "OpenGL 2以上のデスクトップ環境とフォントが必要です。コマンドでも同じ操作ができます(inro-agent --help)。"
                ),
            ),
            Self::NoCrl { path, source } => {
                let path = printable(&path.display().to_string());
                (
                    say!(
                        lang,
                        "{path} is no certificate revocation list that can be used: {source}.",
                        "{path} は証明書失効リスト(CRL)として使えません({source})。"
                    ),
                    say!(
                        lang,
                        "Name the maker's full CRL, in PEM or DER.",
                        "メーカーの完全なCRL(PEMまたはDER形式)を指定してください。"
                    ),
                )
            }
            Self::NoCertificate(path) => {
                let path = printable(&path.display().to_string());
                (
                    say!(
                        lang,
                        "{path} holds no certificate in PEM.",
                        "{path} にPEM形式の証明書がありません。"
                    ),
                    say!(
                        lang,
                        "Give the bank's root certificate, or its SHA-256.",
                        "銀行のルート証明書、またはそのSHA-256を指定してください。"
                    ),
                )
            }
            Self::NotProven => (
                say!(
                    lang,
                    "No maker that is trusted here vouches for the key.",
                    "信頼するメーカーによる鍵の証明がありません。"
                ),
                say!(
                    lang,
                    "Compare the root's SHA-256 with what the maker publishes, then give it with --anchor.",
                    "表示されたSHA-256をメーカーの公表値と照合し、--anchor で指定してください。"
                ),
            ),
            Self::EvidenceWrong(count) => (
                say!(
                    lang,
                    "The file is refused: {count} things don't fit.",
                    "ファイルは認められません(不一致{count}件)。"
                ),
                say!(
                    lang,
                    "Ask the bank for a new export, and tell it what was found.",
                    "検出内容を銀行に伝え、再出力を依頼してください。"
                ),
            ),
            Self::Output(_) => (
                say!(
                    lang,
                    "The result could not be written to standard output.",
                    "結果を標準出力に書き込めませんでした。"
                ),
                say!(lang, "Use “inro-agent list” to see it.", "inro-agent list で確認してください。"),
            ),
        };
        Explanation { what, next }
    }
}

fn exit_of(error: &EnrolError) -> Exit {
    match error {
        EnrolError::Token(error) if error.is_about_the_pin() => Exit::Pin,
        EnrolError::Tpm(error) if error.is_about_the_pin() => Exit::Pin,
        EnrolError::WeakPin(_) | EnrolError::Unblock(UnblockError::PukBlocked | UnblockError::PukUnknown) => {
            Exit::Pin
        }
        EnrolError::Unblock(UnblockError::Waiting { .. }) => Exit::Interrupted,
        EnrolError::Server(ServerError::Refused(_))
        | EnrolError::AgentTooOld { .. }
        | EnrolError::Unblock(UnblockError::Declined { .. }) => Exit::Refused,
        EnrolError::Server(
            ServerError::NotHttps(_) | ServerError::Authorities(_) | ServerError::Proxy(_),
        )
        | EnrolError::Token(TokenError::Several { .. } | TokenError::NotPermitted { .. })
        | EnrolError::SlotNotPermitted { .. }
        | EnrolError::AlgorithmNotPermitted { .. }
        | EnrolError::OtherSlotUnderWay(_)
        | EnrolError::WhichTpmKey { .. }
        | EnrolError::Unblock(UnblockError::NotBlocked { .. }) => Exit::Usage,
        EnrolError::Server(_)
        | EnrolError::VersionsMalformed
        | EnrolError::RulesMalformed(_)
        | EnrolError::Rejected(_) => Exit::Network,
        EnrolError::Occupied { .. }
        | EnrolError::KeptTpmKey
        | EnrolError::KeptToken
        | EnrolError::Secret(SecretError::Declined) => Exit::NotAgreed,
        EnrolError::Secret(_) | EnrolError::Record(_) | EnrolError::Shelf(_) | EnrolError::NotKept => {
            Exit::Machine
        }
        EnrolError::Token(_)
        | EnrolError::Tpm(_)
        | EnrolError::TpmKeyLost(_)
        | EnrolError::NoTpmKey
        | EnrolError::FirmwareTooOld(_)
        | EnrolError::NoAlgorithm { .. }
        | EnrolError::KeyGone(_)
        | EnrolError::PredecessorGone
        | EnrolError::PredecessorUnreadable
        | EnrolError::NoOtherSlot { .. }
        | EnrolError::NotAttested
        | EnrolError::SignatureWrong
        | EnrolError::Encoding(_)
        | EnrolError::ReadBack(_) => Exit::Token,
    }
}
