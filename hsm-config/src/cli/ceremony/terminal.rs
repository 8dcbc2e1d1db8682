//! The terminal of whoever leads a ceremony.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};

use jiff::Timestamp;

use crate::ceremony::{Leader, fingerprint};

/// How often a fingerprint may be misheard.
const TRIES: usize = 3;

/// Standard error to tell, standard input to hear.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    step_by_step: bool,
    /// Fingerprints given on the command line, by certificate.
    confirmed: BTreeMap<String, String>,
}

impl Terminal {
    pub(super) fn new(step_by_step: bool, confirmed: BTreeMap<String, String>) -> Self {
        Self { step_by_step, confirmed }
    }

    fn ask(&mut self, prompt: &str) -> Option<String> {
        self.tell(prompt);
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(read) if read > 0 => Some(line.trim().to_owned()),
            _ => None,
        }
    }
}

impl Leader for Terminal {
    fn tell(&mut self, line: &str) {
        let now = Timestamp::now().strftime("%H:%M:%SZ");
        let _ = writeln!(io::stderr().lock(), "{now}  {line}");
    }

    fn before(&mut self, step: &str) -> bool {
        if !self.step_by_step {
            return true;
        }
        let answer = self.ask(&format!("next: {step}. Press Enter (q stops here): "));
        answer.is_some_and(|answer| answer != "q")
    }

    fn fingerprint(&mut self, certificate: &str, file: &str) -> Option<String> {
        if let Some(heard) = self.confirmed.get(certificate) {
            return Some(heard.clone());
        }
        if !io::stdin().is_terminal() {
            return None;
        }
        self.tell(&format!(
            "for certificate {certificate:?}, the owner of {file:?} reads its fingerprint aloud"
        ));
        for _ in 0..TRIES {
            match self.ask("type what you hear: ").as_deref().map(fingerprint::heard) {
                Some(Some(heard)) => return Some(heard),
                Some(None) => self.tell("that is not 64 hexadecimal digits"),
                None => return None,
            }
        }
        None
    }
}
