//! Which passwords are taken. The password stands beside a hardware token, so length and not being guessable from the
//! user count, not a mix of character classes.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::ids::UserId;

/// Characters at the least.
pub const MIN_CHARS: usize = 10;
/// Characters at the most.
pub const MAX_CHARS: usize = 128;
/// Different characters at the least.
pub const MIN_DIFFERENT: usize = 5;

/// Why a password isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Too short or too long.
    #[error("a password has {MIN_CHARS} to {MAX_CHARS} characters")]
    Length,
    /// The same few characters again and again.
    #[error("a password has at least {MIN_DIFFERENT} different characters")]
    Monotonous,
    /// Ascending or descending characters throughout, such as `abcdefghij` or `9876543210`.
    #[error("a password isn't a sequence such as 1234567890")]
    Sequence,
    /// It contains the user ID.
    #[error("a password doesn't contain the user ID")]
    ContainsUserId,
    /// A control character, which no form can send reliably.
    #[error("a password has no control characters")]
    ControlCharacter,
    /// The new password is the one that it replaces.
    #[error("the new password is different from the one before")]
    SameAsBefore,
    /// The confirmation password is the login password.
    #[error("the confirmation password is different from the login password")]
    SameAsOther,
}

/// Checks a new password.
///
/// # Errors
/// [`WeakPassword`] says why it isn't taken.
pub fn check(password: &SecretString, user: &UserId) -> Result<(), WeakPassword> {
    let text = password.expose_secret();
    if !(MIN_CHARS..=MAX_CHARS).contains(&text.chars().count()) {
        return Err(WeakPassword::Length);
    }
    if text.chars().any(char::is_control) {
        return Err(WeakPassword::ControlCharacter);
    }
    if text.chars().collect::<BTreeSet<_>>().len() < MIN_DIFFERENT {
        return Err(WeakPassword::Monotonous);
    }
    if is_sequence(text) {
        return Err(WeakPassword::Sequence);
    }
    if text.to_lowercase().contains(user.as_str()) {
        return Err(WeakPassword::ContainsUserId);
    }
    Ok(())
}

/// Neighbours everywhere; 9 and 0 are neighbours too.
fn is_sequence(text: &str) -> bool {
    let steps = text.chars().zip(text.chars().skip(1)).map(|(a, b)| match (a, b) {
        ('9', '0') => 1,
        ('0', '9') => -1,
        _ => i64::from(u32::from(b)) - i64::from(u32::from(a)),
    });
    let steps: BTreeSet<i64> = steps.collect();
    steps.len() == 1 && steps.iter().all(|step| step.abs() <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), WeakPassword> {
        check(&text.to_owned().into(), &UserId::parse("hokkai-01").expect("an ID"))
    }

    #[test]
    fn passwords_are_judged_by_length_and_guessability() {
        for good in ["correct horse battery", "ひらがなだけでもよいのです", "g7Kx-29fmQ"] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("short", WeakPassword::Length),
            (&*"ab".repeat(65), WeakPassword::Length),
            ("abababababab", WeakPassword::Monotonous),
            ("1234567890", WeakPassword::Sequence),
            ("9876543210", WeakPassword::Sequence),
            ("my-HOKKAI-01-x", WeakPassword::ContainsUserId),
            ("abc\tdefghij", WeakPassword::ControlCharacter),
        ] {
            assert_eq!(checked(bad), Err(why), "{bad}");
        }
    }
}
