//! The person at the window, as a flow sees them: each question waits for its answer, and a window that is closed is a
//! person who doesn't want to go on.

use std::sync::mpsc::Receiver;

use super::work::{Answer, Ask, News, Reporter};
use crate::{
    enrol::{EnrolError, Person, Question, Step},
    secret::{Pin, PinLength, Secret, SecretError},
};

/// Asks at the window.
pub(super) struct WindowPerson {
    pub(super) reporter: Reporter,
    pub(super) answers: Receiver<Answer>,
    /// What the form held.
    pub(super) password: Option<Secret>,
    pub(super) acquisition_code: Option<Secret>,
    pub(super) pin_length: PinLength,
}

impl WindowPerson {
    /// The password of this user at the company's proxy.
    pub(super) fn proxy_password(&mut self, user: &str) -> Result<Secret, SecretError> {
        match self.ask(Ask::ProxyPassword { user: user.to_owned() }) {
            Answer::Password(password) => Ok(password),
            _ => Err(SecretError::Declined),
        }
    }

    fn ask(&mut self, ask: Ask) -> Answer {
        self.reporter.report(News::Asks(ask));
        self.answers.recv().unwrap_or(Answer::Declined)
    }
}

impl Person for WindowPerson {
    fn password(&mut self) -> Result<Secret, SecretError> {
        self.password.take().ok_or(SecretError::Declined)
    }

    fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError> {
        Ok(self.acquisition_code.take())
    }

    fn pin(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, SecretError> {
        match self.ask(Ask::Pin { wrong }) {
            Answer::Pin(pin) => Ok(Some(pin)),
            _ => Err(SecretError::Declined),
        }
    }

    fn pin_if_known(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, EnrolError> {
        match self.ask(Ask::PinIfKnown { wrong }) {
            Answer::Pin(pin) => Ok(Some(pin)),
            Answer::NoPin => Ok(None),
            _ => Err(SecretError::Declined.into()),
        }
    }

    fn new_pin(&mut self) -> Result<Pin, EnrolError> {
        match self.ask(Ask::NewPin(self.pin_length)) {
            Answer::Pin(pin) => Ok(pin),
            _ => Err(SecretError::Declined.into()),
        }
    }

    fn agrees(&mut self, question: &Question) -> bool {
        matches!(self.ask(Ask::Agreement(question.clone())), Answer::Agreed)
    }

    fn tell(&mut self, step: Step) {
        tracing::info!(?step);
        self.reporter.report(News::Step(step));
    }
}
