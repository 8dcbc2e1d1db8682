//! The bank's custody of a token's PUK, as whoever sets one sees it. A PUK is deposited before the token gets it and
//! confirmed after, so that whatever is interrupted, what the token has is among those that the bank keeps. Neither a
//! person nor this computer's disk ever sees one.

use ca_wire::token::Occasion;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    secret::Pin,
    server::{
        ServerError,
        custody::{Authority, CustodyApi},
    },
};

/// The custody, for one enrolment or unblocking.
pub(crate) struct Custodian<'a> {
    api: &'a dyn CustodyApi,
    authority: Authority,
}

impl<'a> Custodian<'a> {
    pub(crate) fn new(api: &'a dyn CustodyApi, occasion: Occasion, bearer: &str) -> Self {
        Self { api, authority: Authority { occasion, bearer: bearer.to_owned() } }
    }

    /// Keeps a fresh PUK and returns it with the deposit's name, to be set now; `proven` is the deposit whose PUK the
    /// token has just accepted, `None` when it has the factory's.
    pub(crate) fn fresh(&self, proven: Option<Uuid>) -> Result<(Uuid, Pin), ServerError> {
        let (deposit, puk) = (Uuid::new_v4(), random_puk());
        self.api.deposit(&self.authority, deposit, &puk, proven)?;
        Ok((deposit, puk))
    }

    /// The token has it.
    pub(crate) fn confirm(&self, deposit: Uuid) -> Result<(), ServerError> {
        self.api.confirm_deposit(&self.authority, deposit)
    }
}

/// Eight characters with 40 random bits; three tries is all that anybody has.
pub(crate) fn random_puk() -> Pin {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let random: Zeroizing<[u8; 8]> = Zeroizing::new(rand::random());
    let characters = random.iter().map(|octet| ALPHABET[usize::from(octet % 32)]).collect();
    Pin::of_octets(Zeroizing::new(characters))
}
