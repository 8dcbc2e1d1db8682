//! The person at the terminal, or the files and descriptors that stand for their answers.

use std::io::{self, Write};

use crate::{
    enrol::{EnrolError, Person, Question, Step},
    messages::{Lang, explain, pin_length, question, say, step},
    secret::{Pin, PinLength, Secret, SecretError, SecretSource, WeakPin, terminal},
    token::TokenError,
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
    pub(super) pin_length: PinLength,
    /// Agrees to whatever is asked.
    pub(super) agreed: bool,
}

impl TerminalPerson {
    fn line(text: &str) {
        // Progress that nobody can see is no reason to stop.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn say_wrong(&self, wrong: Option<u8>) {
        if let Some(tries_left) = wrong {
            Self::line(&say!(
                self.lang,
                "The PIN is wrong. Tries left: {tries_left}.",
                "PINが正しくありません(残り{tries_left}回)。"
            ));
        }
    }

    fn ask_new_pin(&self) -> Result<Result<Pin, WeakPin>, SecretError> {
        let length = pin_length(self.pin_length, self.lang);
        let first = terminal::ask_secret(&say!(self.lang, "New PIN ({length}): ", "新しいPIN({length}): "))?;
        let pin = match Pin::chosen(first.expose(), self.pin_length) {
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
        self.say_wrong(wrong);
        for _ in 0..ATTEMPTS {
            let typed = terminal::ask_secret(&say!(self.lang, "Token PIN: ", "トークンのPIN: "))?;
            if let Some(pin) = Pin::new(typed.expose()) {
                return Ok(Some(pin));
            }
        }
        Ok(None)
    }

    fn pin_if_known(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, EnrolError> {
        if self.pin.is_some() {
            let spent = wrong.map(|tries_left| TokenError::PinWrong { tries_left }.into());
            return spent.map_or_else(|| Ok(self.pin(None)?), Err);
        }
        // Whoever wants to be asked nothing isn't asked for what can be done without.
        if self.agreed || !terminal::is_there() {
            return Ok(None);
        }
        self.say_wrong(wrong);
        let typed = terminal::ask_secret(&say!(
            self.lang,
            "PIN, so that the bank can be told (leave it empty if nobody knows it): ",
            "PIN(銀行への通知に使います。不明な場合は空欄のままEnter): "
        ))?;
        Ok(Pin::new(typed.expose()))
    }

    fn new_pin(&mut self) -> Result<Pin, EnrolError> {
        if let Some(source) = &self.new_pin {
            return Pin::chosen(source.read()?.expose(), self.pin_length).map_err(EnrolError::WeakPin);
        }
        let mut weak = WeakPin::Length(self.pin_length);
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
