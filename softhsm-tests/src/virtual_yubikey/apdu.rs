//! Command APDUs (ISO 7816-4: short and extended) and how long responses leave the card in pieces.

use super::status::Status;

/// The most a chained command may carry; a YubiKey's own limit is about 3 kB.
const MAX_CHAINED: usize = 4096;
/// CLA bit that says more of this command follows.
const CHAINING: u8 = 0x10;

/// A decoded command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Class byte without the chaining bit.
    pub class: u8,
    /// Instruction.
    pub instruction: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    /// Data field, joined when the command came in a chain.
    pub data: Vec<u8>,
    /// How many bytes of response fit into one answer.
    pub expected: usize,
    more_follows: bool,
}

impl Command {
    /// Decodes the bytes of one APDU.
    ///
    /// # Errors
    /// `6700` when header, Lc, data and Le don't add up.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Status> {
        let (header, body) = bytes.split_first_chunk::<4>().ok_or(Status::WRONG_LENGTH)?;
        let [class, instruction, p1, p2] = *header;
        let (data, expected) = match body {
            [] => (&[][..], 256),
            [le] => (&[][..], short_expected(*le)),
            [0, high, low] => (&[][..], extended_expected(*high, *low)),
            [0, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let data = rest.get(..length).ok_or(Status::WRONG_LENGTH)?;
                match &rest[length..] {
                    [] => (data, 65536),
                    [high, low] => (data, extended_expected(*high, *low)),
                    _ => return Err(Status::WRONG_LENGTH),
                }
            }
            [length, rest @ ..] => {
                let length = usize::from(*length);
                let data = rest.get(..length).ok_or(Status::WRONG_LENGTH)?;
                match &rest[length..] {
                    [] => (data, 256),
                    [le] => (data, short_expected(*le)),
                    _ => return Err(Status::WRONG_LENGTH),
                }
            }
        };
        Ok(Self {
            class: class & !CHAINING,
            instruction,
            p1,
            p2,
            data: data.to_vec(),
            expected,
            more_follows: class & CHAINING != 0,
        })
    }
}

fn short_expected(le: u8) -> usize {
    if le == 0 { 256 } else { usize::from(le) }
}

fn extended_expected(high: u8, low: u8) -> usize {
    match u16::from_be_bytes([high, low]) {
        0 => 65536,
        length => usize::from(length),
    }
}

/// Joins chained commands and cuts long responses; holds what is in between.
#[derive(Debug, Default)]
pub(super) struct Transport {
    chain: Option<Command>,
    pending: Vec<u8>,
}

impl Transport {
    /// Forgets half-received commands and half-sent responses.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Adds a command to its chain; `Ok(None)` while more must follow.
    ///
    /// # Errors
    /// `6700` when the chain grows beyond what the card can hold.
    pub(super) fn receive(&mut self, mut command: Command) -> Result<Option<Command>, Status> {
        if let Some(mut earlier) = self.chain.take() {
            let same = (earlier.instruction, earlier.p1, earlier.p2)
                == (command.instruction, command.p1, command.p2);
            if same {
                earlier.data.append(&mut command.data);
                command.data = earlier.data;
            }
            // Another command breaks the chain off; the card then serves that one alone.
        }
        if command.data.len() > MAX_CHAINED {
            return Err(Status::WRONG_LENGTH);
        }
        if command.more_follows {
            self.chain = Some(command);
            return Ok(None);
        }
        Ok(Some(command))
    }

    /// The first answer to a command: at most `expected` bytes, the rest kept for GET RESPONSE.
    pub(super) fn respond(&mut self, data: Vec<u8>, expected: usize) -> Vec<u8> {
        self.pending = data;
        self.continue_response(expected)
    }

    /// The next piece of a response.
    pub(super) fn continue_response(&mut self, expected: usize) -> Vec<u8> {
        let length = self.pending.len().min(expected);
        let rest = self.pending.split_off(length);
        let piece = std::mem::replace(&mut self.pending, rest);
        let status = if self.pending.is_empty() { Status::OK } else { Status::more_data(self.pending.len()) };
        answer(piece, status)
    }

    /// Whether GET RESPONSE has anything to give.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// A response APDU.
pub(super) fn answer(mut data: Vec<u8>, status: Status) -> Vec<u8> {
    data.extend(status.0.to_be_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_seven_cases_of_iso_7816_are_read() {
        let cases: [(&[u8], &[u8], usize); 7] = [
            (&[0, 1, 2, 3], &[], 256),
            (&[0, 1, 2, 3, 9], &[], 9),
            (&[0, 1, 2, 3, 2, 7, 8], &[7, 8], 256),
            (&[0, 1, 2, 3, 2, 7, 8, 0], &[7, 8], 256),
            (&[0, 1, 2, 3, 0, 1, 0], &[], 256),
            (&[0, 1, 2, 3, 0, 0, 2, 7, 8], &[7, 8], 65536),
            (&[0, 1, 2, 3, 0, 0, 2, 7, 8, 0, 5], &[7, 8], 5),
        ];
        for (bytes, data, expected) in cases {
            let command = Command::parse(bytes).expect("valid");
            assert_eq!((command.data.as_slice(), command.expected), (data, expected), "{bytes:02x?}");
        }
        assert_eq!(Command::parse(&[0, 1, 2]), Err(Status::WRONG_LENGTH));
        assert_eq!(Command::parse(&[0, 1, 2, 3, 5, 1]), Err(Status::WRONG_LENGTH));
    }

    #[test]
    fn a_chain_is_joined_and_a_long_response_is_cut() {
        let mut transport = Transport::default();
        let first = Command::parse(&[0x10, 0xdb, 0x3f, 0xff, 2, 1, 2]).expect("valid");
        assert_eq!(transport.receive(first), Ok(None));
        let last = Command::parse(&[0, 0xdb, 0x3f, 0xff, 1, 3]).expect("valid");
        let joined = transport.receive(last).expect("fits").expect("complete");
        assert_eq!(joined.data, [1, 2, 3]);

        let first = transport.respond(vec![5; 300], 256);
        assert_eq!(first[256..], [0x61, 44]);
        let second = transport.continue_response(256);
        assert_eq!(second[44..], [0x90, 0x00]);
        assert!(!transport.has_pending());
    }
}
