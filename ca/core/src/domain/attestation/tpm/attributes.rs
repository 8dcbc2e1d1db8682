//! `TPMA_OBJECT` (TPM 2.0 Part 2, 8.3): what a TPM does and doesn't do with a key. The TPM sets and keeps them; nobody can
//! claim others without another Name.

use std::fmt;

/// The attributes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes(u32);

impl Attributes {
    /// The key never leaves its TPM.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// It is lost when the TPM restarts.
    pub const ST_CLEAR: Self = Self(1 << 2);
    /// It never gets another parent.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM itself made all of its secret.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// Its use can be authorised by its auth value.
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    /// Its administration needs its policy.
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// Wrong auth values don't count towards the dictionary-attack lockout.
    pub const NO_DA: Self = Self(1 << 10);
    /// It signs or decrypts only what the TPM itself made.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// It decrypts.
    pub const DECRYPT: Self = Self(1 << 17);
    /// It signs.
    pub const SIGN: Self = Self(1 << 18);

    /// Bits with a meaning, up to revision 1.59 and its successors; the others must be 0.
    const DEFINED: u32 = 0x000f_0ff6;

    const NAMES: [(Self, &'static str); 10] = [
        (Self::FIXED_TPM, "fixedTPM"),
        (Self::ST_CLEAR, "stClear"),
        (Self::FIXED_PARENT, "fixedParent"),
        (Self::SENSITIVE_DATA_ORIGIN, "sensitiveDataOrigin"),
        (Self::USER_WITH_AUTH, "userWithAuth"),
        (Self::ADMIN_WITH_POLICY, "adminWithPolicy"),
        (Self::NO_DA, "noDA"),
        (Self::RESTRICTED, "restricted"),
        (Self::DECRYPT, "decrypt"),
        (Self::SIGN, "sign"),
    ];

    /// Reads them; `None` when a reserved bit is set.
    pub(super) fn from_bits(bits: u32) -> Option<Self> {
        (bits & !Self::DEFINED == 0).then_some(Self(bits))
    }

    /// The number.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of these are set.
    pub fn contain(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }

    /// The first of `required` that isn't set.
    pub(super) fn lack(self, required: &[Self]) -> Option<Self> {
        required.iter().copied().find(|attribute| !self.contain(*attribute))
    }

    /// The first of `forbidden` that is set.
    pub(super) fn have(self, forbidden: &[Self]) -> Option<Self> {
        forbidden.iter().copied().find(|attribute| self.contain(*attribute))
    }
}

impl fmt::Display for Attributes {
    /// The names, with bars between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(attribute, _)| self.contain(*attribute));
        for (index, (_, name)) in names.enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { "|" })?;
        }
        Ok(())
    }
}
