//! The key of an enrolment: which slot and kind, generating or finding it again, and the evidence that goes with it.

use ca_wire::{
    Base64Url,
    enrolment::{Certify, KeyRequirements, Opened, challenge_message},
};
use der::Decode;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;

use super::{
    EnrolError, Order, Person, Predecessor, Question, Step,
    record::{KeyRecord, Record, RecordFile},
    relocate::relocate,
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
    /// Where the predecessor goes first, because the bank permits no other slot than its own.
    give_way: Option<Slot>,
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

/// Decides slot and kind from the server's rules, what the token can and holds, what was ordered, and an enrolment under
/// way. A renewal's slot is never that of its predecessor.
pub(super) fn plan(
    rules: &KeyRequirements,
    token: &mut dyn Token,
    order: &Order,
    record: &Record,
    predecessor: Option<(&Predecessor, Slot)>,
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
        return Ok(Plan { slot, spec: KeySpec { algorithm, pin, touch }, give_way: None });
    }
    let (slot, give_way) = match predecessor {
        None => (choose_slot(rules, order)?, None),
        Some((old, at)) => choose_other_slot(rules, token, order, old, at)?,
    };
    let algorithm = choose_algorithm(rules, token, order)?;
    Ok(Plan { slot, spec: KeySpec { algorithm, pin, touch }, give_way })
}

/// The slot of a renewal's key, and the one that the predecessor moves to before, where it has to.
fn choose_other_slot(
    rules: &KeyRequirements,
    token: &mut dyn Token,
    order: &Order,
    old: &Predecessor,
    at: Slot,
) -> Result<(Slot, Option<Slot>), EnrolError> {
    if let Some(slot) = order.slot {
        choose_slot(rules, order)?;
        return if slot == at { Err(EnrolError::NoOtherSlot { slot }) } else { Ok((slot, None)) };
    }
    let permitted: Vec<Slot> = rules.slots.iter().filter_map(|slot| Slot::parse(slot)).collect();
    let others = || permitted.iter().copied().filter(|slot| *slot != at);
    let free = first_free(token, old, others())?;
    if let Some(slot) = free.or_else(|| others().next()) {
        return Ok((slot, None));
    }
    // The bank counts the slot in which a key was made; since then it may have come home.
    let refuge = if token.moves_keys() && permitted.contains(&at) {
        first_free(token, old, WELL_KNOWN.into_iter().filter_map(Slot::parse).filter(|slot| *slot != at))?
    } else {
        None
    };
    match refuge {
        Some(refuge) => Ok((at, Some(refuge))),
        None => Err(EnrolError::NoOtherSlot { slot: at }),
    }
}

/// The slots that every program looks into, but for the one that needs no PIN.
const WELL_KNOWN: [&str; 3] = ["9a", "9c", "9d"];

/// The first slot that holds nothing, or what an interrupted move left: the predecessor's certificate without its key.
fn first_free(
    token: &mut dyn Token,
    old: &Predecessor,
    slots: impl Iterator<Item = Slot>,
) -> Result<Option<Slot>, EnrolError> {
    for slot in slots {
        let mut state = token.slot(slot)?;
        state.certificate = state.certificate.filter(|certificate| *certificate != old.certificate);
        if state.is_free() {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// Moves the predecessor out of the way where the plan says so, and clears away what an interrupted move left; returns
/// where the predecessor is afterwards. The token is unlocked.
pub(super) fn make_way(
    token: &mut dyn Token,
    person: &mut dyn Person,
    plan: &Plan,
    predecessor: Option<(&Predecessor, Slot)>,
    now: Timestamp,
) -> Result<Option<Slot>, EnrolError> {
    let Some((old, at)) = predecessor else { return Ok(None) };
    if let Some(refuge) = plan.give_way {
        person.tell(Step::Moving { from: at, to: refuge });
        relocate(token, &old.certificate, &old.spki, at, refuge, now)?;
        return Ok(Some(refuge));
    }
    // A certificate without its key.
    if plan.slot != at && token.certificate(plan.slot)?.as_ref() == Some(&old.certificate) {
        token.delete_certificate(plan.slot)?;
    }
    Ok(Some(at))
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
    let challenge = challenge_message(challenge_of(opened)?, &key.spki);
    let challenge_signature = sign(token, person, key, &spki, pin, &challenge)?;
    Ok(Certify {
        csr: Base64Url(csr),
        evidence: token.evidence(key.slot, &key.attestation, &challenge)?,
        challenge_signature: Base64Url(challenge_signature),
        predecessor_signature: None,
    })
}

/// The predecessor's key's signature for the new key.
pub(super) fn sign_renewal(
    token: &mut dyn Token,
    person: &mut dyn Person,
    old: &Predecessor,
    slot: Slot,
    new: &Key,
    pin: &Pin,
    opened: &Opened,
) -> Result<Vec<u8>, EnrolError> {
    let challenge = challenge_of(opened)?;
    let message = Predecessor::message(challenge, &new.spki);
    person.tell(Step::SigningRenewal);
    token.verify_pin(pin)?;
    // What the old key asks for, the token doesn't tell; the bank's rules rarely change.
    if new.touch != TouchPolicy::Never {
        person.tell(Step::Touch);
    }
    let signature = token.sign(slot, old.algorithm, &message)?;
    old.verify(&message, &signature)?;
    Ok(signature)
}

fn challenge_of(opened: &Opened) -> Result<&[u8], EnrolError> {
    let challenge = opened.challenge.as_ref().map(|challenge| challenge.0.as_slice());
    challenge.ok_or_else(|| EnrolError::RulesMalformed("no challenge".to_owned()))
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
