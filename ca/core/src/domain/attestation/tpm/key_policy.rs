//! By which policies a user's key may be used beside its auth value: by none, or by those that ask for that value as well.

/// What Windows' Platform Crypto Provider gives each key that it makes: one policy of five, and four of them ask for the auth
/// value. The fifth permits only `TPM2_Certify`, by which the TPM speaks of the key and the key signs nothing. The test
/// below derives it.
const WINDOWS: &str = "9dffcbf36c383ae699fb9868dc6dcb89d7153884be2803922c124158bfad22ae";

/// Whether nothing can be signed with a key of this authPolicy without its auth value.
pub(super) fn asks_for_the_auth_value(policy: &[u8]) -> bool {
    policy.is_empty() || hex::encode(policy) == WINDOWS
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// Part 2, 6.5.2.
    const POLICY_OR: u32 = 0x171;
    const POLICY_AUTH_VALUE: u32 = 0x16b;
    const POLICY_COMMAND_CODE: u32 = 0x16c;
    const OBJECT_CHANGE_AUTH: u32 = 0x150;
    const CERTIFY: u32 = 0x148;
    const ACTIVATE_CREDENTIAL: u32 = 0x147;
    const START: [u8; 32] = [0; 32];

    /// Part 3, 23.17.
    fn auth_value(before: [u8; 32]) -> [u8; 32] {
        Sha256::digest([&before[..], &POLICY_AUTH_VALUE.to_be_bytes()].concat()).into()
    }

    /// Part 3, 23.11.
    fn only(command: u32) -> [u8; 32] {
        let numbers = [POLICY_COMMAND_CODE.to_be_bytes(), command.to_be_bytes()].concat();
        Sha256::digest([&START[..], &numbers].concat()).into()
    }

    /// Part 3, 23.6.
    fn one_of(branches: &[[u8; 32]]) -> [u8; 32] {
        Sha256::digest([&START[..], &POLICY_OR.to_be_bytes(), &branches.concat()].concat()).into()
    }

    #[test]
    fn windows_policy_permits_nothing_but_being_certified_without_the_auth_value() {
        let asking = [START, only(OBJECT_CHANGE_AUTH), only(CERTIFY), only(ACTIVATE_CREDENTIAL)];
        let branches = [&asking.map(auth_value)[..], &[only(CERTIFY)]].concat();
        assert!(asks_for_the_auth_value(&one_of(&branches)));
        assert!(asks_for_the_auth_value(&[]));
    }

    #[test]
    fn any_other_policy_might_permit_signing() {
        for other in [one_of(&[auth_value(START), START]), one_of(&[only(0x15d)]), [0; 32], [0xff; 32]] {
            assert!(!asks_for_the_auth_value(&other));
        }
        assert!(!asks_for_the_auth_value(&hex::decode(WINDOWS).expect("digits")[..31]));
    }
}
