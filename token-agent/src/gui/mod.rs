//! The window (`inro-agent gui`): a wizard over the same flows as the command line.
//!
//! `app` holds the pages and draws one of them; `work` runs a flow on a thread of its own and carries questions and
//! answers between it and the page. A flow never waits for the drawing, and the drawing never for a flow. Secrets are in
//! [`field::SecretField`]s until the flow takes them.

mod app;
mod desk;
mod field;
mod fonts;
mod keep;
mod login;
mod look;
mod pages;
mod person;
mod progress;
mod reminder;
mod support;
mod work;

use std::{path::PathBuf, time::Duration};

use eframe::egui::{self, ViewportBuilder};
use jiff::SignedDuration;

#[cfg(target_os = "linux")]
use crate::messages::explain_browser;
use crate::{
    certificate::printable,
    messages::{
        Explanation, Lang, say,
        window::{Word, explain_in_window, explain_route},
    },
    route::{Route, RouteError},
    secret::PinLength,
    token::permitted::Permitted,
    tpm::Machine,
};

/// What the window begins with.
pub(crate) struct Setup {
    pub(crate) lang: Lang,
    pub(crate) route: Route,
    /// Where enrolments under way are recorded.
    pub(crate) state_dir: PathBuf,
    pub(crate) pkcs11_module: Option<PathBuf>,
    pub(crate) permitted: Permitted,
    /// This computer's; `None` where the user has no folder for its certificates.
    pub(crate) tpm: Option<Machine>,
    /// What stands in the form at first.
    pub(crate) user_id: String,
    /// When a person is reminded of a token that stays in an idle computer; `None` for never.
    pub(crate) remind_after: Option<Duration>,
    /// How long a PIN is that is to be set.
    pub(crate) pin_length: PinLength,
    /// How long a superseded certificate stays on the token.
    pub(crate) grace: SignedDuration,
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WindowError {
    #[error(transparent)]
    NoFont(#[from] fonts::NoFont),
    #[error("{0}")]
    NoDisplay(String),
}

/// Opens the window; returns when it is closed.
///
/// # Errors
/// When there is no font or no display.
pub(crate) fn run(setup: Setup) -> Result<(), WindowError> {
    let fonts = fonts::of_system()?;
    let options = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title(Word::Product.text(setup.lang))
            .with_app_id("inro-agent")
            .with_inner_size([820.0, 720.0])
            .with_min_inner_size([420.0, 360.0]),
        centered: true,
        ..eframe::NativeOptions::default()
    };
    let created = move |context: &eframe::CreationContext<'_>| {
        context.egui_ctx.set_fonts(fonts);
        look::apply(&context.egui_ctx);
        let window: Box<dyn eframe::App> = Box::new(app::Window::new(setup, &context.egui_ctx));
        Ok(window)
    };
    eframe::run_native("inro-agent", options, Box::new(created))
        .map_err(|error| WindowError::NoDisplay(error.to_string()))
}

/// What happened and what to do next, whatever it was.
fn failure_words(error: &work::WorkError, lang: Lang) -> Explanation {
    match error {
        work::WorkError::Flow(failure) => explain_in_window(&failure.error, lang),
        work::WorkError::Route(error) => route_words(error, lang),
        #[cfg(target_os = "linux")]
        work::WorkError::Browser(error) => explain_browser(error, lang),
        work::WorkError::Crashed => Explanation {
            what: say!(lang, "The agent made a mistake.", "アプリの内部でエラーが発生しました。"),
            next: say!(
                lang,
                "Connect the token again and try again. If it happens again, tell the bank.",
                "トークンを接続し直して、もう一度実行してください。繰り返し発生する場合は銀行にご連絡ください。"
            ),
        },
    }
}

/// The same of the way to the bank.
fn route_words(error: &RouteError, lang: Lang) -> Explanation {
    match error {
        RouteError::NoServer => Explanation {
            what: say!(lang, "No server is named.", "接続先のサーバが指定されていません。"),
            next: Word::ServerMissing.text(lang).to_owned(),
        },
        RouteError::Fixed(_) => Explanation {
            what: say!(
                lang,
                "These settings contradict those of your administrator.",
                "この接続設定は、管理者の設定と異なります。"
            ),
            next: say!(
                lang,
                "Start the agent from the menu, or ask your administrator.",
                "スタートメニューからアプリを起動し直すか、社内の管理者に確認してください。"
            ),
        },
        RouteError::Unreadable { path, .. } => {
            let path = printable(&path.display().to_string());
            Explanation {
                what: say!(lang, "{path} can't be read.", "{path} を読み取れません。"),
                next: say!(
                    lang,
                    "Ask whoever set up this computer to check the agent's configuration.",
                    "このパソコンを設定した担当者に、アプリの設定ファイルの確認を依頼してください。"
                ),
            }
        }
        RouteError::Secret(error) => {
            let error = printable(&error.to_string());
            Explanation {
                what: say!(
                    lang,
                    "The proxy's password is missing: {error}.",
                    "プロキシのパスワードを読み取れません({error})。"
                ),
                next: say!(lang, "Fill it in under “Connection”.", "「接続設定」で入力してください。"),
            }
        }
        RouteError::Server(error) => explain_route(error, lang),
    }
}

/// An identity for a widget that doesn't depend on where it stands.
fn id(name: &str) -> egui::Id {
    egui::Id::unique(("inro-agent", name))
}
