//! The person at the terminal, or the files and descriptors that stand for their answers.

use std::io::{self, Write};

use crate::{
    enrol::{EnrolError, Person, Question, Step},
    messages::{Lang, explain, question, say, step},
    secret::{Pin, Secret, SecretError, SecretSource, WeakPin, terminal},
};

/// More slips than that are no slips.
const ATTEMPTS: usize = 5;

/// Asks at the terminal what no source was given for.
pub(super) struct TerminalPerson {
    pub(super) lang: Lang,
    pub(super) password: Option<SecretSource>,
    pub(super) acquisition_code: Option<SecretSource>,
    pub(super) ask_acquisition_code: bool,
    pub(super) pin: Option<SecretSource>,
    pub(super) new_pin: Option<SecretSource>,
    /// Agrees to whatever is asked.
    pub(super) agreed: bool,
}

impl TerminalPerson {
    fn line(text: &str) {
        // Progress that nobody can see is no reason to stop.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn ask_new_pin(&self) -> Result<Result<Pin, WeakPin>, SecretError> {
        let first = terminal::ask_secret(&say!(self.lang, "New PIN: ", "新しいPIN: "))?;
        let pin = match Pin::chosen(first.expose()) {
            Err(weak) => return Ok(Err(weak)),
            Ok(pin) => pin,
        };
        let second = terminal::ask_secret(&say!(self.lang, "New PIN again: ", "新しいPIN(確認): "))?;
        Ok(if first.expose() == second.expose() { Ok(pin) } else { Err(WeakPin::Different) })
    }
}

impl Person for TerminalPerson {
    fn password(&mut self) -> Result<Secret, SecretError> {
        match &self.password {
            Some(source) => source.read(),
            None => terminal::ask_secret(&say!(self.lang, "Login password: ", "ログインパスワード: ")),
        }
    }

    fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError> {
        match &self.acquisition_code {
            Some(source) => source.read().map(Some),
            None if self.ask_acquisition_code => {
                terminal::ask_secret(&say!(self.lang, "Acquisition code: ", "取得用コード: ")).map(Some)
            }
            None => Ok(None),
        }
    }

    fn pin(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, SecretError> {
        if let Some(source) = &self.pin {
            // A file that held the wrong PIN would only use up the tries.
            return if wrong.is_some() {
                Ok(None)
            } else {
                source.read().map(|text| Pin::new(text.expose()))
            };
        }
        if let Some(tries_left) = wrong {
            Self::line(&say!(
                self.lang,
                "The PIN is wrong. Tries left: {tries_left}.",
                "PINが正しくありません(残り{tries_left}回)。"
            ));
        }
        for _ in 0..ATTEMPTS {
            let typed = terminal::ask_secret(&say!(self.lang, "Token PIN: ", "トークンのPIN: "))?;
            if let Some(pin) = Pin::new(typed.expose()) {
                return Ok(Some(pin));
            }
        }
        Ok(None)
    }

    fn new_pin(&mut self) -> Result<Pin, EnrolError> {
        if let Some(source) = &self.new_pin {
            return Pin::chosen(source.read()?.expose()).map_err(EnrolError::WeakPin);
        }
        let mut weak = WeakPin::Length;
        for _ in 0..ATTEMPTS {
            match self.ask_new_pin()? {
                Ok(pin) => return Ok(pin),
                Err(why) => {
                    let explanation = explain(&EnrolError::WeakPin(why), self.lang);
                    Self::line(&format!("{} {}", explanation.what, explanation.next));
                    weak = why;
                }
            }
        }
        Err(EnrolError::WeakPin(weak))
    }

    fn agrees(&mut self, asked: &Question) -> bool {
        if self.agreed {
            return true;
        }
        if !terminal::is_there() {
            return false;
        }
        let hint = say!(self.lang, "yes/no", "はい/いいえ");
        let answer = terminal::ask(&format!("{} [{hint}]: ", question(asked, self.lang)));
        answer.is_ok_and(|answer| matches!(answer.trim(), "yes" | "Yes" | "YES" | "はい"))
    }

    fn tell(&mut self, now: Step) {
        tracing::info!(step = ?now);
        Self::line(&step(&now, self.lang));
    }
}
