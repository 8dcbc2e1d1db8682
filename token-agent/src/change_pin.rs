//! Changing a token's PIN; the factory's is replaced without being asked for.

use crate::{
    enrol::{EnrolError, Person, Step, verified_pin},
    secret::Pin,
    token::{TokenDriver, TokenError, TokenIdentity},
};

/// Changes the PIN of the token with this serial.
///
/// # Errors
/// [`EnrolError::WeakPin`] for a new PIN that isn't acceptable, otherwise what the token says.
pub(crate) fn change_pin(
    driver: &dyn TokenDriver,
    person: &mut dyn Person,
    serial: &str,
) -> Result<TokenIdentity, EnrolError> {
    let mut token = driver.open(serial)?;
    let status = token.pin_status()?;
    if status.tries_left == 0 {
        return Err(TokenError::PinBlocked.into());
    }
    let current = if status.factory == Some(true) {
        person.tell(Step::FactoryPin);
        Pin::factory()
    } else {
        verified_pin(token.as_mut(), person)?
    };
    let new = person.new_pin()?;
    token.change_pin(&current, &new)?;
    person.tell(Step::PinReplaced);
    Ok(token.identity().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        enrol::Question,
        secret::{PinLength, Secret, SecretError, WeakPin},
        token::{Firmware, fake::FakeDriver},
    };

    struct Clerk {
        pins: Vec<&'static str>,
        new: &'static str,
    }

    impl Person for Clerk {
        fn password(&mut self) -> Result<Secret, SecretError> {
            unreachable!("a PIN needs no login")
        }

        fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError> {
            unreachable!("a PIN needs no login")
        }

        fn pin(&mut self, _: Option<u8>) -> Result<Option<Pin>, SecretError> {
            Ok(self.pins.pop().and_then(Pin::new))
        }

        fn new_pin(&mut self) -> Result<Pin, EnrolError> {
            Pin::chosen(self.new, PinLength::default()).map_err(EnrolError::WeakPin)
        }

        fn agrees(&mut self, _: &Question) -> bool {
            unreachable!("nothing is destroyed")
        }

        fn tell(&mut self, _: Step) {}
    }

    #[test]
    fn the_factory_s_pin_is_replaced_without_asking_and_another_only_with_the_right_one() {
        let driver = FakeDriver::fresh(Firmware::new(5, 7, 2));
        let change = |pins: &[&'static str], new| {
            change_pin(&driver, &mut Clerk { pins: pins.to_vec(), new }, "7").map(|token| token.serial)
        };
        assert!(matches!(change(&[], "111111"), Err(EnrolError::WeakPin(WeakPin::Trivial))));
        assert_eq!(driver.card().pin, b"123456");
        assert_eq!(change(&[], "862915").expect("changed"), "7");
        assert_eq!(driver.card().pin, b"862915");
        // The wrong one first, then the right one.
        assert_eq!(change(&["862915", "862916"], "271828").expect("changed"), "7");
        assert_eq!(driver.card().pin, b"271828");
        assert!(matches!(change(&["862916"], "862915"), Err(EnrolError::Token(TokenError::PinWrong { .. }))));
        assert_eq!(driver.card().pin, b"271828");
    }
}
