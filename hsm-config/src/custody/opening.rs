//! A custodian opens their sealed share: by their token or their passphrase. What comes out is judged before anybody
//! uses it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

use super::{
    document::{Document, Generation, Keeper, SealedTo},
    envelope::{EnvelopeError, Lock, Sealed},
    error::CustodyError,
    people::{AskError, People},
    piv::{self, PivError},
    share::Share,
};

/// Larger is no sealed share.
const MAX_BYTES: u64 = 64 * 1024;

/// Opens a custodian's share of a generation, from `file` or where the set keeps it, and judges it.
pub(super) fn open(
    folder: &Path,
    document: &Document,
    generation: &Generation,
    custodian: &str,
    file: Option<&Path>,
    people: &mut dyn People,
) -> Result<Share, CustodyError> {
    let Some(keeper) = generation.keeper(custodian) else {
        return Err(CustodyError::NoCustodian {
            name: custodian.to_owned(),
            generation: generation.number,
            names: generation.names().join(", "),
        });
    };
    let path = file.map_or_else(|| path_of(folder, generation, custodian), Path::to_owned);
    let text = read(&path)?;
    let as_written = hex::encode(digest::digest(&digest::SHA256, text.as_bytes())) == keeper.sealed_sha256;
    let opened = Sealed::read(&text)
        .map_err(Failure::Envelope)
        .and_then(|sealed| unseal(&sealed, keeper, generation.number, people));
    let share = match opened {
        Ok(share) => share,
        Err(failure) => return Err(failure.explained(custodian, as_written)),
    };
    if share.custodian != custodian {
        // Another set's or generation's is told first: it says more.
        document.judge(generation, &share)?;
        return Err(CustodyError::OtherCustodian { found: share.custodian, expected: custodian.to_owned() });
    }
    document.judge(generation, &share)?;
    Ok(share)
}

/// Where the set keeps a sealed share.
pub(super) fn path_of(folder: &Path, generation: &Generation, custodian: &str) -> PathBuf {
    generation.folder(folder).join(format!("{custodian}.pem"))
}

fn read(path: &Path) -> Result<String, CustodyError> {
    let failed = |source| CustodyError::File { what: "sealed share", path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(failed(std::io::Error::other("it is longer than any sealed share")));
    }
    fs::read_to_string(path).map_err(failed)
}

enum Failure {
    Envelope(EnvelopeError),
    Token(PivError),
    Custody(CustodyError),
}

impl From<CustodyError> for Failure {
    fn from(error: CustodyError) -> Self {
        Self::Custody(error)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::Custody(error.into())
    }
}

impl Failure {
    fn explained(self, custodian: &str, as_written: bool) -> CustodyError {
        let custodian = custodian.to_owned();
        match self {
            Self::Envelope(EnvelopeError::Refused) if as_written => CustodyError::Shut {
                custodian,
                reason: "the passphrase is wrong, or the token's key is another",
            },
            Self::Envelope(source) if as_written => source.into(),
            Self::Envelope(source) => CustodyError::Damaged { custodian, source },
            Self::Token(source) => CustodyError::Token { custodian, source },
            Self::Custody(error) => error,
        }
    }
}

fn unseal(
    sealed: &Sealed,
    keeper: &Keeper,
    generation: u32,
    people: &mut dyn People,
) -> Result<Share, Failure> {
    let text = match (sealed.lock().map_err(Failure::Envelope)?, &keeper.sealed_to) {
        (Lock::Key(name), SealedTo::Passphrase) => {
            let stretching: super::passphrase::Stretching = std::str::from_utf8(&name)
                .ok()
                .and_then(|name| name.parse().ok())
                .ok_or(Failure::Envelope(EnvelopeError::Malformed))?;
            let passphrase = people.passphrase(&keeper.name, generation)?;
            let key = stretching.key(&passphrase).map_err(CustodyError::from)?;
            sealed.open_with(&key).map_err(Failure::Envelope)?
        }
        (Lock::Agreement { curve, point }, SealedTo::Key { point: theirs, .. }) => {
            let theirs = hex::decode(theirs).map_err(|_| Failure::Envelope(EnvelopeError::Malformed))?;
            let token = find(&keeper.name, &theirs, people)?;
            let tries = token.tries().map_err(Failure::Token)?;
            if tries == Some(0) {
                return Err(Failure::Token(PivError::PinBlocked));
            }
            let pin = people.card_pin(&keeper.name, &token.reader, tries)?;
            people.tell(&format!("{}: touch your token when it blinks", keeper.name));
            let secret = token.agree(&pin, curve, &point).map_err(Failure::Token)?;
            sealed.open_agreed(curve, &secret).map_err(Failure::Envelope)?
        }
        _ => return Err(Failure::Envelope(EnvelopeError::Malformed)),
    };
    serde_json::from_slice(&text).map_err(|_| Failure::Envelope(EnvelopeError::Malformed))
}

/// The custodian's token; asks for it for as long as they don't give up.
fn find(custodian: &str, point: &[u8], people: &mut dyn People) -> Result<piv::Token, Failure> {
    loop {
        match piv::token_with(point) {
            Err(error @ (PivError::Absent | PivError::NoReader(_))) => match people.insert_card(custodian) {
                Ok(()) => {}
                Err(AskError::GivenUp) => return Err(Failure::Token(error)),
                Err(other) => return Err(other.into()),
            },
            other => return other.map_err(Failure::Token),
        }
    }
}
