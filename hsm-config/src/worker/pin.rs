//! PINs at the token: changing one, and leaving the asking to the token.

use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::TokenInfo;
use secrecy::SecretString;

use super::module::Module;
use super::protocol::{CommandError, ErrorClass, SetupFailure, SetupFailureClass};
use crate::custody::UNCHANGED;
use crate::token::{Pin, PinKind, TokenSelection};

/// What `C_Login` is given: the PIN, or nothing where the token asks for it itself (`CKF_PROTECTED_AUTHENTICATION_PATH`).
pub(super) fn given<'a>(
    info: &TokenInfo,
    selection: &TokenSelection,
    pin: &'a Pin,
) -> Result<Option<&'a SecretString>, SetupFailure> {
    if !pin.is_at_the_token() {
        return Ok(Some(pin.as_secret()));
    }
    if info.protected_authentication_path() {
        return Ok(None);
    }
    let detail = format!(
        "{selection}: it has no way of its own to ask for the PIN; give pin_file, pin_credential or pin_custody instead of \
         pin = \"protected-path\""
    );
    Err(SetupFailure { class: SetupFailureClass::Other, detail })
}

impl Module {
    /// Changes a PIN and logs in with the new one. When it fails with [`UNCHANGED`], the token has the old one.
    pub(super) fn change_pin(
        &self,
        selection: &TokenSelection,
        kind: PinKind,
        old: &Pin,
        new: &Pin,
        resuming: bool,
    ) -> Result<(), CommandError> {
        let unchanged =
            |class, detail: String| CommandError::own(class, UNCHANGED, format!("{selection}: {detail}"));
        let (slot, info) = self.find(selection).map_err(|e| unchanged(ErrorClass::Fail, e.to_string()))?;
        let (locked, last_try) = match kind {
            PinKind::User => (info.user_pin_locked(), info.user_pin_final_try()),
            PinKind::So => (info.so_pin_locked(), info.so_pin_final_try()),
        };
        if locked || last_try {
            let state = if locked { "is locked" } else { "has one try left" };
            let detail = format!("its {kind} {state}, so no program tries; log in by hand");
            return Err(unchanged(ErrorClass::Lockout, detail));
        }
        let session = self.pkcs11.open_rw_session(slot).map_err(|e| {
            let CommandError { code, detail, .. } = e.into();
            unchanged(ErrorClass::Fail, format!("{code}: {detail}"))
        })?;
        let user = match kind {
            PinKind::User => UserType::User,
            PinKind::So => UserType::So,
        };
        if resuming {
            match session.login(user, Some(new.as_secret())) {
                // It was done before.
                Ok(()) => return Ok(session.logout()?),
                Err(Error::Pkcs11(RvError::PinIncorrect, _)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        session.login(user, Some(old.as_secret())).map_err(|error| {
            let CommandError { class, code, detail } = error.into();
            unchanged(class, format!("{code}: {detail}; the PIN that it has was not given"))
        })?;
        change(&session, old, new).map_err(|error| match error {
            // These say that the new PIN isn't taken.
            Error::Pkcs11(RvError::PinInvalid | RvError::PinLenRange | RvError::PinTooWeak, _) => {
                let CommandError { class, code, .. } = error.into();
                unchanged(
                    class,
                    format!("{code}: it doesn't take such a PIN; set characters and length in the plan"),
                )
            }
            other => other.into(),
        })?;
        session.login(user, Some(new.as_secret()))?;
        Ok(session.logout()?)
    }
}

fn change(session: &Session, old: &Pin, new: &Pin) -> Result<(), Error> {
    session.set_pin(old.as_secret(), new.as_secret())?;
    session.logout()
}
