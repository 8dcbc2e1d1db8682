//! Results on standard output, for people or as JSON; failures and progress on standard error.

use std::{
    error::Error,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::exit::{CliError, Exit};
use crate::{
    certificate::local_time,
    enrol::EnrolError,
    messages::{Lang, say},
    server::{Refusal, ServerError},
};

/// Where a command's words go.
pub(super) struct Output {
    pub(super) lang: Lang,
    json: bool,
}

impl Output {
    pub(super) fn new(lang: Lang, json: bool) -> Self {
        Self { lang, json }
    }

    /// Says what is wrong with the arguments, also as JSON where that was asked for, or what was asked to be shown.
    pub(super) fn misused(error: &clap::Error) -> Exit {
        // Nothing is left to complain to.
        let _ = error.print();
        if !error.use_stderr() {
            return Exit::Done;
        }
        if std::env::args_os().any(|argument| argument == "--json") {
            let text = error.render().to_string();
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let json = json!({"error": {
                "exit": Exit::Usage as u8,
                "message": message,
                "next": lines.collect::<Vec<_>>().join("\n"),
                "resumable": false,
            }});
            let _ = io::stdout().lock().write_all(format!("{json:#}\n").as_bytes());
        }
        Exit::Usage
    }

    /// Writes the result in the form that was asked for.
    pub(super) fn result(&mut self, json: &Value, text: impl FnOnce(Lang) -> String) -> Result<(), CliError> {
        let text = if self.json { format!("{json:#}\n") } else { text(self.lang) };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
    }

    /// Says what is being done.
    pub(super) fn progress(what: &str) {
        // Progress that nobody can see is no reason to stop.
        let _ = writeln!(io::stderr().lock(), "{what} …");
    }

    /// Says why the command failed; returns its exit status.
    pub(super) fn fail(&mut self, error: &CliError) -> Exit {
        let mut causes = Vec::new();
        let mut next = match error {
            CliError::Flow(failure) => failure.error.source(),
            other => other.source(),
        };
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        tracing::debug!(%error, ?causes, "failed");
        let exit = error.exit();
        let explanation = error.explain(self.lang);
        let mut text = format!("{}\n{}\n", explanation.what, explanation.next);
        if error.is_resumable() && exit != Exit::Interrupted {
            text.push_str(&say!(
                self.lang,
                "The enrolment is not lost: the same command goes on where it stopped.\n",
                "手続きの途中経過は保存されています。同じコマンドで続きから再開できます。\n"
            ));
        }
        // Nothing is left to complain to.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        if self.json && !error.is_told() {
            let refusal = refusal(error);
            let json = json!({"error": {
                "exit": exit as u8,
                "message": explanation.what,
                "next": explanation.next,
                "cause": error.to_string(),
                "resumable": error.is_resumable(),
                "code": refusal.map(|refusal| &refusal.name),
                "retry_at": refusal.and_then(|refusal| refusal.retry_at).map(|at| at.to_string()),
                "retry_at_local": refusal.and_then(|refusal| refusal.retry_at).map(local_time),
                "support_id": refusal.and_then(|refusal| refusal.support_id.as_ref()),
            }});
            let _ = io::stdout().lock().write_all(format!("{json:#}\n").as_bytes());
        }
        exit
    }
}

fn refusal(error: &CliError) -> Option<&Refusal> {
    match error {
        CliError::Flow(failure) => match &failure.error {
            EnrolError::Server(ServerError::Refused(refusal)) => Some(refusal),
            _ => None,
        },
        _ => None,
    }
}
