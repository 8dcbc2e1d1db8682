//! The few commands that carry a PIN or that the `yubikey` crate lacks, sent over a connection of our own.
//!
//! The card's state (the application selected, the PIN verified, the management key authenticated) belongs to the card,
//! not to the connection, so what is done here holds for the crate's connection too.

use std::ffi::CString;

use zeroize::Zeroizing;

use crate::{
    secret::Pin,
    token::{Slot, TokenError},
};

const GET_VERSION: u8 = 0xfd;
const VERIFY: u8 = 0x20;
const CHANGE_REFERENCE_DATA: u8 = 0x24;
const RESET_RETRY_COUNTER: u8 = 0x2c;
/// Resets the PIV application, Yubico's own.
const RESET: u8 = 0xfb;
/// No token allows more tries.
const MOST_TRIES: usize = 256;
/// MOVE KEY; to destination `FF` it deletes (firmware 5.7).
const MOVE_KEY: u8 = 0xf6;

/// Which secret a command is about, as the key reference of NIST SP 800-73-4, table 4b.
#[derive(Clone, Copy)]
pub(super) enum Reference {
    Pin = 0x80,
    Puk = 0x81,
}

/// A shared connection that leaves the card as it is when it goes.
pub(super) struct Channel(Option<pcsc::Card>);

impl Channel {
    pub(super) fn connect(reader: &str) -> Result<Self, TokenError> {
        let fail = |error| TokenError::from_pcsc(error, "open the token");
        let name = CString::new(reader).map_err(|_| TokenError::Malformed("its reader's name"))?;
        let context = pcsc::Context::establish(pcsc::Scope::System).map_err(fail)?;
        let card = context.connect(&name, pcsc::ShareMode::Shared, pcsc::Protocols::T1).map_err(fail)?;
        Ok(Self(Some(card)))
    }

    /// VERIFY (SP 800-73-4 part 2, 3.2.1).
    pub(super) fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        let mut command = Zeroizing::new(vec![0, VERIFY, 0, Reference::Pin as u8, 8]);
        command.extend_from_slice(pin.padded().ok_or(TokenError::PinRefused)?.as_slice());
        TokenError::of_pin(self.transmit(&command, "verify the PIN")?, "verify the PIN")
    }

    /// CHANGE REFERENCE DATA (SP 800-73-4 part 2, 3.2.2).
    pub(super) fn change(&mut self, which: Reference, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        let action = match which {
            Reference::Pin => "change the PIN",
            Reference::Puk => "change the PUK",
        };
        let mut command = Zeroizing::new(vec![0, CHANGE_REFERENCE_DATA, 0, which as u8, 16]);
        for half in [current, new] {
            command.extend_from_slice(half.padded().ok_or(TokenError::PinRefused)?.as_slice());
        }
        TokenError::of_pin(self.transmit(&command, action)?, action)
    }

    /// RESET RETRY COUNTER (SP 800-73-4 part 2, 3.2.3).
    pub(super) fn unblock(&mut self, puk: &Pin, new: &Pin) -> Result<(), TokenError> {
        let action = "unblock the PIN";
        let mut command = Zeroizing::new(vec![0, RESET_RETRY_COUNTER, 0, Reference::Pin as u8, 16]);
        for half in [puk, new] {
            command.extend_from_slice(half.padded().ok_or(TokenError::PinRefused)?.as_slice());
        }
        TokenError::of_pin(self.transmit(&command, action)?, action)
    }

    /// Uses up the tries of PIN or PUK, with a value that it can't have: no set value begins with padding.
    pub(super) fn block(&mut self, which: Reference) -> Result<(), TokenError> {
        let action = "block PIN and PUK";
        let impossible = [0xff; 8];
        let command = match which {
            Reference::Pin => [&[0, VERIFY, 0, which as u8, 8][..], &impossible].concat(),
            Reference::Puk => {
                [&[0, CHANGE_REFERENCE_DATA, 0, which as u8, 16][..], &impossible, b"12345678"].concat()
            }
        };
        for _ in 0..MOST_TRIES {
            match TokenError::of_pin(self.transmit(&command, action)?, action) {
                Err(TokenError::PinBlocked) => return Ok(()),
                Err(TokenError::PinWrong { .. }) => {}
                Err(error) => return Err(error),
                Ok(()) => return Err(TokenError::Malformed(action)),
            }
        }
        Err(TokenError::Malformed(action))
    }

    /// RESET; PIN and PUK are blocked.
    pub(super) fn reset(&mut self) -> Result<(), TokenError> {
        let action = "reset";
        match self.transmit(&[0, RESET, 0, 0], action)? {
            0x9000 => Ok(()),
            status => Err(TokenError::Status { action, status }),
        }
    }

    /// Deletes a slot's key; a slot without one is as good.
    pub(super) fn delete_key(&mut self, slot: Slot) -> Result<(), TokenError> {
        let action = "delete the key";
        match self.transmit(&[0, MOVE_KEY, 0xff, slot.number()], action)? {
            0x9000 | 0x6a88 => Ok(()),
            status => Err(TokenError::Status { action, status }),
        }
    }

    /// MOVE KEY.
    pub(super) fn move_key(&mut self, from: Slot, to: Slot) -> Result<(), TokenError> {
        let action = "move the key";
        match self.transmit(&[0, MOVE_KEY, to.number(), from.number()], action)? {
            0x9000 => Ok(()),
            status => Err(TokenError::Status { action, status }),
        }
    }

    /// Whether the card no longer answers. pcscd may take half a second to say so by itself.
    pub(super) fn is_gone(&mut self) -> bool {
        self.transmit(&[0, GET_VERSION, 0, 0, 0], "say its version").is_err()
    }

    fn transmit(&mut self, command: &[u8], action: &'static str) -> Result<u16, TokenError> {
        let fail = |error| TokenError::from_pcsc(error, action);
        let card = self.0.as_mut().ok_or(TokenError::Removed)?;
        let transaction = card.transaction().map_err(fail)?;
        let mut buffer = [0; 258];
        let answer = transaction.transmit(command, &mut buffer).map_err(fail)?;
        // An answer without a status comes from a card that is pulled out at this moment.
        let status = answer.last_chunk::<2>().copied().ok_or(TokenError::Removed)?;
        transaction.end(pcsc::Disposition::LeaveCard).map_err(|(_, error)| fail(error))?;
        Ok(u16::from_be_bytes(status))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(card) = self.0.take() {
            // A card that is gone needs no goodbye.
            let _ = card.disconnect(pcsc::Disposition::LeaveCard);
        }
    }
}
