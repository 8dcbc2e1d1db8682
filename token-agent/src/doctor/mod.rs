//! What a login or an enrolment needs, looked at from the reader to the bank's server, for a page that a help desk can
//! read. Nothing is changed, no PIN is asked for or tried, and the bank is told nothing but the agent's version.

mod chain;
mod fact;
mod network;
mod published;
mod tokens;
#[cfg(target_os = "linux")]
mod usb;

use std::{env, path::PathBuf};

use jiff::Timestamp;

pub(crate) use fact::{Area, Chain, Fact, Grade, Place, Published, Route as Passage, Word};

use crate::{
    route::Route,
    server::{Version, https::HttpsApi},
    token::{all::Tokens, permitted::Permitted},
    tpm::Machine,
};

/// What is looked at.
pub(crate) struct Patient<'a> {
    pub(crate) route: &'a Route,
    pub(crate) pkcs11_module: Option<PathBuf>,
    pub(crate) permitted: &'a Permitted,
    /// `None` where no TPM is in use.
    pub(crate) machine: Option<Machine>,
}

/// What was found, in the order in which it matters.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) at: Timestamp,
    pub(crate) version: &'static str,
    pub(crate) system: String,
    pub(crate) facts: Vec<Fact>,
}

impl Report {
    /// How many things are wrong.
    pub(crate) fn wrong(&self) -> usize {
        self.facts.iter().filter(|fact| fact.grade() == Grade::Wrong).count()
    }

    /// What to say on the telephone: the codes of what is wrong, each once.
    pub(crate) fn support_code(&self) -> String {
        let mut codes: Vec<&str> = Vec::new();
        for fact in self.facts.iter().filter(|fact| fact.grade() == Grade::Wrong) {
            if !codes.contains(&fact.code()) {
                codes.push(fact.code());
            }
        }
        if codes.is_empty() { "ok".to_owned() } else { codes.join(" ") }
    }
}

/// Looks at everything. `said` hears what is being looked at.
pub(crate) fn examine(patient: &Patient<'_>, at: Timestamp, mut said: impl FnMut(Area)) -> Report {
    let mut facts = Vec::new();
    said(Area::Reader);
    let driver = Tokens::connected(patient.pkcs11_module.as_deref());
    let certificates = tokens::examine(&driver, patient.permitted, patient.machine.as_ref(), at, &mut facts);
    #[cfg(target_os = "linux")]
    {
        said(Area::Browser);
        browsers(&mut facts);
    }
    said(Area::Server);
    let reached = network::examine(patient.route, at, &mut facts);
    if let Some(api) = reached {
        said(Area::Certificate);
        for certificate in certificates {
            let (chain, issuer) = chain::examine(&api, &certificate, at);
            facts.push(Fact::Chain(chain));
            let Some(issuer) = issuer else { continue };
            let found = published::examine(&certificate, &issuer, at, &|url, posted| api.fetch(url, posted));
            facts.extend(found.into_iter().map(Fact::Published));
        }
    }
    // Stable: within an area the order of looking stays.
    facts.sort_by_key(Fact::area);
    let system = format!("{} {}", env::consts::OS, env::consts::ARCH);
    Report { at, version: Version::OWN, system, facts }
}

/// Whether the bank publishes that this certificate (DER) is revoked; false as well when it publishes nothing that can be
/// believed.
pub(crate) fn is_revoked(api: &HttpsApi, certificate: &[u8], now: Timestamp) -> bool {
    let (_, issuer) = chain::examine(api, certificate, now);
    let Some(issuer) = issuer else { return false };
    let found = published::examine(certificate, &issuer, now, &|url, posted| api.fetch(url, posted));
    found.iter().any(|found| matches!(found.word, Word::Revoked { .. }))
}

#[cfg(target_os = "linux")]
fn browsers(facts: &mut Vec<Fact>) {
    use crate::browser::{BrowserError, Finding, Trouble, examine_registrations};

    match examine_registrations(None) {
        Ok(findings) => facts.extend(findings.into_iter().map(|finding| match finding {
            Finding::Good(good) => Fact::Browser(good),
            Finding::Bad(trouble) => Fact::BrowserTrouble(trouble),
        })),
        Err(BrowserError::NoTool(tool)) => facts.push(Fact::BrowserTrouble(Trouble::NoTool(tool))),
        // A machine without a person at it has no browsers.
        Err(BrowserError::NoHome) => {}
        Err(error) => facts.push(Fact::BrowserError(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenError;

    #[test]
    fn the_support_code_names_what_is_wrong_once() {
        let report = |facts| Report { at: Timestamp::UNIX_EPOCH, version: "0", system: String::new(), facts };
        assert_eq!(report(vec![Fact::PinFactory]).support_code(), "ok");
        let facts = vec![
            Fact::PinBlocked,
            Fact::PinLow { tries_left: 1 },
            Fact::PinBlocked,
            Fact::TokenFails { serial: "7".into(), error: TokenError::Busy },
        ];
        let report = report(facts);
        assert_eq!(report.support_code(), "pin.blocked token.fails");
        assert_eq!(report.wrong(), 3);
    }
}
