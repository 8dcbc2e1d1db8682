//! Whom a set asks: people at a terminal, or files where a script stands in for them.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand::fill;
use secrecy::SecretString;

use crate::token::{Pin, PinError};

/// Why nobody answers.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no terminal.
    #[error("there is no terminal to ask {0} at: give --passphrase-file NAME=FILE or --pin-file NAME=FILE")]
    NoTerminal(String, #[source] io::Error),
    /// They typed two different passphrases.
    #[error("the two passphrases of {0} differ: nothing was made")]
    Different(String),
    /// A file was expected.
    #[error("no file holds the {what} of {custodian}: give --{option} {custodian}=FILE")]
    NoFile {
        /// Passphrase or PIN.
        what: &'static str,
        /// Whose.
        custodian: String,
        /// The option that names it.
        option: &'static str,
    },
    /// The file isn't accepted.
    #[error(transparent)]
    File(#[from] PinError),
    /// They gave up.
    #[error("given up")]
    GivenUp,
    /// Nobody is left who was not asked.
    #[error(
        "{needed} more custodian(s) are needed, and nobody else is named: give --custodian NAME for each"
    )]
    NobodyLeft {
        /// How many.
        needed: usize,
    },
}

/// Whom a set asks. Whatever they type is never shown.
pub trait People {
    /// The passphrase that a custodian will use from now on.
    ///
    /// # Errors
    /// [`AskError`].
    fn new_passphrase(&mut self, custodian: &str) -> Result<SecretString, AskError>;

    /// The passphrase that a custodian chose for this generation.
    ///
    /// # Errors
    /// [`AskError`].
    fn passphrase(&mut self, custodian: &str, generation: u32) -> Result<SecretString, AskError>;

    /// The PIN of a custodian's own token, which has so many tries left.
    ///
    /// # Errors
    /// [`AskError`].
    fn card_pin(
        &mut self,
        custodian: &str,
        reader: &str,
        tries: Option<u8>,
    ) -> Result<SecretString, AskError>;

    /// Asked when a custodian's token is in no reader. `Ok` looks again.
    ///
    /// # Errors
    /// [`AskError::GivenUp`] when it won't be.
    fn insert_card(&mut self, custodian: &str) -> Result<(), AskError>;

    /// Shares of one generation are gathered from now on.
    fn begin(&mut self, purpose: &str);

    /// Which of these custodians comes next; so many are still needed.
    ///
    /// # Errors
    /// [`AskError`].
    fn next(&mut self, candidates: &[String], needed: usize) -> Result<String, AskError>;

    /// A line for them to read.
    fn tell(&mut self, line: &str);

    /// Whether nothing of this is kept: then passphrases needn't be stretched much.
    fn is_rehearsal(&self) -> bool {
        false
    }
}

/// Files for some, and a terminal for the others where there is one.
#[derive(Debug, Default)]
pub struct Desk {
    /// Passphrases by custodian.
    pub passphrase_files: BTreeMap<String, PathBuf>,
    /// PINs of their own tokens by custodian.
    pub pin_files: BTreeMap<String, PathBuf>,
    /// Passphrases of the generation before, where they are others.
    pub old_passphrase_files: BTreeMap<String, PathBuf>,
    /// The generation before.
    pub old_generation: Option<u32>,
    /// Who is here, in this order; empty asks at the terminal.
    pub present: Vec<String>,
    /// How many of them came.
    pub came: usize,
}

impl Desk {
    fn typed(custodian: &str, prompt: &str) -> Result<SecretString, AskError> {
        rpassword::prompt_password(prompt)
            .map(SecretString::from)
            .map_err(|error| AskError::NoTerminal(custodian.to_owned(), error))
    }

    fn line(custodian: &str, prompt: &str) -> Result<String, AskError> {
        let no_terminal = |error| AskError::NoTerminal(custodian.to_owned(), error);
        let mut terminal =
            std::fs::File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
        terminal.write_all(prompt.as_bytes()).map_err(no_terminal)?;
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(terminal), &mut line).map_err(no_terminal)?;
        if line.is_empty() {
            return Err(AskError::GivenUp);
        }
        Ok(line.trim().to_owned())
    }

    fn secret_in(path: &Path) -> Result<SecretString, AskError> {
        Ok(SecretString::from(Pin::from_file(path)?.expose()))
    }
}

impl People for Desk {
    fn new_passphrase(&mut self, custodian: &str) -> Result<SecretString, AskError> {
        if let Some(path) = self.passphrase_files.get(custodian) {
            return Self::secret_in(path);
        }
        let first = Self::typed(custodian, &format!("{custodian}, choose your passphrase: "))?;
        let again = Self::typed(custodian, &format!("{custodian}, type it again: "))?;
        if secrecy::ExposeSecret::expose_secret(&first) == secrecy::ExposeSecret::expose_secret(&again) {
            Ok(first)
        } else {
            Err(AskError::Different(custodian.to_owned()))
        }
    }

    fn passphrase(&mut self, custodian: &str, generation: u32) -> Result<SecretString, AskError> {
        let old = self.old_generation == Some(generation);
        let old = self.old_passphrase_files.get(custodian).filter(|_| old);
        match old.or(self.passphrase_files.get(custodian)) {
            Some(path) => Self::secret_in(path),
            None => {
                Self::typed(custodian, &format!("{custodian}, your passphrase of generation {generation}: "))
            }
        }
    }

    fn card_pin(
        &mut self,
        custodian: &str,
        reader: &str,
        tries: Option<u8>,
    ) -> Result<SecretString, AskError> {
        if let Some(path) = self.pin_files.get(custodian) {
            return Self::secret_in(path);
        }
        let tries = tries.map_or(String::new(), |tries| format!(", {tries} tries left"));
        Self::typed(custodian, &format!("{custodian}, the PIN of your token in {reader}{tries}: "))
    }

    fn insert_card(&mut self, custodian: &str) -> Result<(), AskError> {
        if self.pin_files.contains_key(custodian) {
            return Err(AskError::GivenUp);
        }
        let prompt =
            format!("{custodian}, your token is in no reader. Put it in and press Enter (q gives up): ");
        match Self::line(custodian, &prompt)?.as_str() {
            "q" => Err(AskError::GivenUp),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, purpose: &str) {
        self.came = 0;
        self.tell(purpose);
    }

    fn next(&mut self, candidates: &[String], needed: usize) -> Result<String, AskError> {
        if let Some(name) = self.present.get(self.came) {
            self.came += 1;
            return Ok(name.clone());
        }
        if !self.present.is_empty() {
            return Err(AskError::NobodyLeft { needed });
        }
        let prompt = format!("{needed} more needed of {}. Who is next? ", candidates.join(", "));
        Self::line("a custodian", &prompt)
    }

    fn tell(&mut self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// Everybody at a rehearsal: passphrases that nobody has to type, the same for the same custodian.
#[derive(Debug, Default)]
pub struct Understudies {
    passphrases: BTreeMap<String, String>,
    told: Vec<String>,
}

impl Understudies {
    /// What they were told.
    pub fn told(&self) -> &[String] {
        &self.told
    }
}

impl People for Understudies {
    fn new_passphrase(&mut self, custodian: &str) -> Result<SecretString, AskError> {
        let mut octets = [0; 16];
        fill(&mut octets).map_err(|_| AskError::GivenUp)?;
        let passphrase = hex::encode(octets);
        self.passphrases.insert(custodian.to_owned(), passphrase.clone());
        Ok(passphrase.into())
    }

    fn passphrase(&mut self, custodian: &str, _generation: u32) -> Result<SecretString, AskError> {
        self.passphrases.get(custodian).map(|text| text.as_str().into()).ok_or(AskError::GivenUp)
    }

    fn card_pin(&mut self, _: &str, _: &str, _: Option<u8>) -> Result<SecretString, AskError> {
        Err(AskError::GivenUp)
    }

    fn insert_card(&mut self, _: &str) -> Result<(), AskError> {
        Err(AskError::GivenUp)
    }

    fn begin(&mut self, purpose: &str) {
        self.told.push(purpose.to_owned());
    }

    fn next(&mut self, candidates: &[String], needed: usize) -> Result<String, AskError> {
        candidates.first().cloned().ok_or(AskError::NobodyLeft { needed })
    }

    fn tell(&mut self, line: &str) {
        self.told.push(line.to_owned());
    }

    fn is_rehearsal(&self) -> bool {
        true
    }
}
