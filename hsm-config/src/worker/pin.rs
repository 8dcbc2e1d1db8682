//! Changing a token's PIN.

use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;

use super::module::Module;
use super::protocol::{CommandError, ErrorClass, PIN_UNCHANGED};
use crate::token::{Pin, PinKind, TokenSelection};

/// Who changes which PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Whoever has it (`C_SetPIN`).
    ByHolder(PinKind),
    /// The same, once more: an earlier change may have been done already, so the new PIN is tried first.
    Resumed(PinKind),
    /// The security officer sets the user's anew (`C_InitPIN`), as often as it takes.
    ByOfficer,
}

impl Change {
    fn whose(self) -> PinKind {
        match self {
            Self::ByHolder(kind) | Self::Resumed(kind) => kind,
            Self::ByOfficer => PinKind::So,
        }
    }
}

fn user(kind: PinKind) -> UserType {
    match kind {
        PinKind::User => UserType::User,
        PinKind::So => UserType::So,
    }
}

impl Module {
    /// Changes a PIN and logs in with the new one. `given` is the PIN that the token has, or the officer's. When it
    /// fails with [`PIN_UNCHANGED`], the token has the PIN that it had.
    pub(super) fn change_pin(
        &self,
        selection: &TokenSelection,
        how: Change,
        given: &Pin,
        new: &Pin,
    ) -> Result<(), CommandError> {
        let (slot, info) =
            self.find(selection).map_err(|e| unchanged(selection, ErrorClass::Fail, &e.to_string()))?;
        let (locked, last_try) = match how.whose() {
            PinKind::User => (info.user_pin_locked(), info.user_pin_final_try()),
            PinKind::So => (info.so_pin_locked(), info.so_pin_final_try()),
        };
        if locked || last_try {
            let state = if locked { "is locked" } else { "has one try left" };
            let detail = format!("its {} {state}, so no program tries; log in by hand", how.whose());
            return Err(unchanged(selection, ErrorClass::Lockout, &detail));
        }
        let session =
            self.pkcs11.open_rw_session(slot).map_err(|e| refused(selection, e.into(), "no session"))?;
        if let Change::Resumed(kind) = how {
            match session.login(user(kind), Some(new.as_secret())) {
                // It was done before.
                Ok(()) => return Ok(session.logout()?),
                Err(Error::Pkcs11(RvError::PinIncorrect, _)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        session
            .login(user(how.whose()), Some(given.as_secret()))
            .map_err(|e| refused(selection, e.into(), "the PIN that it has was not given"))?;
        let changed = match how {
            Change::ByOfficer => session.init_pin(new.as_secret()),
            Change::ByHolder(_) | Change::Resumed(_) => session.set_pin(given.as_secret(), new.as_secret()),
        };
        changed.map_err(|error| match error {
            // These say that the new PIN isn't taken.
            Error::Pkcs11(RvError::PinInvalid | RvError::PinLenRange | RvError::PinTooWeak, _) => {
                let remedy = "it doesn't take such a PIN; set characters and length in the plan";
                refused(selection, error.into(), remedy)
            }
            other => other.into(),
        })?;
        session.logout()?;
        let kind = if how == Change::ByOfficer { PinKind::User } else { how.whose() };
        session.login(user(kind), Some(new.as_secret()))?;
        Ok(session.logout()?)
    }
}

fn unchanged(selection: &TokenSelection, class: ErrorClass, detail: &str) -> CommandError {
    CommandError::own(class, PIN_UNCHANGED, format!("{selection}: {detail}"))
}

fn refused(selection: &TokenSelection, error: CommandError, remedy: &str) -> CommandError {
    let CommandError { class, code, detail } = error;
    unchanged(selection, class, &format!("{code}: {detail}; {remedy}"))
}
