//! After the grace: key and certificate of what was renewed are erased, and where the token moves keys (firmware 5.7) the
//! successor comes home into the slot that became free. Nothing is done that the token doesn't show to be right: the
//! successor must be there, and what is erased must be what was renewed. Ended at any point, the next run goes on.

use agent_tpm::TpmError;
use jiff::{SignedDuration, Timestamp};

use crate::{
    enrol::{
        EnrolError, Person, Records, Retired, Seat, Step, fresh_identifiers, holds_key, relocate, unlock,
    },
    renew::Once,
    token::{KeyPresence, ManagementKey, Slot, Token, TokenDriver, TokenError},
    tpm::Machine,
};

/// How superseded certificates are treated.
pub(crate) struct Terms<'a> {
    pub(crate) grace: SignedDuration,
    /// Whether a successor moves into its predecessor's slot where it can.
    pub(crate) come_home: bool,
    /// Only on the token with this serial.
    pub(crate) only: Option<&'a str>,
    /// For a token whose management key is neither the factory's nor kept on it.
    pub(crate) management_key: Option<&'a ManagementKey>,
}

/// A certificate that was renewed, and what became of it.
#[derive(Debug)]
pub(crate) struct Retirement {
    pub(crate) retired: Retired,
    pub(crate) fate: Fate,
}

/// What became of a superseded certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is erased; where its successor is now, as a slot or the number of a key in the TPM.
    Erased { successor: String },
    /// Its grace isn't over.
    Waits { until: Timestamp },
    /// Its token isn't connected.
    Away,
    /// Its successor isn't on the token any more, so it stays.
    Kept,
}

/// Erases what is due on the connected tokens.
///
/// # Errors
/// What a token says; the next run goes on.
pub(crate) fn finish(
    driver: &dyn TokenDriver,
    machine: Option<&Machine>,
    person: &mut Once<'_>,
    records: &Records,
    terms: &Terms<'_>,
    now: Timestamp,
) -> Result<Vec<Retirement>, EnrolError> {
    let mut done = Vec::new();
    for retired in records.retired()? {
        if terms.only.is_some_and(|only| only != retired.token_serial) {
            continue;
        }
        let until = retired.due(terms.grace);
        let fate = if now < until {
            Fate::Waits { until }
        } else if retired.kind == "tpm" {
            finish_key(machine, person, &retired)?
        } else {
            person.turn_to(&retired.token_serial);
            finish_card(driver, person, &retired, terms, now)?
        };
        if matches!(fate, Fate::Erased { .. }) {
            records.forget_retired(&retired)?;
        }
        done.push(Retirement { retired, fate });
    }
    Ok(done)
}

/// A token that is asked for its PIN when something is to be changed, and no earlier.
struct Lazily<'a, 'b> {
    token: Box<dyn Token>,
    person: &'a mut Once<'b>,
    management_key: Option<&'a ManagementKey>,
    unlocked: bool,
}

impl Lazily<'_, '_> {
    fn unlocked(&mut self) -> Result<&mut dyn Token, EnrolError> {
        if !self.unlocked {
            unlock(self.token.as_mut(), self.person, self.management_key)?;
            self.unlocked = true;
        }
        Ok(self.token.as_mut())
    }
}

fn finish_card(
    driver: &dyn TokenDriver,
    person: &mut Once<'_>,
    retired: &Retired,
    terms: &Terms<'_>,
    now: Timestamp,
) -> Result<Fate, EnrolError> {
    let token = match driver.open(&retired.token_serial) {
        Err(TokenError::NotConnected { .. } | TokenError::NoService(_)) => return Ok(Fate::Away),
        other => other?,
    };
    let slots = (Slot::parse(&retired.old.place), Slot::parse(&retired.new.place));
    let (Some(old), Some(new)) = slots else { return Ok(Fate::Kept) };
    let mut card = Lazily { token, person, management_key: terms.management_key, unlocked: false };
    let token = card.token.as_mut();
    let at = match (stands(token, new, &retired.new)?, stands(token, old, &retired.new)?) {
        (true, _) => Some(new),
        (false, true) => Some(old),
        (false, false) => None,
    };
    let left = is_left(token, old, &retired.old)?;
    let Some(at) = at else {
        // Nothing to erase is as good as erased.
        let successor = retired.new.place.clone();
        return Ok(if left { Fate::Kept } else { Fate::Erased { successor } });
    };
    if left {
        card.person.tell(Step::Retiring { slot: old });
        erase(card.unlocked()?, old, &retired.old, now)?;
    }
    let successor = if terms.come_home { come_home(&mut card, retired, old, at, now)? } else { at };
    Ok(Fate::Erased { successor: successor.to_string() })
}

/// The key goes first: an interruption leaves at most a certificate without it.
fn erase(token: &mut dyn Token, slot: Slot, seat: &Seat, now: Timestamp) -> Result<(), EnrolError> {
    if is_its_key(token, slot, seat)? {
        token.destroy_key(slot)?;
    }
    if is_its_certificate(token, slot, seat)? {
        token.delete_certificate(slot)?;
    }
    Ok(token.write_identifiers(&fresh_identifiers(now))?)
}

/// Brings the successor into the slot of what it succeeds, if that is free; returns where it is.
fn come_home(
    card: &mut Lazily<'_, '_>,
    retired: &Retired,
    home: Slot,
    at: Slot,
    now: Timestamp,
) -> Result<Slot, EnrolError> {
    let token = card.token.as_mut();
    let Some(abroad) = Slot::parse(&retired.new.place).filter(|_| token.moves_keys()) else { return Ok(at) };
    let half_way = is_its_certificate(token, home, &retired.new)?;
    let moved = at == home;
    if moved && (home == abroad || !is_its_certificate(token, abroad, &retired.new)?) {
        return Ok(home);
    }
    let occupied = matches!(token.slot(home)?.key, KeyPresence::Present { .. }) && !moved;
    let other = token.certificate(home)?.is_some() && !half_way;
    if occupied || other {
        return Ok(at);
    }
    let Some(certificate) = token.certificate(at)? else { return Ok(at) };
    let Ok(spki) = hex::decode(&retired.new.public_key) else { return Ok(at) };
    card.person.tell(Step::Moving { from: abroad, to: home });
    relocate(card.unlocked()?, &certificate, &spki, abroad, home, now)?;
    Ok(home)
}

/// Whether certificate and key of a seat are in this slot.
fn stands(token: &mut dyn Token, slot: Slot, seat: &Seat) -> Result<bool, EnrolError> {
    Ok(is_its_certificate(token, slot, seat)? && is_its_key(token, slot, seat)?)
}

/// Whether anything of a seat is in this slot.
fn is_left(token: &mut dyn Token, slot: Slot, seat: &Seat) -> Result<bool, EnrolError> {
    Ok(is_its_certificate(token, slot, seat)? || vouched(token, slot, seat)?)
}

fn is_its_certificate(token: &mut dyn Token, slot: Slot, seat: &Seat) -> Result<bool, EnrolError> {
    Ok(token.certificate(slot)?.is_some_and(|certificate| seat.is(&certificate)))
}

fn vouched(token: &mut dyn Token, slot: Slot, seat: &Seat) -> Result<bool, EnrolError> {
    match hex::decode(&seat.public_key) {
        Ok(spki) => holds_key(token, slot, &spki),
        Err(_) => Ok(false),
    }
}

/// Whether a slot's key is the seat's: what the token says of it; where it can't, what its certificate says.
fn is_its_key(token: &mut dyn Token, slot: Slot, seat: &Seat) -> Result<bool, EnrolError> {
    if token.attest(slot)?.is_some() {
        return vouched(token, slot, seat);
    }
    let there = !matches!(token.slot(slot)?.key, KeyPresence::Absent | KeyPresence::Destroyed);
    Ok(there && is_its_certificate(token, slot, seat)?)
}

fn finish_key(
    machine: Option<&Machine>,
    person: &mut Once<'_>,
    retired: &Retired,
) -> Result<Fate, EnrolError> {
    let Some(machine) = machine else { return Ok(Fate::Away) };
    let mut tpm = match machine.open() {
        Err(TpmError::Absent { .. } | TpmError::Unsupported(_)) => return Ok(Fate::Away),
        other => other?,
    };
    if tpm.identity()?.serial != retired.token_serial {
        return Ok(Fate::Away);
    }
    let keys = tpm.keys()?;
    let key_of = |seat: &Seat| keys.iter().find(|key| hex::encode(&key.spki) == seat.public_key);
    let successor = key_of(&retired.new);
    if let Some(old) = key_of(&retired.old) {
        if successor.is_none() {
            return Ok(Fate::Kept);
        }
        person.tell(Step::ErasingTpmKey { place: old.place });
        match tpm.erase(old) {
            Ok(()) | Err(TpmError::KeyGone(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    take_off_the_shelf(machine, retired)?;
    let successor = successor.map_or_else(|| retired.new.place.clone(), |key| key.place.to_string());
    Ok(Fate::Erased { successor })
}

/// Takes the file of a superseded certificate away; its key stays.
pub(super) fn take_off_the_shelf(machine: &Machine, retired: &Retired) -> Result<(), EnrolError> {
    for entry in machine.shelf.entries()? {
        if retired.old.is(&entry.certificate) {
            machine.shelf.remove(&entry.key_name)?;
        }
    }
    Ok(())
}
