//! A card as the home of a key: its slot, PIN and management key.

use ca_wire::enrolment::{Certify, DeviceClaim, KeyRequirements, Opened};
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
    secret::Pin,
    token::{Firmware, Token, TokenDriver, TokenIdentity},
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
    ) -> Result<Box<dyn KeyAtHome + 'h>, EnrolError>
    where
        Self: 'h,
    {
        let Self { driver, order, mut token } = *self;
        let identity = token.identity().clone();
        let plan = key::plan(rules, token.as_ref(), order, record)?;
        let pin = prepare::prepare(token.as_mut(), person, order.management_key.as_ref())?;
        let key = key::obtain(token.as_mut(), person, &plan, record)?;
        Ok(Box::new(CardKey { driver, order, identity, token, pin, key }))
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
        key::evidence(self.token.as_mut(), person, &self.key, &self.pin, user_id, opened)
    }

    fn install(
        self: Box<Self>,
        person: &mut dyn Person,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Place, EnrolError> {
        let Self { driver, order, identity, token, pin, key } = *self;
        // The card is closed while it isn't needed and found again by its serial: a swapped one is noticed.
        drop(token);
        let mut token = driver.open(&identity.serial)?;
        install::install(token.as_mut(), person, order, &pin, key.slot, &issued.certificate, now)?;
        Ok(Place::Card { token: identity, slot: key.slot })
    }
}
