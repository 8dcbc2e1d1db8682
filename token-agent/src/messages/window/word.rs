//! Titles, labels, buttons and hints.

use crate::messages::Lang;

/// A text of the window that never changes. Terms in the Japanese ones are those of the bank's manuals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Product,
    StartTitle,
    StartIntroduction,
    Obtain,
    ObtainHint,
    Renew,
    RenewHint,
    RenewIntroduction,
    NothingToRenew,
    RenewedTitle,
    RenewedBrowsers,
    ClearAway,
    ClearAwayHint,
    Certificates,
    CertificatesHint,
    ChangePin,
    ChangePinHint,
    Unblock,
    UnblockHint,
    UnblockIntroduction,
    UnblockAsk,
    UnblockWaiting,
    UnblockWaitingTitle,
    UnblockLater,
    ReminderTitle,
    ReminderHint,
    Erase,
    EraseHint,
    Connection,
    ConnectionHint,
    Diagnosis,
    DiagnosisHint,
    DiagnosisLooking,
    DiagnosisFailed,
    DiagnosisAgain,
    DiagnosisKeep,
    Quit,
    Back,
    Close,
    Cancel,
    Next,
    Save,
    Print,
    Copied,
    Again,
    Refresh,
    OtherLanguage,
    ObtainIntroduction,
    LoginId,
    LoginPassword,
    AcquisitionCode,
    AcquisitionCodeHint,
    HasAcquisitionCode,
    Authenticate,
    Server,
    ServerHint,
    ServerMissing,
    UseProxy,
    SystemProxy,
    FixedByPolicy,
    ProxyWarning,
    ProxyHost,
    ProxyPort,
    ProxyUser,
    ProxyPassword,
    ProxyPasswordTitle,
    PortWrong,
    Token,
    Tpm,
    TpmHint,
    TokenLooking,
    TokenNone,
    TokenChoose,
    ForeignCard,
    BusyCard,
    MuteCard,
    WorkingHint,
    WorkingHintTpm,
    StageDone,
    StagePresent,
    StageToCome,
    TouchTitle,
    TouchHint,
    NotNow,
    PinTitle,
    PinHint,
    PinTitleTpm,
    PinHintTpm,
    PinIfKnown,
    PinUnknown,
    Pin,
    NewPinTitle,
    NewPinHint,
    NewPin,
    NewPinAgain,
    Ok,
    OverwriteTitle,
    Overwrite,
    EraseTitle,
    EraseButton,
    EraseIntroduction,
    EraseNothing,
    WholeToken,
    WholeTokenHint,
    WholeTokenButton,
    TellNow,
    LookAtRevocation,
    RevocationAskedFor,
    Details,
    FewerDetails,
    NoTokens,
    NoCertificates,
    NoCertificate,
    Unreadable,
    DoneTitle,
    DoneTitleTpm,
    DoneBrowsers,
    #[cfg(target_os = "linux")]
    Browsers,
    #[cfg(target_os = "linux")]
    BrowsersHint,
    #[cfg(target_os = "linux")]
    BrowsersButton,
    #[cfg(target_os = "linux")]
    BrowsersDone,
    #[cfg(target_os = "linux")]
    BrowsersAlready,
    PinChanged,
    SaveTitle,
    SaveAs,
    FormatPage,
    FormatText,
    FailedTitle,
    Resumable,
    SupportCode,
    SupportHint,
    CopySupport,
    Noted,
    PageTitle,
    PrintHint,
}

impl Word {
    pub(crate) fn text(self, lang: Lang) -> &'static str {
        let (english, japanese) = self.both();
        match lang {
            Lang::En => english,
            Lang::Ja => japanese,
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table of words")]
    fn both(self) -> (&'static str, &'static str) {
        match self {
            Self::Product => ("Certificate agent", "証明書発行アプリ"),
            Self::StartTitle => ("Start menu", "スタートメニュー"),
            Self::StartIntroduction => (
                "The certificate's key is made on your token, or in this computer's TPM, and never leaves it.",
                "電子証明書の鍵は、トークンまたはこのパソコン(TPM)の中で作られ、外には出ません。",
            ),
            Self::Obtain => ("Obtain a certificate", "証明書発行"),
            Self::ObtainHint => (
                "With your login ID and login password, onto the token you were given.",
                "ログインIDとログインパスワードで、お手元のトークンに証明書を取得します。",
            ),
            Self::Renew => ("Renew a certificate", "証明書更新"),
            Self::RenewHint => (
                "From 40 days before it expires; the present one works until the new one is ready.",
                "有効期限の40日前から更新できます。新しい証明書の準備ができるまで、現在の証明書を使えます。",
            ),
            Self::RenewIntroduction => (
                "Choose the certificate to renew, then fill in the login password. The new key is made beside the present one on the same token.",
                "更新する証明書を選び、ログインパスワードを入力してください。同じトークンの中に新しい鍵を作ります。",
            ),
            Self::NothingToRenew => {
                ("There is nothing to renew at the moment.", "現在、更新できる証明書はありません。")
            }
            Self::RenewedTitle => ("The certificate is renewed", "証明書の更新が完了しました"),
            Self::RenewedBrowsers => (
                "Close all browser windows once before the next login, and choose the new certificate there. The old one can't be used any more; the agent erases it from the token some days later.",
                "次回ログインの前に、ブラウザの画面をすべて閉じ、新しい証明書を選択してください。古い証明書は使えません(数日後に、このアプリがトークンから消去します)。",
            ),
            Self::ClearAway => ("Clear away old certificates", "更新前の証明書の消去"),
            Self::ClearAwayHint => (
                "Certificates that were renewed are still on the token. They can't be used any more.",
                "更新前の証明書がトークンに残っています。もう使えないため、消去できます。",
            ),
            Self::Certificates => ("My certificates", "証明書の確認"),
            Self::CertificatesHint => (
                "What is on the connected tokens and in this computer, and until when it is valid.",
                "接続中のトークンやこのパソコン(TPM)にある証明書の内容と有効期限を表示します。",
            ),
            Self::Unblock => ("Unblock the PIN", "PINロック解除"),
            Self::UnblockHint => {
                ("After too many wrong PINs.", "PINを続けて間違え、ロックされたときに使います。")
            }
            Self::UnblockIntroduction => (
                "Your master user or the branch approves it. The certificate stays as it is.",
                "マスターユーザまたは窓口の承認後に、新しいPINを設定します。証明書はそのまま使えます。",
            ),
            Self::UnblockAsk => ("Ask for it", "ロック解除を申請"),
            Self::UnblockWaiting => (
                "You may close this window and come back later: the request stands.",
                "この画面を閉じて、あとで続けることもできます(申請は取り消されません)。",
            ),
            Self::UnblockWaitingTitle => ("Waiting for the approval", "承認を待っています"),
            Self::UnblockLater => ("Go on later", "あとで続ける"),
            Self::ReminderTitle => ("The token is still plugged in", "トークンが接続されたままです"),
            Self::ReminderHint => (
                "Take it out and keep it with you when you leave this computer.",
                "席を離れるときは、トークンを抜いて保管してください。",
            ),
            Self::ChangePin => ("Change the PIN", "PINの変更"),
            Self::ChangePinHint => (
                "Of a connected token, or of a key in this computer.",
                "接続中のトークン、またはこのパソコン(TPM)の鍵のPINを変更します。",
            ),
            Self::Erase => ("Erase a certificate", "証明書の消去"),
            Self::EraseHint => (
                "Before a token or this computer is handed on or thrown away.",
                "トークンやパソコンを譲渡・廃棄する前に、証明書と鍵を消去します。",
            ),
            Self::Connection => ("Connection", "接続設定(プロキシ)"),
            Self::ConnectionHint => {
                ("The bank's address, and your company's proxy.", "接続先と、社内プロキシサーバの設定です。")
            }
            Self::Diagnosis => ("Diagnosis", "診断"),
            Self::DiagnosisHint => (
                "Find out what is in the way, from the reader to the bank's server.",
                "リーダーから銀行のサーバまで、問題がないかを確認します。",
            ),
            Self::DiagnosisLooking => ("Looking at:", "確認しています:"),
            Self::DiagnosisFailed => (
                "The diagnosis could not be made. Try again.",
                "診断できませんでした。もう一度実行してください。",
            ),
            Self::DiagnosisAgain => ("Look again", "もう一度診断する"),
            Self::DiagnosisKeep => (
                "For the help desk: copy this page, or save it. It holds no password and no PIN.",
                "ヘルプデスクへのお問い合わせの際は、この結果をコピーまたは保存してお渡しください。パスワードやPINは含まれません。",
            ),
            Self::Quit => ("Quit", "中断"),
            Self::Back => ("Back", "戻る"),
            Self::Close => ("Close", "閉じる"),
            Self::Cancel => ("Cancel", "キャンセル"),
            Self::Next => ("Next", "次へ"),
            Self::Save => ("Save", "保存"),
            Self::Print => ("Print", "印刷"),
            Self::Copied => ("Copied.", "コピーしました。"),
            Self::Again => ("Try again", "もう一度"),
            Self::Refresh => ("Look again", "再読み込み"),
            // Each language says the other's name in the other's words.
            Self::OtherLanguage => ("日本語", "English"),
            Self::ObtainIntroduction => (
                "Connect your token, then fill in the login ID and the login password.",
                "トークンを接続し、ログインIDとログインパスワードを入力してください。",
            ),
            Self::LoginId => ("Login ID", "ログインID"),
            Self::LoginPassword => ("Login password", "ログインパスワード"),
            Self::AcquisitionCode => ("Acquisition code", "取得用コード"),
            Self::AcquisitionCodeHint => (
                "The one-time code in the branch's letter. Without such a letter, leave this empty.",
                "窓口からの通知に記載された、1回限りのコードです。通知がない場合は入力不要です。",
            ),
            Self::HasAcquisitionCode => ("I have an acquisition code", "取得用コードの通知を受け取っている"),
            Self::Authenticate => ("Authenticate and obtain", "認証して発行"),
            Self::Server => ("Bank's address", "接続先(銀行のアドレス)"),
            Self::ServerHint => (
                "As in the bank's letter, such as https://…",
                "銀行から案内された https:// で始まるアドレスを入力してください。",
            ),
            Self::ServerMissing => (
                "Fill in the bank's address under “Connection” first.",
                "先に「接続設定」で接続先を入力してください。",
            ),
            Self::UseProxy => ("My company uses a proxy", "社内プロキシサーバを使う"),
            Self::SystemProxy => (
                "Otherwise the proxy of the system's settings is used, if there is one.",
                "チェックしない場合は、システムのプロキシ設定に従います。",
            ),
            Self::FixedByPolicy => (
                "Your administrator has set what can't be changed here.",
                "変更できない項目は、社内の管理者が設定したものです。",
            ),
            Self::ProxyWarning => (
                "These are not the login ID and login password. Ask your network's administrator for them.",
                "ログインIDとログインパスワードではありません。不明な場合は社内のネットワーク管理者に確認してください。",
            ),
            Self::ProxyHost => ("Proxy server", "プロキシサーバ"),
            Self::ProxyPort => ("Port", "ポート番号"),
            Self::ProxyUser => ("Proxy user name", "プロキシのユーザ名"),
            Self::ProxyPassword => ("Proxy password", "プロキシのパスワード"),
            Self::ProxyPasswordTitle => ("The company's proxy asks for a password", "社内プロキシの認証"),
            Self::PortWrong => (
                "Fill in the proxy's name, and a port from 1 to 65535.",
                "プロキシサーバ名と、1〜65535のポート番号を入力してください。",
            ),
            Self::Token => ("Token", "トークン"),
            Self::Tpm => ("This computer (TPM)", "このパソコン(TPM)"),
            Self::TpmHint => (
                "The key is made in this computer and works on no other.",
                "鍵はこのパソコンの中に作られます。他のパソコンでは使えません。",
            ),
            Self::TokenLooking => ("Looking for tokens …", "トークンを確認しています…"),
            Self::TokenNone => (
                "No token is connected. Connect it; it will appear here by itself.",
                "トークンが接続されていません。接続すると自動的に表示されます。",
            ),
            Self::TokenChoose => ("Choose the token to use.", "使用するトークンを選択してください。"),
            Self::ForeignCard => {
                ("not a token that the agent can use", "このアプリで使えるトークンではありません")
            }
            Self::BusyCard => ("in use by another program", "別のプログラムが使用中です"),
            Self::MuteCard => ("doesn't answer", "応答しません"),
            Self::WorkingHint => (
                "Leave the token in place and the window open.",
                "トークンを抜かず、画面を閉じずにお待ちください。",
            ),
            Self::WorkingHintTpm => ("Leave the window open.", "画面を閉じずにお待ちください。"),
            Self::StageDone => ("done", "完了"),
            Self::StagePresent => ("under way", "処理中"),
            Self::StageToCome => ("to come", "これから"),
            Self::TouchTitle => ("Touch the token now", "トークンに触れてください"),
            Self::TouchHint => (
                "Put a finger on the metal contact while it blinks.",
                "点滅している間に、金属部分に指で触れてください。",
            ),
            Self::NotNow => (
                "The agent is at work on the token. It closes when that is done.",
                "トークンへの処理が終わるまで、画面を閉じられません。",
            ),
            Self::PinTitle => ("The token's PIN", "トークンのPIN"),
            Self::PinHint => (
                "The PIN of the token itself; not the login password.",
                "トークン自体のPINです(ログインパスワードではありません)。",
            ),
            Self::PinTitleTpm => ("The PIN of the key in the TPM", "TPMの鍵のPIN"),
            Self::PinHintTpm => (
                "The PIN that was chosen when the key was made; neither the login password nor this computer's own.",
                "このパソコンに鍵を作ったときに決めたPINです(ログインパスワードや、パソコンのPINではありません)。",
            ),
            Self::PinIfKnown => (
                "With the PIN the key signs that it is erased: the bank is told and revokes the certificate. If nobody knows the PIN, the certificate has to be revoked separately.",
                "PINを入力すると、消去したことを銀行に通知し、証明書が失効します。PINがわからない場合は、別に失効の手続きが必要です。",
            ),
            Self::PinUnknown => ("Nobody knows the PIN", "PINがわからない"),
            Self::Pin => ("PIN", "PIN"),
            Self::NewPinTitle => ("Choose a new PIN", "新しいPINの設定"),
            Self::NewPinHint => (
                "Choose one that isn't easy to guess. It is asked for at each login: remember it, and keep it apart from the token.",
                "推測されにくいものにしてください。ログインのたびに使います。トークンとは別に保管してください。",
            ),
            Self::NewPin => ("New PIN", "新しいPIN"),
            Self::NewPinAgain => ("New PIN again", "新しいPIN(確認)"),
            Self::Ok => ("OK", "OK"),
            Self::OverwriteTitle => ("The token is in use", "トークンは使用中です"),
            Self::Overwrite => ("Overwrite", "上書きする"),
            Self::EraseTitle => ("Erase for ever?", "消去の確認"),
            Self::EraseButton => ("Erase", "消去する"),
            Self::EraseIntroduction => (
                "Key and certificate are destroyed for ever. The bank is told and revokes the certificate.",
                "証明書と鍵を消去すると元に戻せません。消去したことを銀行に通知し、証明書は失効します。",
            ),
            Self::EraseNothing => (
                "The connected tokens hold nothing to erase.",
                "接続中のトークンに、消去できる証明書・鍵はありません。",
            ),
            Self::WholeToken => ("Reset a whole token", "トークン全体の初期化"),
            Self::WholeTokenHint => (
                "Every key, every certificate and the PIN are destroyed for ever; the token is as it was in the factory. This also works when the PIN is blocked or nobody knows it.",
                "すべての鍵・証明書とPINを消去し、トークンを出荷時の状態に戻します。元に戻せません。PINがロックされている場合や、わからない場合にも使えます。",
            ),
            Self::WholeTokenButton => ("Reset the token", "初期化する"),
            Self::TellNow => ("Tell the bank now", "今すぐ通知する"),
            Self::LookAtRevocation => ("Look whether they are", "失効を確認する"),
            Self::RevocationAskedFor => ("I have asked for it", "失効を依頼済み"),
            Self::Details => ("Details", "詳細"),
            Self::FewerDetails => ("Fewer details", "詳細を閉じる"),
            Self::NoTokens => ("No token is connected.", "トークンが接続されていません。"),
            Self::NoCertificates => {
                ("There is no certificate on the connected tokens.", "接続中のトークンに証明書はありません。")
            }
            Self::NoCertificate => ("A key without a certificate", "証明書のない鍵"),
            Self::Unreadable => ("A certificate that can't be read", "読み取れない証明書"),
            Self::DoneTitle => ("The certificate is on the token", "証明書の取得が完了しました"),
            Self::DoneTitleTpm => ("The certificate is ready", "証明書の取得が完了しました"),
            Self::DoneBrowsers => (
                "Close all browser windows once before the first login.",
                "初回ログインの前に、ブラウザの画面をすべて閉じてください。",
            ),
            #[cfg(target_os = "linux")]
            Self::Browsers => ("Browsers", "ブラウザの設定"),
            #[cfg(target_os = "linux")]
            Self::BrowsersHint => (
                "Do this once, so that your browsers find the key in this computer.",
                "ブラウザからこのパソコンの鍵を使えるように、はじめに一度だけ設定します。",
            ),
            #[cfg(target_os = "linux")]
            Self::BrowsersButton => ("Set up browsers", "ブラウザを設定する"),
            #[cfg(target_os = "linux")]
            Self::BrowsersDone => (
                "Done. Close all browser windows once.",
                "設定しました。ブラウザの画面をすべて閉じてください。",
            ),
            #[cfg(target_os = "linux")]
            Self::BrowsersAlready => ("They are set up already.", "設定済みです。"),
            Self::PinChanged => ("The PIN is changed", "PINを変更しました"),
            Self::SaveTitle => ("Keep the details", "内容の保存・印刷"),
            Self::SaveAs => ("File", "保存先"),
            Self::FormatPage => ("Web page (HTML)", "ウェブページ(HTML)"),
            Self::FormatText => ("Text", "テキスト"),
            Self::FailedTitle => ("It could not be done", "手続きを完了できませんでした"),
            Self::Resumable => (
                "Nothing is lost: trying again goes on where it stopped.",
                "途中までの手続きは保存されています。もう一度実行すると、続きから再開します。",
            ),
            Self::SupportCode => ("Support code", "お問い合わせ用コード"),
            Self::SupportHint => (
                "When you ask the bank or your company's help desk, tell them this code, or paste what “Copy” puts on the clipboard. It holds no password and no PIN.",
                "銀行または社内のヘルプデスクへお問い合わせの際に、このコードをお伝えください。「コピー」した内容にパスワードやPINは含まれません。",
            ),
            Self::CopySupport => ("Copy", "コピー"),
            Self::Noted => ("Please note", "お知らせ"),
            Self::PageTitle => ("Certificate details", "電子証明書の内容"),
            Self::PrintHint => (
                "To print, use the browser's print command (Ctrl+P).",
                "印刷する場合は、ブラウザの印刷機能(Ctrl+P)を使ってください。",
            ),
        }
    }
}
