//! `signer.toml` as it is written. No field is judged here; unknown ones are refused.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signer {
    pub(super) name: String,
    pub(super) journal: PathBuf,
    pub(super) latch: PathBuf,
    pub(super) socket: Socket,
    pub(super) token: Tokens,
    pub(super) custody: Option<Custody>,
    #[serde(default, rename = "key")]
    pub(super) keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Socket {
    pub(super) path: PathBuf,
    #[serde(default = "mode")]
    pub(super) mode: String,
    pub(super) allowed_uids: Vec<u32>,
    #[serde(default = "connections")]
    pub(super) max_connections: u16,
    #[serde(default = "in_flight")]
    pub(super) max_in_flight: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Custody {
    pub(super) socket: PathBuf,
    #[serde(default = "mode")]
    pub(super) mode: String,
    pub(super) allowed_uids: Vec<u32>,
}

/// `[token]`, or `[[token]]` for several.
#[derive(Debug)]
pub(super) enum Tokens {
    One(Box<Token>),
    Several(Vec<Token>),
}

/// By hand, because what is derived for an untagged enum hides what is wrong inside.
impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Tokens;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table [token], or tables [[token]]")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Tokens, M::Error> {
                Token::deserialize(MapAccessDeserializer::new(map)).map(Box::new).map(Tokens::One)
            }

            fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<Tokens, S::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Tokens::Several)
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) name: Option<String>,
    pub(super) module: PathBuf,
    pub(super) vendor: Option<String>,
    pub(super) label: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) pin_file: Option<PathBuf>,
    pub(super) pin_credential: Option<String>,
    pub(super) pin_custody: Option<PathBuf>,
    pub(super) pin: Option<String>,
    #[serde(default = "lanes")]
    pub(super) lanes: u16,
    pub(super) issuing_lanes: Option<u16>,
    pub(super) ocsp_lanes: Option<u16>,
    #[serde(default = "queue")]
    pub(super) queue: u16,
    #[serde(default = "start_seconds")]
    pub(super) start_seconds: u64,
    #[serde(default = "sign_seconds")]
    pub(super) sign_seconds: u64,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "role", rename_all = "lowercase")]
pub(super) enum Key {
    Issuing {
        label: String,
        id: String,
        certificate: PathBuf,
        #[serde(default)]
        profile: Profile,
    },
    Ocsp {
        label: String,
        id: String,
        certificate: PathBuf,
        issuer: String,
        #[serde(default = "ocsp_minutes")]
        max_validity_minutes: u32,
        #[serde(default)]
        issued_elsewhere: bool,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Profile {
    pub(super) max_validity_days: u32,
    pub(super) extended_key_usages: Vec<String>,
    pub(super) policies: Vec<String>,
    pub(super) max_crl_days: u32,
    pub(super) max_responder_days: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            max_validity_days: 398,
            extended_key_usages: vec!["clientAuth".to_owned()],
            policies: Vec::new(),
            max_crl_days: 7,
            max_responder_days: 45,
        }
    }
}

fn mode() -> String {
    "0660".to_owned()
}

fn connections() -> u16 {
    32
}

fn in_flight() -> u16 {
    256
}

fn lanes() -> u16 {
    4
}

fn queue() -> u16 {
    1024
}

fn start_seconds() -> u64 {
    30
}

fn sign_seconds() -> u64 {
    5
}

fn ocsp_minutes() -> u32 {
    60
}
