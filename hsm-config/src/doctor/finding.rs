//! What the doctor says: one finding per thing looked at, good ones included, each bad one with its remedy.

use serde::Serialize;

use crate::token::TokenDescription;
use crate::worker::look::Library;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// It works, but not as it should, or not for long.
    Warning,
    /// A ceremony or the signer would fail, or a key isn't what it is taken for.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check, as `docs/vendors.md` lists them.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at: a token, a key, a file.
    pub about: String,
    /// What was found.
    pub finding: String,
    /// What to do about it; always there for warnings and errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Everything about one token, or one module without a token.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The vendor profile.
    pub vendor: String,
    /// What the library says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<Library>,
    /// What the token says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenDescription>,
    /// In the order of looking.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of the findings.
    pub fn worst(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Fine)
    }

    pub(super) fn fine(&mut self, check: &'static str, about: impl Into<String>, finding: impl Into<String>) {
        self.add(check, Severity::Fine, about, finding, None);
    }

    pub(super) fn note(&mut self, check: &'static str, about: impl Into<String>, finding: impl Into<String>) {
        self.add(check, Severity::Note, about, finding, None);
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        about: impl Into<String>,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Severity::Warning, about, finding, Some(remedy.into()));
    }

    pub(super) fn fail(
        &mut self,
        check: &'static str,
        about: impl Into<String>,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Severity::Error, about, finding, Some(remedy.into()));
    }

    fn add(
        &mut self,
        check: &'static str,
        severity: Severity,
        about: impl Into<String>,
        finding: impl Into<String>,
        remedy: Option<String>,
    ) {
        let (about, finding) = (about.into(), finding.into());
        self.findings.push(Finding { check, severity, about, finding, remedy });
    }
}
