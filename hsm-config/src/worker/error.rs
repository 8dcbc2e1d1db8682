//! From a module's return value to what the parent should do. Modules' errors don't tell the truth about the cause
//! (a lost login may come as `CKR_OBJECT_HANDLE_INVALID`), so everything that a fresh worker might cure asks for one.

use cryptoki::error::{Error, RvError};

use super::protocol::{CommandError, ErrorClass};

/// The standard name, such as `CKR_PIN_INCORRECT`.
pub(super) fn ckr_name(error: RvError) -> String {
    match error {
        RvError::VendorDefined(value) | RvError::UnknownErrorCode(value) => format!("CKR_{value:#010x}"),
        known => {
            let mut name = String::from("CKR");
            for letter in format!("{known:?}").chars() {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            name
        }
    }
}

/// What a parent does about a return value.
pub(super) fn class(error: RvError) -> ErrorClass {
    use RvError as E;
    match error {
        E::PinIncorrect | E::PinLocked | E::PinExpired => ErrorClass::Lockout,
        E::CryptokiNotInitialized
        | E::DeviceError
        | E::DeviceMemory
        | E::DeviceRemoved
        | E::FipsSelfTestFailed
        | E::FunctionCanceled
        | E::FunctionFailed
        | E::GeneralError
        | E::HostMemory
        | E::KeyHandleInvalid
        | E::MutexBad
        | E::MutexNotLocked
        | E::ObjectHandleInvalid
        | E::OperationActive
        | E::OperationNotInitialized
        | E::SessionClosed
        | E::SessionCount
        | E::SessionHandleInvalid
        | E::SlotIdInvalid
        | E::TokenNotPresent
        | E::TokenNotRecognized
        | E::UserNotLoggedIn
        | E::VendorDefined(_)
        | E::UnknownErrorCode(_) => ErrorClass::Restart,
        _ => ErrorClass::Fail,
    }
}

impl CommandError {
    /// A failure that the worker found itself.
    pub(super) fn own(class: ErrorClass, code: &str, detail: impl Into<String>) -> Self {
        Self { class, code: code.to_owned(), detail: detail.into() }
    }
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(value, function) => {
                Self { class: class(value), code: ckr_name(value), detail: format!("C_{function:?} failed") }
            }
            // A function that the module lacks, or data that no module should return.
            other => Self::own(ErrorClass::Fail, "MODULE_DEFECT", other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_standards() {
        assert_eq!(ckr_name(RvError::PinIncorrect), "CKR_PIN_INCORRECT");
        assert_eq!(ckr_name(RvError::FipsSelfTestFailed), "CKR_FIPS_SELF_TEST_FAILED");
        assert_eq!(ckr_name(RvError::VendorDefined(0x8000_0001)), "CKR_0x80000001");
    }
}
