//! Mistakes in a specification, collected so that the author sees all of them at once.

use std::fmt;

use serde::Serialize;

/// One mistake: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The place in the specification, such as `token.root.pin_file`.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.problem, self.remedy)
    }
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(in super::super) struct Mistakes(pub(in super::super) Vec<Mistake>);

impl Mistakes {
    pub(in super::super) fn add(
        &mut self,
        key: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Mistake { key: key.into(), problem: problem.into(), remedy: remedy.into() });
    }
}
