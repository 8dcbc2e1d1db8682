//! What a help desk wants to know of a failure: a code to say on the telephone and a text to paste. Neither holds a
//! secret: errors carry none.

use std::{error::Error, fmt::Write};

use jiff::Timestamp;

use super::work::WorkError;
use crate::{
    certificate::{local_time, printable},
    enrol::EnrolError,
    route::RouteError,
    server::{ServerError, Version},
};

/// The code and the text.
pub(super) struct Support {
    pub(super) code: String,
    pub(super) text: String,
}

impl Support {
    pub(super) fn of(error: &WorkError, now: Timestamp) -> Self {
        let code = code(error);
        let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
        let mut text = format!("inro-agent {} ({system})\n{}\n{code}\n", Version::OWN, local_time(now));
        let mut next: Option<&(dyn Error + 'static)> = match error {
            WorkError::Route(error) => Some(error),
            WorkError::Flow(failure) => Some(&failure.error),
            #[cfg(target_os = "linux")]
            WorkError::Browser(error) => Some(error),
            WorkError::Crashed => None,
        };
        while let Some(cause) = next {
            let _ = writeln!(text, "{}", printable(&cause.to_string()));
            next = cause.source();
        }
        Self { code, text }
    }
}

/// The server's reference where it gave one, else the names of the error's kind, such as `Token.PinWrong`.
fn code(error: &WorkError) -> String {
    match error {
        WorkError::Flow(failure) => match &failure.error {
            EnrolError::Server(ServerError::Refused(refusal)) => {
                let name = printable(&refusal.name);
                refusal
                    .support_id
                    .as_deref()
                    .map_or_else(|| name.clone(), |id| format!("{name} {}", printable(id)))
            }
            error => kind(&format!("{error:?}")),
        },
        WorkError::Route(RouteError::Server(error)) => kind(&format!("Server({error:?}")),
        WorkError::Route(error) => kind(&format!("Route({error:?}")),
        #[cfg(target_os = "linux")]
        WorkError::Browser(error) => kind(&format!("Browser({error:?})")),
        WorkError::Crashed => "Crashed".to_owned(),
    }
}

/// The names of variants at the beginning of an error's `Debug`, of which no more than two are a kind.
fn kind(debug: &str) -> String {
    let mut rest = debug;
    let mut names = Vec::new();
    while names.len() < 2 {
        let length = rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(length);
        if !name.starts_with(|character: char| character.is_ascii_uppercase()) {
            break;
        }
        names.push(name);
        match tail.strip_prefix('(') {
            Some(inner) => rest = inner,
            None => break,
        }
    }
    names.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{enrol::Failure, server::Refusal, token::TokenError};

    fn support(error: impl Into<EnrolError>) -> Support {
        Support::of(&WorkError::Flow(Failure::from(error.into())), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn codes_name_the_kind_or_the_server_s_reference() {
        assert_eq!(support(TokenError::PinWrong { tries_left: 2 }).code, "Token.PinWrong");
        assert_eq!(support(TokenError::NoToken).code, "Token.NoToken");
        assert_eq!(support(EnrolError::NotAttested).code, "NotAttested");
        assert_eq!(support(ServerError::NotHttps("Secret".into())).code, "Server.NotHttps");
        let refusal = Refusal {
            code: None,
            name: "throttled".into(),
            detail: None,
            retry_at: None,
            support_id: Some("7F3A".into()),
        };
        assert_eq!(support(ServerError::Refused(refusal)).code, "throttled 7F3A");
        assert_eq!(
            Support::of(&WorkError::Route(RouteError::NoServer), Timestamp::UNIX_EPOCH).code,
            "Route.NoServer"
        );
        assert!(support(TokenError::NoToken).text.contains("no token is connected"));
    }
}
