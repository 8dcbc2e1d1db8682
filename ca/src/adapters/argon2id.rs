//! argon2id in memory that is kept from one hash to the next: fresh pages for each cost as much as a part of the hash.

use std::cell::RefCell;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        self, CustomizedPasswordHasher, PasswordHasher,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};

/// The memory of one hash.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// Wipes it: what stands in it was derived from a password.
    pub(super) fn wipe(&mut self) {
        self.0.fill(Block::new());
    }

    /// Whether it has more than hashes with these parameters need.
    pub(super) fn is_larger_than(&self, params: &Params) -> bool {
        self.0.len() > params.block_count()
    }

    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        &mut self.0[..count]
    }
}

/// argon2 in that memory. Hashes that are verified bring their own parameters.
pub(super) struct InMemory<'a> {
    params: &'a Params,
    memory: RefCell<&'a mut Memory>,
}

impl<'a> InMemory<'a> {
    /// Makes hashes with `params`.
    pub(super) fn new(params: &'a Params, memory: &'a mut Memory) -> Self {
        Self { params, memory: RefCell::new(memory) }
    }

    fn compute(
        &self,
        password: &[u8],
        salt: &[u8],
        (algorithm, version): (Algorithm, Version),
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let salt = Salt::new(salt)?;
        let mut buffer = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let out = buffer.get_mut(..length).ok_or(password_hash::Error::OutputSize)?;
        let (count, described) = (params.block_count(), ParamsString::try_from(&params)?);
        let mut memory = self.memory.borrow_mut();
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            password,
            &salt,
            out,
            memory.blocks(count),
        )?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: described,
            salt: Some(salt),
            hash: Some(Output::new(out)?),
        })
    }
}

impl CustomizedPasswordHasher<PasswordHash> for InMemory<'_> {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<password_hash::Version>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        self.compute(password, salt, (algorithm, version), params)
    }
}

impl PasswordHasher<PasswordHash> for InMemory<'_> {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> password_hash::Result<PasswordHash> {
        self.compute(password, salt, (Algorithm::Argon2id, Version::V0x13), self.params.clone())
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    fn params(kib: u32) -> Params {
        Params::new(kib, 2, 1, None).expect("parameters")
    }

    #[test]
    fn it_makes_and_takes_the_same_hashes_as_argon2_in_fresh_memory() {
        let (small, large) = (params(64), params(128));
        let (password, salt) = (b"kiri-no-hana", b"sixteen octets..");
        let mut memory = Memory::default();
        for params in [&small, &large, &small] {
            let fresh = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            let expected = fresh.hash_password_with_salt(password, salt).expect("a hash");
            let kept = InMemory::new(&large, &mut memory);
            assert!(kept.verify_password(password, &expected).is_ok(), "whatever stood in the memory");
            assert!(kept.verify_password(b"another", &expected).is_err());
            let made = InMemory::new(params, &mut memory).hash_password_with_salt(password, salt);
            assert_eq!(made.expect("a hash"), expected);
        }
        assert!(memory.is_larger_than(&small) && !memory.is_larger_than(&large));
        memory.wipe();
        assert!(memory.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
    }
}
