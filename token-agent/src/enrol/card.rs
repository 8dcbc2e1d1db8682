//! A card as the home of a key: its slot, PIN and management key.

use ca_wire::{
    Base64Url,
    enrolment::{Certify, DeviceClaim, KeyRequirements, Opened},
};
use jiff::Timestamp;

use super::{
    EnrolError, Order, Person,
    home::{Claim, Home, Issued, KeyAtHome, Place},
    install,
    key::{self, Key},
    prepare,
    record::RecordFile,
};
use crate::{
    custodian::Custodian,
    secret::Pin,
    token::{Firmware, Slot, Token, TokenDriver, TokenIdentity},
};

/// An opened card.
pub(super) struct CardHome<'a> {
    driver: &'a dyn TokenDriver,
    order: &'a Order,
    token: Box<dyn Token>,
}

/// A card with the key in its slot and the PIN verified.
struct CardKey<'a> {
    driver: &'a dyn TokenDriver,
    order: &'a Order,
    identity: TokenIdentity,
    token: Box<dyn Token>,
    pin: Pin,
    key: Key,
    /// Where the predecessor's key is.
    predecessor: Option<Slot>,
}

impl<'a> CardHome<'a> {
    pub(super) fn open(
        driver: &'a dyn TokenDriver,
        serial: &str,
        order: &'a Order,
    ) -> Result<Self, EnrolError> {
        let token = driver.open(serial)?;
        if let Some(firmware) = token.identity().firmware.filter(|firmware| *firmware < Firmware::OLDEST) {
            return Err(EnrolError::FirmwareTooOld(firmware));
        }
        Ok(Self { driver, order, token })
    }
}

impl Home for CardHome<'_> {
    fn claim(&self) -> Claim {
        let identity = self.token.identity();
        Claim {
            device: DeviceClaim {
                kind: identity.kind.as_str().to_owned(),
                serial: identity.serial.clone(),
                firmware: identity.firmware.unwrap_or(Firmware::NONE).to_string(),
            },
            tpm: None,
        }
    }

    fn key<'h>(
        self: Box<Self>,
        person: &mut dyn Person,
        rules: &KeyRequirements,
        record: &mut RecordFile,
        custodian: Option<&Custodian<'_>>,
        now: Timestamp,
    ) -> Result<Box<dyn KeyAtHome + 'h>, EnrolError>
    where
        Self: 'h,
    {
        let Self { driver, order, mut token } = *self;
        let identity = token.identity().clone();
        let predecessor = match &order.renews {
            Some(old) => old.locate(token.as_mut())?.map(|slot| (old, slot)),
            None => None,
        };
        // Later on the bank may have the old key's word already.
        if order.renews.is_some() && predecessor.is_none() && record.key.is_none() {
            return Err(EnrolError::PredecessorGone);
        }
        let plan = key::plan(rules, token.as_mut(), order, record, predecessor)?;
        let pin = prepare::prepare(token.as_mut(), person, order.management_key.as_ref(), custodian)?;
        let predecessor = key::make_way(token.as_mut(), person, &plan, predecessor, now)?;
        let key = key::obtain(token.as_mut(), person, &plan, record)?;
        Ok(Box::new(CardKey { driver, order, identity, token, pin, key, predecessor }))
    }
}

impl KeyAtHome for CardKey<'_> {
    fn public_key(&self) -> &[u8] {
        &self.key.spki
    }

    fn evidence(
        &mut self,
        person: &mut dyn Person,
        user_id: &str,
        opened: &Opened,
    ) -> Result<Certify, EnrolError> {
        let token = self.token.as_mut();
        let mut certify = key::evidence(token, person, &self.key, &self.pin, user_id, opened)?;
        if let Some(old) = &self.order.renews {
            let slot = self.predecessor.ok_or(EnrolError::PredecessorGone)?;
            let signature = key::sign_renewal(token, person, old, slot, &self.key, &self.pin, opened)?;
            certify.predecessor_signature = Some(Base64Url(signature));
        }
        Ok(certify)
    }

    fn predecessor(&self) -> Option<String> {
        self.predecessor.map(|slot| slot.to_string())
    }

    fn install(
        self: Box<Self>,
        person: &mut dyn Person,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Place, EnrolError> {
        let Self { driver, order, identity, token, pin, key, .. } = *self;
        // The card is closed while it isn't needed and found again by its serial: a swapped one is noticed.
        drop(token);
        let mut token = driver.open(&identity.serial)?;
        install::install(token.as_mut(), person, order, &pin, key.slot, &issued.certificate, now)?;
        Ok(Place::Card { token: identity, slot: key.slot })
    }
}
