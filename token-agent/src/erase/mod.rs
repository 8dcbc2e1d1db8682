//! Retiring a token or this computer (譲渡・廃棄する場合). Each key signs for the bank, just before, that it goes.

mod card;
mod tpm;

pub(crate) use card::{Emptied, ErasedSlot, empty, erase};
pub(crate) use tpm::{ErasedKey, erase_key};

/// What is gone, on whatever device.
#[derive(Debug)]
pub(crate) enum Gone {
    Slot(ErasedSlot),
    Token(Emptied),
    TpmKey(ErasedKey),
    /// Nothing; what went before was to be told.
    Nothing,
}
