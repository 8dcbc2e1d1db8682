//! `signer.toml` as it is written. No field is judged here; unknown ones are refused.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signer {
    pub(super) name: String,
    pub(super) journal: PathBuf,
    pub(super) latch: PathBuf,
    pub(super) socket: Socket,
    pub(super) token: Token,
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
pub(super) struct Token {
    pub(super) module: PathBuf,
    pub(super) label: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) pin_file: PathBuf,
    #[serde(default = "lanes")]
    pub(super) lanes: u16,
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
