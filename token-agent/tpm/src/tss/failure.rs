//! What tpm2-tss' return codes mean to people (Part 2, 6.6).

use tss_esapi::{Error, constants::response_code::Tss2ResponseCodeKind as Kind};

use crate::{Hierarchy, TpmError};

pub(super) fn kind(error: Error) -> Option<Kind> {
    match error {
        Error::Tss2Error(code) => code.kind(),
        Error::WrapperError(_) => None,
    }
}

/// A failure of `action` that isn't about a PIN.
pub(super) fn failed(action: &'static str) -> impl FnOnce(Error) -> TpmError {
    move |error| match kind(error) {
        Some(Kind::NvSpace) => TpmError::NoRoom,
        Some(
            Kind::ObjectMemory
            | Kind::SessionMemory
            | Kind::Memory
            | Kind::SessionHandles
            | Kind::ObjectHandles,
        ) => TpmError::MemoryTaken,
        _ => TpmError::Failed { action, source: Box::new(error) },
    }
}

/// The same of an action that the hierarchy authorizes.
pub(super) fn failed_in(hierarchy: Hierarchy, action: &'static str) -> impl FnOnce(Error) -> TpmError {
    move |error| match kind(error) {
        Some(Kind::BadAuth | Kind::AuthFail) => TpmError::HierarchyLocked(hierarchy),
        _ => failed(action)(error),
    }
}
