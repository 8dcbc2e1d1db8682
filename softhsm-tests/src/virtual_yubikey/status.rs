//! The status words of ISO 7816-4 that the card answers with.

/// A status word (SW1 SW2); everything but `9000` ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// Done.
    pub const OK: Self = Self(0x9000);
    /// The data field has the wrong length.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// PIN, management key or touch is missing.
    pub const SECURITY_NOT_SATISFIED: Self = Self(0x6982);
    /// The PIN or PUK is blocked.
    pub const BLOCKED: Self = Self(0x6983);
    /// The card is not in the state that the command needs.
    pub const CONDITIONS_NOT_SATISFIED: Self = Self(0x6985);
    /// The data field makes no sense.
    pub const WRONG_DATA: Self = Self(0x6a80);
    /// No such object or application.
    pub const NOT_FOUND: Self = Self(0x6a82);
    /// The object doesn't fit.
    pub const NO_SPACE: Self = Self(0x6a84);
    /// P1 or P2 is wrong.
    pub const WRONG_PARAMETERS: Self = Self(0x6a86);
    /// No key in that slot.
    pub const REFERENCE_NOT_FOUND: Self = Self(0x6a88);
    /// No such instruction in this application (or this firmware).
    pub const UNKNOWN_INSTRUCTION: Self = Self(0x6d00);
    /// The class byte isn't served.
    pub const UNKNOWN_CLASS: Self = Self(0x6e00);
    /// Something broke inside the card.
    pub const INTERNAL: Self = Self(0x6f00);

    /// A wrong PIN or PUK, with the attempts that are left.
    pub fn wrong_reference(left: u8) -> Self {
        if left == 0 { Self::BLOCKED } else { Self(0x63c0 | u16::from(left.min(15))) }
    }

    /// More response data wait for GET RESPONSE; `remaining` is in bytes.
    pub fn more_data(remaining: usize) -> Self {
        Self(0x6100 | u16::from(u8::try_from(remaining).unwrap_or(0)))
    }
}

/// What a command handler returns: response data, or why not.
pub(super) type Outcome = Result<Vec<u8>, Status>;
