//! Readers, tokens, PINs and certificates, as far as they show themselves without a PIN.

use jiff::Timestamp;

use super::fact::Fact;
use crate::{
    certificate::{CertificateDetails, ValidityState},
    inventory::{Report, survey},
    token::{KeyPresence, ReaderState, TokenDriver, TokenError, permitted::Permitted},
    tpm::{self, Machine},
};

/// A PIN with fewer tries left is close to being blocked.
const FEW_TRIES: u8 = 3;

/// Returns the certificates (DER) whose chains are worth looking at.
pub(super) fn examine(
    driver: &dyn TokenDriver,
    permitted: &Permitted,
    machine: Option<&Machine>,
    now: Timestamp,
    facts: &mut Vec<Fact>,
) -> Vec<Vec<u8>> {
    let mut certificates = Vec::new();
    let in_tpm = machine.is_some_and(|machine| in_tpm(machine, now, facts, &mut certificates));
    match survey(driver) {
        Err(error @ TokenError::NoService(_)) => facts.push(Fact::NoService(error)),
        Err(error) => facts.push(Fact::TokenFails { serial: String::new(), error }),
        Ok(readers) if readers.is_empty() => facts.push(no_reader()),
        Ok(readers) => {
            facts.push(Fact::Readers(readers.len()));
            let mut tokens = 0;
            for surveyed in readers {
                let name = surveyed.reader.name;
                match surveyed.reader.state {
                    ReaderState::Empty => facts.push(Fact::ReaderEmpty { name }),
                    ReaderState::Foreign => facts.push(Fact::ReaderForeign { name }),
                    ReaderState::Busy => facts.push(Fact::ReaderBusy { name }),
                    ReaderState::Mute => facts.push(Fact::ReaderMute { name }),
                    ReaderState::Token(identity) => {
                        tokens += 1;
                        let (serial, kind) = (identity.serial.clone(), identity.kind);
                        facts.push(Fact::Token(identity));
                        if !permitted.covers(kind) {
                            facts.push(Fact::TokenNotPermitted { kind: kind.name() });
                        }
                        match surveyed.report {
                            Some(Ok(report)) => token(&serial, &report, now, facts, &mut certificates),
                            Some(Err(error)) => facts.push(Fact::TokenFails { serial, error }),
                            None => {}
                        }
                    }
                }
            }
            if tokens == 0 {
                facts.push(Fact::NoToken { needed: !in_tpm });
            }
        }
    }
    certificates
}

#[cfg(target_os = "linux")]
fn no_reader() -> Fact {
    Fact::NoReader { usb: super::usb::card_readers() }
}

#[cfg(not(target_os = "linux"))]
fn no_reader() -> Fact {
    Fact::NoReader { usb: Vec::new() }
}

fn token(
    serial: &str,
    report: &Report,
    now: Timestamp,
    facts: &mut Vec<Fact>,
    certificates: &mut Vec<Vec<u8>>,
) {
    facts.push(match (report.pin.tries_left, report.pin.factory) {
        (0, _) => Fact::PinBlocked,
        (tries_left, _) if tries_left < FEW_TRIES => Fact::PinLow { tries_left },
        (_, Some(true)) => Fact::PinFactory,
        (tries_left, _) => Fact::PinGood { tries_left },
    });
    let mut found = false;
    for (slot, state) in &report.occupied {
        match (&state.certificate, &state.key) {
            (Some(der), _) => {
                found = true;
                match certificate(der, now) {
                    Some(fact) => facts.push(fact),
                    None => facts.push(Fact::CertificateUnreadable { slot: slot.to_string() }),
                }
                certificates.push(der.clone());
            }
            (None, KeyPresence::Present { .. }) => {
                facts.push(Fact::KeyWithoutCertificate { slot: slot.to_string() });
            }
            (None, _) => {}
        }
    }
    if !found {
        facts.push(Fact::CertificateMissing { serial: serial.to_owned() });
    }
}

fn certificate(der: &[u8], now: Timestamp) -> Option<Fact> {
    let details = Box::new(CertificateDetails::read(der).ok()?);
    let days = details.days_left(now);
    Some(match details.state(now) {
        ValidityState::Valid => Fact::Certificate { details, days },
        ValidityState::Expiring => Fact::CertificateExpiring { details, days },
        ValidityState::Expired => Fact::CertificateExpired { details },
        ValidityState::NotYetValid => Fact::CertificateNotYetValid { details },
    })
}

/// Whether the TPM holds a certificate of the user's.
fn in_tpm(machine: &Machine, now: Timestamp, facts: &mut Vec<Fact>, certificates: &mut Vec<Vec<u8>>) -> bool {
    let held = match tpm::survey(machine) {
        Ok(held) => held,
        Err(error) => {
            facts.push(Fact::TpmFails(error));
            return false;
        }
    };
    let mut found = false;
    for held in held {
        let Some(entry) = held.entry else { continue };
        found = true;
        let user_id = entry.user_id;
        facts.push(match held.health {
            Ok(agent_tpm::Health::Good) => Fact::TpmKey { user_id },
            Ok(health) => Fact::TpmLost { user_id, health },
            Err(error) => Fact::TpmFails(error.into()),
        });
        facts.extend(certificate(&entry.certificate, now));
        certificates.push(entry.certificate);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Firmware, fake::FakeDriver};

    #[test]
    fn a_fresh_token_has_the_factory_s_pin_and_no_certificate() {
        let driver = FakeDriver::fresh(Firmware::new(5, 7, 2));
        let mut facts = Vec::new();
        let found = examine(&driver, &Permitted::default(), None, Timestamp::UNIX_EPOCH, &mut facts);
        assert!(found.is_empty());
        let codes: Vec<&str> = facts.iter().map(Fact::code).collect();
        assert_eq!(codes, ["reader.service", "token.found", "pin.factory", "certificate.none"]);
    }
}
