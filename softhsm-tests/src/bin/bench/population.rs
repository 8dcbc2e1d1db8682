//! Whom certificates are issued to: tokens with keys, requests and evidence, made before any clock starts, and ledgers
//! full of the users that they belong to.
//!
//! Users go into a ledger by SQL, a contract for every fifty: registering tens of thousands through the command line
//! would take longer than everything that is measured. They have no audit rows; nothing that is measured looks at those.

use std::thread;

use anyhow::{Context, Result};
use argon2::{Argon2, PasswordHasher as _};
use softhsm_tests::{
    bank::{LOGIN_PASSWORD, SoftToken},
    virtual_yubikey::{AttestationRoots, Firmware, Profile},
};

use super::ledger::Ledger;

const FIRMWARE: Firmware = Firmware(5, 7, 2);
const FIRST_SERIAL: u32 = 50_000_000;
const SEATS: usize = 50;
/// YubiKeys that share an f9 key.
const BATCH: usize = 5_000;

/// Tokens, one for each user, and the roots that vouch for them.
pub(crate) struct Population {
    pub(crate) roots: AttestationRoots,
    pub(crate) tokens: Vec<Token>,
}

/// A user's token, with what doesn't depend on an enrolment.
pub(crate) struct Token {
    pub(crate) soft: SoftToken,
    pub(crate) csr: Vec<u8>,
    pub(crate) evidence: ca_wire::enrolment::Evidence,
}

impl Population {
    /// `size` tokens, on all processors.
    pub(crate) fn create(size: usize) -> Result<Self> {
        let roots = AttestationRoots::create().context("making attestation roots")?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = size.div_ceil(threads).max(1);
        let tokens = thread::scope(|scope| {
            let shares: Vec<_> = (0..size)
                .step_by(share)
                .map(|first| {
                    let roots = &roots;
                    scope.spawn(move || create(roots, first, share.min(size - first)))
                })
                .collect();
            shares
                .into_iter()
                .map(|share| share.join().expect("a thread panicked"))
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(Self { roots, tokens: tokens.into_iter().flatten().collect() })
    }

    /// The login ID of a token's user.
    pub(crate) fn user(index: usize) -> String {
        format!("bench-{index:06}")
    }

    /// Fills a ledger with a user for each token.
    pub(crate) fn register(&self, ledger: &Ledger) -> Result<()> {
        let (users, contracts) = (self.tokens.len(), self.tokens.len().div_ceil(SEATS));
        let number = |of: &str| format!("'8' || {}", ledger.padded(of, 5));
        let user = format!("'bench-' || {}", ledger.padded("value", 6));
        let (contract_of_user, contract) = (number(&format!("value / {SEATS}")), number("value"));
        let hash = password_hash()?;
        let sql = format!(
            "BEGIN;
             INSERT INTO contracts (number, name, general_users, registered_at)
             SELECT {contract}, '性能試験', {SEATS}, 0 FROM generate_series(0, {}) AS value;
             INSERT INTO users (id, contract, role, display_name, state, device_kind, device_serial, registered_at)
             SELECT {user}, {contract_of_user}, 'general', '性能', 'active', 'yubikey-piv',
                    CAST({FIRST_SERIAL} + value AS TEXT), 0 FROM generate_series(0, {last}) AS value;
             INSERT INTO passwords (user_id, kind, phc)
             SELECT {user}, 'login', '{hash}' FROM generate_series(0, {last}) AS value;
             COMMIT;",
            contracts - 1,
            last = users - 1,
        );
        ledger.execute(&sql).map(drop).context("registering users")
    }
}

fn password_hash() -> Result<String> {
    let hash = Argon2::default().hash_password(LOGIN_PASSWORD.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| anyhow::anyhow!("hashing a password: {error}"))
}

fn create(roots: &AttestationRoots, first: usize, count: usize) -> Result<Vec<Token>> {
    let mut tokens = Vec::with_capacity(count);
    let mut attestation = None;
    for index in first..first + count {
        let serial = FIRST_SERIAL + u32::try_from(index).context("too many tokens")?;
        let profile = Profile::new(serial, FIRMWARE);
        if index % BATCH == 0 || attestation.is_none() {
            let authority = roots.authority(profile.firmware);
            attestation = Some(authority.attestation_key(&profile).context("making an f9 key")?);
        }
        let attestation = attestation.as_ref().context("no f9 key")?;
        let token = SoftToken::of_batch(attestation, profile)?;
        let (csr, evidence) = (token.request(|_| {})?, token.evidence()?);
        tokens.push(Token { soft: token, csr, evidence });
    }
    Ok(tokens)
}
