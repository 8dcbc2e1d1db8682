//! Base64 as it stands in headers (RFC 8941, 4.2.7: missing padding is no error) and in paths (clients, and proxies on the
//! way, leave it out). Everything else is strict.

use base64::{
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Decodes with and without padding.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
