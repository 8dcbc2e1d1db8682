//! A custodian's own PIV token (NIST SP 800-73-4), over PC/SC: its certificate for key management, and one key
//! agreement in slot 9d. Any PIV card will do; nothing here is a vendor's.
//!
//! PIN and key are used within one transaction, after which the card is reset: nobody else uses the PIN that was given.

use std::ffi::{CStr, CString};

use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged, asn1::AnyRef};
use pcsc::{Context, Disposition, Protocols, Scope, ShareMode, Transaction};
use secrecy::{ExposeSecret, SecretString};
use x509_cert::{Certificate, spki::SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::envelope::{Curve, EnvelopeError};

const APPLICATION: &[u8] = &[0xa0, 0x00, 0x00, 0x03, 0x08];
/// X.509 certificate for key management (part 1, table 3).
const CERTIFICATE: [u8; 3] = [0x5f, 0xc1, 0x0b];
/// The key management key (part 1, table 4b).
const SLOT: u8 = 0x9d;
const PIN: u8 = 0x80;
const PIN_LENGTH: usize = 8;

/// Tags of the card's data objects (part 1, appendix A) and templates (part 2, 3.2.4).
const OBJECT: Tag = Tag::Application { constructed: false, number: TagNumber(0x13) };
const OBJECT_CERTIFICATE: Tag = Tag::Application { constructed: true, number: TagNumber(0x10) };
const OBJECT_INFO: Tag = Tag::Application { constructed: true, number: TagNumber(0x11) };
const TEMPLATE: Tag = Tag::Application { constructed: true, number: TagNumber(0x1c) };
const TEMPLATE_RESPONSE: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(2) };

/// Why a token can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PivError {
    /// There is no PC/SC service or reader.
    #[error("no reader can be used: is pcscd running and a reader plugged in?")]
    NoReader(#[source] pcsc::Error),
    /// The card in a reader stopped answering.
    #[error("the token in {reader} doesn't answer: put it in again")]
    Card {
        /// Where.
        reader: String,
        /// What PC/SC says.
        #[source]
        source: pcsc::Error,
    },
    /// No card has this key.
    #[error("the token with that key is in no reader")]
    Absent,
    /// The PIN was wrong.
    #[error("the token refused the PIN; {left} tries are left")]
    PinWrong {
        /// Tries left.
        left: u8,
    },
    /// It takes no PIN any more.
    #[error("the token's PIN is blocked: unblock it with its PUK, or use another custodian's share")]
    PinBlocked,
    /// Not a PIV PIN.
    #[error("a PIV token's PIN has 1 to 8 characters")]
    PinForm,
    /// Nobody touched it.
    #[error("the token didn't use its key: was it touched in time?")]
    NotTouched,
    /// Another answer.
    #[error("the token answered {status:04x} when asked to {action}")]
    Status {
        /// The status word.
        status: u16,
        /// What it was asked.
        action: &'static str,
    },
    /// Its answer has not the standard's form.
    #[error("the token's answer can't be understood when asked to {0}")]
    Malformed(&'static str),
    /// Its certificate can't be used.
    #[error("the certificate in slot 9d can't be used")]
    Certificate(#[source] EnvelopeError),
}

/// A PIV token that is in a reader.
#[derive(Debug)]
pub struct Token {
    /// The reader's name.
    pub reader: String,
    /// What slot 9d holds.
    pub certificate: Certificate,
}

/// The PIV tokens that have a certificate in slot 9d, by reader. Whatever else is plugged in is passed over.
///
/// # Errors
/// [`PivError::NoReader`] when there is no service.
pub fn tokens() -> Result<Vec<Token>, PivError> {
    let context = Context::establish(Scope::User).map_err(PivError::NoReader)?;
    let readers = match context.list_readers_owned() {
        Ok(readers) => readers,
        Err(pcsc::Error::NoReadersAvailable) => Vec::new(),
        Err(error) => return Err(PivError::NoReader(error)),
    };
    Ok(readers.iter().filter_map(|reader| look(&context, reader).ok()).collect())
}

/// The token whose slot 9d has this key, among those in readers.
pub(super) fn token_with(key: &[u8]) -> Result<Token, PivError> {
    let has_key = |token: &Token| spki(token).subject_public_key.raw_bytes() == key;
    tokens()?.into_iter().find(has_key).ok_or(PivError::Absent)
}

fn spki(token: &Token) -> &SubjectPublicKeyInfoOwned {
    token.certificate.tbs_certificate().subject_public_key_info()
}

fn look(context: &Context, reader: &CStr) -> Result<Token, PivError> {
    with_card(context, reader, |card| {
        let object = card.get(CERTIFICATE)?;
        let certificate = certificate_in(&object)?;
        Ok(Token { reader: card.reader.clone(), certificate })
    })
}

impl Token {
    /// Tries left for its PIN, if it tells.
    pub(super) fn tries(&self) -> Result<Option<u8>, PivError> {
        self.with(|card| Ok(card.tries()))
    }

    /// Gives the PIN and agrees with a point: the x coordinate. Blocks until the token was touched, where it asks for it.
    pub(super) fn agree(
        &self,
        pin: &SecretString,
        curve: Curve,
        point: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, PivError> {
        self.with(|card| {
            card.verify(pin)?;
            card.agree(curve, point)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connected<'_>) -> Result<T, PivError>) -> Result<T, PivError> {
        let context = Context::establish(Scope::User).map_err(PivError::NoReader)?;
        let reader = CString::new(self.reader.clone()).map_err(|_| PivError::Absent)?;
        with_card(&context, &reader, work)
    }
}

/// A card with the PIV application selected, for nobody else meanwhile.
struct Connected<'a> {
    transaction: Transaction<'a>,
    reader: String,
}

fn with_card<T>(
    context: &Context,
    reader: &CStr,
    work: impl FnOnce(&Connected<'_>) -> Result<T, PivError>,
) -> Result<T, PivError> {
    let name = reader.to_string_lossy().into_owned();
    let lost = |source| PivError::Card { reader: name.clone(), source };
    let mut card = context.connect(reader, ShareMode::Shared, Protocols::ANY).map_err(lost)?;
    let connected = Connected { transaction: card.transaction().map_err(lost)?, reader: name.clone() };
    let result = connected.select().and_then(|()| work(&connected));
    // A card that is gone has forgotten the PIN as well.
    let _ = connected.transaction.end(Disposition::ResetCard);
    result
}

impl Connected<'_> {
    fn select(&self) -> Result<(), PivError> {
        self.command([0x00, 0xa4, 0x04, 0x00], APPLICATION, "select the PIV application").map(drop)
    }

    /// GET DATA (part 2, 3.1.2): the object's content.
    fn get(&self, object: [u8; 3]) -> Result<Vec<u8>, PivError> {
        const ACTION: &str = "read its certificate";
        let [a, b, c] = object;
        let answer = self.command([0x00, 0xcb, 0x3f, 0xff], &[0x5c, 3, a, b, c], ACTION)?;
        value(OBJECT, &answer).map(<[u8]>::to_vec).ok_or(PivError::Malformed(ACTION))
    }

    fn tries(&self) -> Option<u8> {
        // VERIFY without data asks for the state (part 2, 3.2.1).
        match self.transmit(&[0x00, 0x20, 0x00, PIN]).ok()?.1 {
            status @ 0x63c0..=0x63cf => u8::try_from(status & 0xf).ok(),
            0x6983 => Some(0),
            _ => None,
        }
    }

    fn verify(&self, pin: &SecretString) -> Result<(), PivError> {
        let pin = pin.expose_secret().as_bytes();
        if !(1..=PIN_LENGTH).contains(&pin.len()) {
            return Err(PivError::PinForm);
        }
        let mut block = Zeroizing::new([0xff; PIN_LENGTH]);
        block[..pin.len()].copy_from_slice(pin);
        match self.command([0x00, 0x20, 0x00, PIN], &block[..], "verify the PIN") {
            Ok(_) => Ok(()),
            Err(PivError::Status { status: 0x6983 | 0x63c0, .. }) => Err(PivError::PinBlocked),
            Err(PivError::Status { status: status @ 0x63c1..=0x63cf, .. }) => {
                Err(PivError::PinWrong { left: u8::try_from(status & 0xf).unwrap_or(0) })
            }
            Err(other) => Err(other),
        }
    }

    /// GENERAL AUTHENTICATE with a point to exponentiate (part 2, appendix A.5.3).
    fn agree(&self, curve: Curve, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, PivError> {
        const ACTION: &str = "agree on a key";
        let (algorithm, coordinate): (u8, usize) = match curve {
            Curve::P256 => (0x11, 32),
            Curve::P384 => (0x14, 48),
        };
        if point.len() != 1 + 2 * coordinate {
            return Err(PivError::Malformed(ACTION));
        }
        let length = u8::try_from(point.len()).map_err(|_| PivError::Malformed(ACTION))?;
        let mut template = vec![0x7c, length + 4, 0x82, 0, 0x85, length];
        template.extend_from_slice(point);
        let answer = match self.command([0x00, 0x87, algorithm, SLOT], &template, ACTION) {
            Err(PivError::Status { status: 0x6982 | 0x6985, .. }) => return Err(PivError::NotTouched),
            other => other?,
        };
        let answer = Zeroizing::new(answer);
        match value(TEMPLATE, &answer).and_then(|inner| value(TEMPLATE_RESPONSE, inner)) {
            Some(secret) if secret.len() == coordinate => Ok(secret.to_vec().into()),
            _ => Err(PivError::Malformed(ACTION)),
        }
    }

    /// Sends a command with data and gathers its answer.
    fn command(&self, header: [u8; 4], data: &[u8], action: &'static str) -> Result<Vec<u8>, PivError> {
        let length = u8::try_from(data.len()).map_err(|_| PivError::Malformed(action))?;
        let mut command = Zeroizing::new(Vec::with_capacity(data.len() + 6));
        command.extend_from_slice(&header);
        command.push(length);
        command.extend_from_slice(data);
        // VERIFY answers nothing, and expects nothing to be asked for.
        if header[1] != 0x20 {
            command.push(0);
        }
        let (mut answer, mut status) = self.transmit(&command)?;
        while let [0x61, more] = status.to_be_bytes() {
            let (rest, next) = self.transmit(&[0x00, 0xc0, 0x00, 0x00, more])?;
            answer.extend_from_slice(&rest);
            status = next;
        }
        if status == 0x9000 { Ok(answer) } else { Err(PivError::Status { status, action }) }
    }

    fn transmit(&self, command: &[u8]) -> Result<(Vec<u8>, u16), PivError> {
        let mut buffer = Zeroizing::new([0; pcsc::MAX_BUFFER_SIZE]);
        let lost = |source| PivError::Card { reader: self.reader.clone(), source };
        let answer = self.transaction.transmit(command, &mut buffer[..]).map_err(lost)?;
        match answer.split_last_chunk::<2>() {
            Some((data, status)) => Ok((data.to_vec(), u16::from_be_bytes(*status))),
            None => Err(lost(pcsc::Error::RemovedCard)),
        }
    }
}

/// The content of an element that is all there is.
fn value(tag: Tag, octets: &[u8]) -> Option<&[u8]> {
    let element = AnyRef::from_der(octets).ok()?;
    (Tagged::tag(&element) == tag).then(|| element.value())
}

/// The certificate in a data object (part 1, appendix A).
fn certificate_in(object: &[u8]) -> Result<Certificate, PivError> {
    const ACTION: &str = "read its certificate";
    let malformed = |_| PivError::Malformed(ACTION);
    let mut reader = SliceReader::new(object).map_err(malformed)?;
    let (mut certificate, mut compressed) = (None, false);
    while !reader.is_finished() {
        let element = AnyRef::decode(&mut reader).map_err(malformed)?;
        match Tagged::tag(&element) {
            OBJECT_CERTIFICATE => certificate = Some(element.value()),
            OBJECT_INFO => compressed = element.value().first().is_some_and(|info| info & 1 == 1),
            _ => {}
        }
    }
    match certificate {
        Some(der) if !compressed => Certificate::from_der(der).map_err(malformed),
        _ => Err(PivError::Malformed(ACTION)),
    }
}

#[cfg(test)]
mod tests {
    use der::Encode;

    use super::*;

    fn element(tag: u8, value: &[u8]) -> Vec<u8> {
        let length = value.len();
        let mut element = vec![tag];
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => element.push(short),
            _ => element.extend([
                0x82,
                u8::try_from(length >> 8).expect("two"),
                u8::try_from(length & 0xff).expect("one"),
            ]),
        }
        element.extend_from_slice(value);
        element
    }

    #[test]
    fn a_certificate_is_found_in_its_object() {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(Vec::new())
            .expect("parameters")
            .self_signed(&pair)
            .expect("signed");
        let plain = [element(0x70, certificate.der()), element(0x71, &[0]), element(0xfe, &[])].concat();
        let found = certificate_in(&plain).expect("found");
        assert_eq!(found.to_der().expect("DER"), certificate.der().as_ref());
        let compressed = [element(0x70, certificate.der()), element(0x71, &[1])].concat();
        assert!(certificate_in(&compressed).is_err());
        assert!(certificate_in(&element(0x71, &[0])).is_err());
        assert!(certificate_in(&[0x70, 0x82]).is_err());
    }
}
