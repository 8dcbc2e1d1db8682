//! Commands to a card over PC/SC (ISO 7816-4): long ones in a chain, their answers put together.

use std::ffi::CStr;

use zeroize::Zeroizing;

use crate::token::TokenError;

/// CLA: more of this command follows.
const CHAINING: u8 = 0x10;
const GET_RESPONSE: u8 = 0xc0;
/// The most that one short command carries.
const LONGEST: usize = 255;
/// No answer of a card is longer.
const LARGEST_ANSWER: usize = 64 * 1024;

/// A command; `action` says what it is for, to people.
pub(super) struct Command<'a> {
    pub(super) action: &'static str,
    pub(super) instruction: u8,
    pub(super) p1: u8,
    pub(super) p2: u8,
    pub(super) data: &'a [u8],
}

/// What the card said.
pub(super) struct Answer {
    pub(super) data: Vec<u8>,
    pub(super) status: u16,
}

impl Answer {
    /// The data, where the card did what was asked.
    pub(super) fn done(self, action: &'static str) -> Result<Vec<u8>, TokenError> {
        match self.status {
            0x9000 => Ok(self.data),
            status => Err(TokenError::Status { action, status }),
        }
    }
}

/// A shared connection. Dropped, it leaves the card as it is.
pub(super) struct Connection {
    card: Option<pcsc::Card>,
    /// The card didn't answer any more.
    is_gone: bool,
    /// T=0 takes no length of the answer beside data.
    expects_length: bool,
}

impl Connection {
    pub(super) fn connect(context: &pcsc::Context, reader: &CStr) -> Result<Self, pcsc::Error> {
        let card = context.connect(reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY)?;
        let expects_length = card.status2_owned()?.protocol2() == Some(pcsc::Protocol::T1);
        Ok(Self { card: Some(card), is_gone: false, expects_length })
    }

    /// Sends a command, whole or not at all as far as other programs are concerned.
    pub(super) fn exchange(&mut self, command: &Command<'_>) -> Result<Answer, TokenError> {
        let answer = self.send(command);
        self.is_gone |= answer.as_ref().is_err_and(TokenError::is_absence);
        answer
    }

    fn send(&mut self, command: &Command<'_>) -> Result<Answer, TokenError> {
        let fail = |error| TokenError::from_pcsc(error, command.action);
        let card = self.card.as_mut().ok_or(TokenError::Removed)?;
        let transaction = card.transaction().map_err(fail)?;
        let mut parts = command.data.chunks(LONGEST).peekable();
        let mut answer = match parts.peek() {
            None => transmit(&transaction, command, &header(command, 0, &[], true))?,
            Some(_) => Answer { data: Vec::new(), status: 0x9000 },
        };
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let class = if last { 0 } else { CHAINING };
            let octets = header(command, class, part, last && self.expects_length);
            answer = transmit(&transaction, command, &octets)?;
            if !last && answer.status != 0x9000 {
                break;
            }
        }
        while let [0x61, more] = answer.status.to_be_bytes() {
            let next = transmit(&transaction, command, &[0, GET_RESPONSE, 0, 0, more])?;
            answer.data.extend_from_slice(&next.data);
            answer.status = next.status;
            if answer.data.len() > LARGEST_ANSWER {
                return Err(TokenError::Malformed(command.action));
            }
        }
        transaction.end(pcsc::Disposition::LeaveCard).map_err(|(_, error)| fail(error))?;
        Ok(answer)
    }

    /// Makes the card forget what was proven to it.
    pub(super) fn reset(&mut self) -> Result<(), TokenError> {
        let card = self.card.as_mut().ok_or(TokenError::Removed)?;
        card.reconnect(pcsc::ShareMode::Shared, pcsc::Protocols::ANY, pcsc::Disposition::ResetCard)
            .map_err(|error| TokenError::from_pcsc(error, "reset the token"))
    }

    /// Lets go of the card, which forgets what was proven to it. One that is gone is left alone: resetting it would
    /// confuse pcscd about the reader.
    pub(super) fn end(mut self) {
        if !self.is_gone {
            self.disconnect(pcsc::Disposition::ResetCard);
        }
    }

    fn disconnect(&mut self, disposition: pcsc::Disposition) {
        if let Some(card) = self.card.take() {
            // A card that is gone needs no goodbye.
            let _ = card.disconnect(disposition);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.disconnect(pcsc::Disposition::LeaveCard);
    }
}

fn header(command: &Command<'_>, class: u8, data: &[u8], expects_length: bool) -> Zeroizing<Vec<u8>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(data.len() + 6));
    octets.extend([class, command.instruction, command.p1, command.p2]);
    // At most LONGEST.
    octets.extend(u8::try_from(data.len()).ok().filter(|length| *length > 0));
    octets.extend_from_slice(data);
    octets.extend(expects_length.then_some(0));
    octets
}

fn transmit(
    transaction: &pcsc::Transaction<'_>,
    command: &Command<'_>,
    octets: &[u8],
) -> Result<Answer, TokenError> {
    let mut buffer = [0; 258];
    let fail = |error| TokenError::from_pcsc(error, command.action);
    let answer = transaction.transmit(octets, &mut buffer).map_err(fail)?;
    // An answer without a status comes from a card that is pulled out at this moment.
    let (data, status) = answer.split_last_chunk::<2>().ok_or(TokenError::Removed)?;
    Ok(Answer { data: data.to_vec(), status: u16::from_be_bytes(*status) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_short_and_may_be_chained() {
        let command = Command { action: "x", instruction: 0xdb, p1: 0x3f, p2: 0xff, data: &[] };
        assert_eq!(*header(&command, 0, &[], true), [0, 0xdb, 0x3f, 0xff, 0]);
        assert_eq!(*header(&command, CHAINING, &[7, 8], false), [0x10, 0xdb, 0x3f, 0xff, 2, 7, 8]);
        assert_eq!(header(&command, 0, &[1; LONGEST], true).len(), 4 + 1 + LONGEST + 1);
    }
}
