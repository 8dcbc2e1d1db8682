//! A person who is asked for a token's PIN once, however many flows need it.

use zeroize::Zeroizing;

use crate::{
    enrol::{EnrolError, Person, Question, Step},
    secret::{Pin, Secret, SecretError},
};

/// Stands before the person. A PIN is kept for the token that it was asked for, and offered to no other.
pub(crate) struct Once<'a> {
    person: &'a mut dyn Person,
    token: String,
    pin: Option<Pin>,
}

impl<'a> Once<'a> {
    pub(crate) fn new(person: &'a mut dyn Person) -> Self {
        Self { person, token: String::new(), pin: None }
    }

    /// What is asked from now on is about this token.
    pub(crate) fn turn_to(&mut self, token: &str) {
        if self.token != token {
            token.clone_into(&mut self.token);
            self.pin = None;
        }
    }
}

fn copy(pin: &Pin) -> Pin {
    Pin::of_octets(Zeroizing::new(pin.expose().to_vec()))
}

impl Person for Once<'_> {
    fn password(&mut self) -> Result<Secret, SecretError> {
        self.person.password()
    }

    fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError> {
        self.person.acquisition_code()
    }

    fn pin(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, SecretError> {
        if let (None, Some(pin)) = (wrong, &self.pin) {
            return Ok(Some(copy(pin)));
        }
        let pin = self.person.pin(wrong)?;
        self.pin = pin.as_ref().map(copy);
        Ok(pin)
    }

    fn new_pin(&mut self) -> Result<Pin, EnrolError> {
        let pin = self.person.new_pin()?;
        self.pin = Some(copy(&pin));
        Ok(pin)
    }

    fn agrees(&mut self, question: &Question) -> bool {
        self.person.agrees(question)
    }

    fn tell(&mut self, step: Step) {
        self.person.tell(step);
    }
}
