//! The key of an enrolment: which slot and kind, generating or finding it again, and the evidence that goes with it.

use ca_wire::{
    Base64Url,
    enrolment::{Certify, KeyRequirements, Opened, challenge_message},
};
use der::Decode;
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;

use super::{
    EnrolError, Order, Person, Question, Step,
    record::{KeyRecord, Record, RecordFile},
    request::certification_request,
};
use crate::{
    certificate::CertificateDetails,
    secret::Pin,
    token::{Attestation, KeyAlgorithm, KeySpec, PinPolicy, Slot, Token, TouchPolicy},
};

/// The slot and the kind of key.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    slot: Slot,
    spec: KeySpec,
}

/// The key, with what the token says of it.
pub(super) struct Key {
    pub(super) slot: Slot,
    algorithm: KeyAlgorithm,
    touch: TouchPolicy,
    /// DER of its `SubjectPublicKeyInfo`.
    pub(super) spki: Vec<u8>,
    attestation: Attestation,
}

/// Decides slot and kind from the server's rules, what the token can, what was ordered, and an enrolment under way.
pub(super) fn plan(
    rules: &KeyRequirements,
    token: &dyn Token,
    order: &Order,
    record: &Record,
) -> Result<Plan, EnrolError> {
    let malformed = |what: &str| EnrolError::RulesMalformed(what.to_owned());
    let pin = PinPolicy::parse(&rules.pin_policy).ok_or_else(|| malformed(&rules.pin_policy))?;
    let touch = TouchPolicy::parse(&rules.touch_policy).ok_or_else(|| malformed(&rules.touch_policy))?;
    let begun = record.key.as_ref();
    if let Some(key) = begun {
        let slot = Slot::parse(&key.slot).ok_or_else(|| malformed(&key.slot))?;
        let algorithm = KeyAlgorithm::parse(&key.algorithm).ok_or_else(|| malformed(&key.algorithm))?;
        if order.slot.is_some_and(|ordered| ordered != slot) {
            return Err(EnrolError::OtherSlotUnderWay(slot));
        }
        return Ok(Plan { slot, spec: KeySpec { algorithm, pin, touch } });
    }
    let slot = choose_slot(rules, order)?;
    let algorithm = choose_algorithm(rules, token, order)?;
    Ok(Plan { slot, spec: KeySpec { algorithm, pin, touch } })
}

fn choose_slot(rules: &KeyRequirements, order: &Order) -> Result<Slot, EnrolError> {
    let mut permitted = rules.slots.iter().filter_map(|slot| Slot::parse(slot));
    let list = || rules.slots.join(", ");
    match order.slot {
        Some(slot) if permitted.any(|other| other == slot) => Ok(slot),
        Some(slot) => Err(EnrolError::SlotNotPermitted { slot: slot.to_string(), permitted: list() }),
        None => permitted.next().ok_or_else(|| EnrolError::RulesMalformed(list())),
    }
}

fn choose_algorithm(
    rules: &KeyRequirements,
    token: &dyn Token,
    order: &Order,
) -> Result<KeyAlgorithm, EnrolError> {
    let permitted = rules.algorithms.iter().filter_map(|name| KeyAlgorithm::parse(name));
    let mut suitable = permitted.filter(|algorithm| token.suits(*algorithm));
    let model = || token.identity().model();
    match order.algorithm {
        Some(algorithm) => suitable
            .find(|other| *other == algorithm)
            .ok_or_else(|| EnrolError::AlgorithmNotPermitted { algorithm, model: model() }),
        None => suitable.next().ok_or_else(|| EnrolError::NoAlgorithm {
            model: model(),
            permitted: rules.algorithms.join(", "),
        }),
    }
}

/// Generates the key, or finds the one that was generated before the interruption.
pub(super) fn obtain(
    token: &mut dyn Token,
    person: &mut dyn Person,
    plan: &Plan,
    record: &mut RecordFile,
) -> Result<Key, EnrolError> {
    let slot = plan.slot;
    let known = record.key.as_ref().and_then(|begun| begun.public_key.as_deref());
    if let Some(known) = known.and_then(|digits| hex::decode(digits).ok()) {
        token.recall(slot, &known);
    }
    let present = match token.attest(slot)? {
        Some(attestation) => read(plan, attestation)?,
        None => None,
    };
    let standing = present.as_ref().map(|key| fingerprint(&key.spki));
    match record.key.as_ref().map(|begun| (begun.generated.clone(), begun.replaces.clone())) {
        // It was generated and the record says so.
        Some((Some(generated), _)) => match present {
            Some(key) if standing.as_ref() == Some(&generated) => {
                person.tell(Step::KeyFound { slot });
                Ok(key)
            }
            _ => Err(EnrolError::KeyGone(slot)),
        },
        // It was about to be generated: if another key than before stands there, it is ours.
        Some((None, replaces)) => match present {
            Some(key) if standing != replaces && key.algorithm == plan.spec.algorithm => {
                person.tell(Step::KeyFound { slot });
                remember(record, &key)?;
                Ok(key)
            }
            _ => generate(token, person, plan, record),
        },
        None => {
            make_room(token, person, slot)?;
            record.key = Some(KeyRecord {
                slot: slot.to_string(),
                algorithm: plan.spec.algorithm.to_string(),
                replaces: standing,
                generated: None,
                public_key: None,
            });
            record.save()?;
            generate(token, person, plan, record)
        }
    }
}

fn make_room(token: &mut dyn Token, person: &mut dyn Person, slot: Slot) -> Result<(), EnrolError> {
    let state = token.slot(slot)?;
    if state.is_free() {
        return Ok(());
    }
    let details = state.certificate.as_deref().map(CertificateDetails::read);
    let certificate = details.and_then(Result::ok).map(Box::new);
    if person.agrees(&Question::Overwrite { slot, certificate }) {
        Ok(())
    } else {
        Err(EnrolError::Occupied { slot })
    }
}

fn generate(
    token: &mut dyn Token,
    person: &mut dyn Person,
    plan: &Plan,
    record: &mut RecordFile,
) -> Result<Key, EnrolError> {
    let (slot, algorithm) = (plan.slot, plan.spec.algorithm);
    // A certificate never stands beside another certificate's key.
    token.delete_certificate(slot)?;
    person.tell(Step::GeneratingKey { slot, algorithm });
    let public_key = token.generate(slot, plan.spec)?;
    person.tell(Step::Attesting);
    let attestation = token.attest(slot)?.ok_or(EnrolError::NotAttested)?;
    let key = read(plan, attestation)?;
    let key = key.filter(|key| key.spki == public_key && key.algorithm == algorithm);
    let key = key.ok_or(EnrolError::NotAttested)?;
    remember(record, &key)?;
    Ok(key)
}

fn remember(record: &mut RecordFile, key: &Key) -> Result<(), EnrolError> {
    if let Some(begun) = record.key.as_mut() {
        begun.generated = Some(fingerprint(&key.spki));
        begun.public_key = Some(hex::encode(&key.spki));
    }
    Ok(record.save()?)
}

/// The attested key, `None` for one of a kind that the agent doesn't use.
fn read(plan: &Plan, attestation: Attestation) -> Result<Option<Key>, EnrolError> {
    let spki = attestation.public_key().map_err(EnrolError::Encoding)?;
    let public_key = SubjectPublicKeyInfoOwned::from_der(&spki).map_err(EnrolError::Encoding)?;
    let Some(algorithm) = KeyAlgorithm::of_public_key(&public_key) else {
        return Ok(None);
    };
    Ok(Some(Key { slot: plan.slot, algorithm, touch: plan.spec.touch, spki, attestation }))
}

fn fingerprint(public_key: &[u8]) -> String {
    hex::encode(Sha256::digest(public_key))
}

/// CSR, attestation and the signature over the challenge.
pub(super) fn evidence(
    token: &mut dyn Token,
    person: &mut dyn Person,
    key: &Key,
    pin: &Pin,
    user_id: &str,
    opened: &Opened,
) -> Result<Certify, EnrolError> {
    person.tell(Step::Signing);
    let spki = SubjectPublicKeyInfoOwned::from_der(&key.spki).map_err(EnrolError::Encoding)?;
    let csr = certification_request(&spki, key.algorithm.signature(), user_id, |message| {
        sign(token, person, key, &spki, pin, message)
    })?;
    let challenge =
        opened.challenge.as_ref().ok_or_else(|| EnrolError::RulesMalformed("no challenge".to_owned()))?;
    let challenge = challenge_message(&challenge.0, &key.spki);
    let challenge_signature = sign(token, person, key, &spki, pin, &challenge)?;
    Ok(Certify {
        csr: Base64Url(csr),
        evidence: token.evidence(key.slot, &key.attestation, &challenge)?,
        challenge_signature: Base64Url(challenge_signature),
        predecessor_signature: None,
    })
}

/// A signature that is right. The PIN is verified each time: with the policy "always" it holds for one signature.
fn sign(
    token: &mut dyn Token,
    person: &mut dyn Person,
    key: &Key,
    spki: &SubjectPublicKeyInfoOwned,
    pin: &Pin,
    message: &[u8],
) -> Result<Vec<u8>, EnrolError> {
    token.verify_pin(pin)?;
    if key.touch != TouchPolicy::Never {
        person.tell(Step::Touch);
    }
    let signature = token.sign(key.slot, key.algorithm, message)?;
    ca_x509::verify::verify(spki, key.algorithm.signature(), message, &signature)
        .map_err(|_| EnrolError::SignatureWrong)?;
    Ok(signature)
}
