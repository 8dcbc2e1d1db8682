//! Octets in JSON.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

/// Octets, written as base64url without padding (RFC 4648, 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[A-Za-z0-9_-]*$"))]
pub struct Base64Url(pub Vec<u8>);

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Decodes from where the text stands, without a copy of it.
struct Text;

impl Visitor<'_> for Text {
    type Value = Base64Url;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64url without padding")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Base64Url, E> {
        let octets = BASE64_URL_SAFE_NO_PAD.decode(text);
        octets.map(Base64Url).map_err(|_| E::custom("expected base64url without padding"))
    }
}

/// Octets in a document that people open with common tools: base64 with padding (RFC 4648, 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let octets = BASE64_STANDARD.decode(String::deserialize(deserializer)?);
        octets.map(Base64).map_err(|_| D::Error::custom("expected base64 with padding"))
    }
}
