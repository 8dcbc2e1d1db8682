//! The module and one token of it: loading, finding, logging in once, initialising.

use std::io;
use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use secrecy::SecretString;

use super::error::ckr_name;
use super::protocol::{CommandError, ErrorClass, SetupFailure, SetupFailureClass};
use crate::token::{Pin, TokenDescription, TokenSelection, VOID_LABEL};
use crate::vendor::{Behaviour, Threads};

/// A loaded and initialised module.
#[derive(Clone)]
pub(super) struct Module {
    pub(super) pkcs11: Pkcs11,
    behaviour: Behaviour,
}

/// A token that was logged in to, without the session that keeps the login alive.
pub(super) struct OpenToken {
    pkcs11: Pkcs11,
    slot: Slot,
    /// How its vendor wants it.
    pub(super) behaviour: Behaviour,
    /// What it can do.
    pub(super) mechanisms: Vec<MechanismType>,
}

impl Module {
    /// Loads and initialises a module, telling it that threads will call it, unless its profile says otherwise: without
    /// that, SoftHSM crashes.
    pub(super) fn load(path: &Path, behaviour: Behaviour) -> Result<Self, SetupFailure> {
        let failed = |e: &Error| {
            failure(SetupFailureClass::ModuleLoad, format!("module {}: {}", path.display(), describe(e)))
        };
        let pkcs11 = Pkcs11::new(path).map_err(|e| failed(&e))?;
        let flags = match behaviour.threads {
            Threads::Os => CInitializeFlags::OS_LOCKING_OK,
            Threads::Single => CInitializeFlags::empty(),
        };
        pkcs11.initialize(CInitializeArgs::new(flags)).map_err(|e| failed(&e))?;
        Ok(Self { pkcs11, behaviour })
    }

    /// Ends the use of the module.
    pub(super) fn finalize(self) {
        if let Err(error) = self.pkcs11.finalize() {
            tracing::debug!("C_Finalize: {}", describe(&error));
        }
    }

    /// All tokens present.
    pub(super) fn tokens(&self) -> Result<Vec<TokenDescription>, Error> {
        let slots = self.pkcs11.get_slots_with_token()?;
        slots.into_iter().map(|slot| Ok(description(slot, &self.pkcs11.get_token_info(slot)?))).collect()
    }

    /// The names of a token's mechanisms.
    pub(super) fn mechanisms(&self, slot: u64) -> Result<Vec<String>, Error> {
        let list = self.pkcs11.get_mechanism_list(Slot::try_from(slot)?)?;
        Ok(list.iter().map(ToString::to_string).collect())
    }

    /// Logs in, once, when `permit` allows it. The session that comes with the token must live as long as the login is wanted: closing an
    /// application's last session logs it out.
    pub(super) fn open(
        &self,
        selection: &TokenSelection,
        pin: &Pin,
        permit: impl FnOnce(&TokenDescription) -> io::Result<()>,
    ) -> Result<(OpenToken, Session, TokenDescription), SetupFailure> {
        let (slot, info) = self.find(selection)?;
        if info.user_pin_locked() {
            return Err(failure(
                SetupFailureClass::PinLocked,
                format!("{selection}: its user PIN is locked"),
            ));
        }
        if info.user_pin_final_try() {
            let detail =
                format!("{selection}: one more wrong PIN would lock it, so no program tries; log in by hand");
            return Err(failure(SetupFailureClass::PinLocked, detail));
        }
        let session =
            open_session(&self.pkcs11, slot, self.behaviour).map_err(|e| token_failure(selection, &e))?;
        let pin = given(&info, selection, pin)?;
        let described = description(slot, &info);
        permit(&described).map_err(|error| {
            failure(SetupFailureClass::Other, format!("{selection}: not logged in to: {error}"))
        })?;
        match session.login(UserType::User, pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(login_failure(selection, &error)),
        }
        let mechanisms = self.pkcs11.get_mechanism_list(slot).map_err(|e| token_failure(selection, &e))?;
        let token = OpenToken { pkcs11: self.pkcs11.clone(), slot, behaviour: self.behaviour, mechanisms };
        Ok((token, session, described))
    }

    pub(super) fn find(&self, selection: &TokenSelection) -> Result<(Slot, TokenInfo), SetupFailure> {
        let slots = self.pkcs11.get_slots_with_token().map_err(|e| token_failure(selection, &e))?;
        let mut found = slots.into_iter().filter_map(|slot| {
            // A token that doesn't answer isn't the one; if it should be, it is reported as absent.
            let info = self.pkcs11.get_token_info(slot).ok()?;
            let wanted = match selection {
                TokenSelection::Label(label) => info.label() == label,
                TokenSelection::Serial(serial) => info.serial_number() == serial,
            };
            (wanted && info.token_initialized()).then_some((slot, info))
        });
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => {
                Err(failure(SetupFailureClass::TokenAbsent, format!("the module shows no {selection}")))
            }
            (Some(_), Some(_)) => Err(failure(
                SetupFailureClass::Other,
                format!("the module shows more than one {selection}: select it by serial number"),
            )),
        }
    }

    /// Initialises an uninitialised or void token and sets the user's PIN.
    pub(super) fn initialise(
        &self,
        slot: Option<u64>,
        label: &str,
        so_pin: &Pin,
        pin: &Pin,
    ) -> Result<TokenDescription, CommandError> {
        let tokens = self.tokens()?;
        if let Some(token) = tokens.iter().find(|token| token.initialised && token.label == label) {
            let detail = format!("a token with label {label:?} exists in slot {}", token.slot);
            return Err(CommandError::own(ErrorClass::Fail, "TOKEN_EXISTS", detail));
        }
        let wanted = |token: &&TokenDescription| slot.is_none_or(|slot| token.slot == slot);
        let free = tokens
            .iter()
            .filter(wanted)
            .find(|token| !token.initialised)
            .or_else(|| tokens.iter().filter(wanted).find(|token| slot.is_some() || token.is_void()))
            .ok_or_else(|| {
                CommandError::own(ErrorClass::Fail, "TOKEN_ABSENT", "there is no uninitialised token to take")
            })?;
        if free.initialised && !free.is_void() {
            let detail =
                format!("the token in slot {} is initialised already, as {:?}", free.slot, free.label);
            return Err(CommandError::own(ErrorClass::Fail, "TOKEN_EXISTS", detail));
        }
        self.initialise_slot(Slot::try_from(free.slot)?, label, so_pin, pin)
    }

    /// Initialises the token with this label once more, which destroys everything on it.
    pub(super) fn initialise_again(
        &self,
        old_label: &str,
        label: &str,
        so_pin: &Pin,
        pin: &Pin,
    ) -> Result<TokenDescription, CommandError> {
        let absent = |e: SetupFailure| CommandError::own(ErrorClass::Fail, "TOKEN_ABSENT", e.to_string());
        let (slot, _) = self.find(&TokenSelection::Label(old_label.to_owned())).map_err(absent)?;
        self.initialise_slot(slot, label, so_pin, pin)
    }

    fn initialise_slot(
        &self,
        slot: Slot,
        label: &str,
        so_pin: &Pin,
        pin: &Pin,
    ) -> Result<TokenDescription, CommandError> {
        let serial = self.pkcs11.get_token_info(slot)?.serial_number().to_owned();
        self.pkcs11.init_token(slot, so_pin.as_secret(), label)?;
        // The token may have moved to another slot, where its label finds it, unless it is one of several void ones,
        // which keep their serial number and slot.
        let moved = self.find(&TokenSelection::Label(label.to_owned()));
        let slot = match (moved, label == VOID_LABEL) {
            (Ok((slot, _)), _) => slot,
            (Err(_), true) if self.pkcs11.get_token_info(slot)?.serial_number() == serial => slot,
            (Err(e), _) => {
                let detail = format!("after C_InitToken: {e}");
                return Err(CommandError::own(ErrorClass::Restart, "TOKEN_ABSENT", detail));
            }
        };
        let session = self.pkcs11.open_rw_session(slot)?;
        session.login(UserType::So, Some(so_pin.as_secret()))?;
        session.init_pin(pin.as_secret())?;
        session.logout()?;
        Ok(description(slot, &self.pkcs11.get_token_info(slot)?))
    }
}

impl OpenToken {
    /// A session for signing and looking.
    pub(super) fn session(&self) -> Result<Session, Error> {
        open_session(&self.pkcs11, self.slot, self.behaviour)
    }

    /// A session for making and destroying keys.
    pub(super) fn writing_session(&self) -> Result<Session, Error> {
        self.pkcs11.open_rw_session(self.slot)
    }
}

/// A session that is not for writing; some vendors have none but those that are.
fn open_session(pkcs11: &Pkcs11, slot: Slot, behaviour: Behaviour) -> Result<Session, Error> {
    if behaviour.read_only { pkcs11.open_ro_session(slot) } else { pkcs11.open_rw_session(slot) }
}

fn description(slot: Slot, info: &TokenInfo) -> TokenDescription {
    let text = |field: &str| field.trim_end_matches(['\0', ' ']).to_owned();
    TokenDescription {
        slot: slot.id(),
        initialised: info.token_initialized(),
        label: text(info.label()),
        manufacturer: text(info.manufacturer_id()),
        model: text(info.model()),
        serial: text(info.serial_number()),
        firmware: info.firmware_version().to_string(),
        hardware: info.hardware_version().to_string(),
        min_pin_length: u64::try_from(info.min_pin_length()).unwrap_or(0),
        max_pin_length: u64::try_from(info.max_pin_length()).unwrap_or(0),
    }
}

fn describe(error: &Error) -> String {
    match error {
        Error::Pkcs11(value, function) => format!("C_{function:?}: {}", ckr_name(*value)),
        other => other.to_string(),
    }
}

fn failure(class: SetupFailureClass, detail: String) -> SetupFailure {
    SetupFailure { class, detail }
}

fn token_failure(selection: &TokenSelection, error: &Error) -> SetupFailure {
    failure(SetupFailureClass::Other, format!("{selection}: {}", describe(error)))
}

fn login_failure(selection: &TokenSelection, error: &Error) -> SetupFailure {
    use RvError as E;
    let class = match error {
        // Anything that faults the PIN counts as a spent try.
        Error::Pkcs11(E::PinIncorrect | E::PinInvalid | E::PinLenRange | E::PinExpired, _) => {
            SetupFailureClass::PinIncorrect
        }
        Error::Pkcs11(E::PinLocked, _) => SetupFailureClass::PinLocked,
        // These say where the call failed, before the token or instead of it.
        Error::Pkcs11(
            E::CryptokiNotInitialized
            | E::DeviceError
            | E::DeviceMemory
            | E::DeviceRemoved
            | E::HostMemory
            | E::SessionClosed
            | E::SessionHandleInvalid
            | E::TokenNotPresent
            | E::TokenNotRecognized
            | E::UserPinNotInitialized,
            _,
        ) => SetupFailureClass::Other,
        _ => SetupFailureClass::LoginUnclear,
    };
    failure(class, format!("{selection}: {}", describe(error)))
}

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
