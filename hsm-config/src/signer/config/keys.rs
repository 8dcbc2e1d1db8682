//! The `[[key]]` tables: each key's certificate is read and must fit its role.

use std::{
    fs,
    path::{Path, PathBuf},
};

use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ANY_POLICY, ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING},
};
use der::Encode;
use jiff::SignedDuration;
use signer_protocol::message::KeyLabel;
use x509_cert::Certificate;

use super::{check_name, raw};
use crate::{
    signer::policy::{
        ComparableName,
        key::{self, Identity, IssuingKey, Profile, Responder, ResponderKey},
    },
    token::KeyId,
};

/// A configured key.
#[derive(Clone, Debug)]
pub struct Key {
    /// `CKA_ID` on the token.
    pub id: KeyId,
    /// DER of its certificate.
    pub certificate: Vec<u8>,
    /// What it may do.
    pub role: Role,
}

/// What a key may do.
#[derive(Clone, Debug)]
pub enum Role {
    /// Certificates and CRLs.
    Issuing(IssuingKey),
    /// OCSP responses.
    Ocsp(ResponderKey),
}

impl Key {
    /// Its label.
    pub fn label(&self) -> &KeyLabel {
        match &self.role {
            Role::Issuing(key) => &key.label,
            Role::Ocsp(key) => &key.label,
        }
    }

    /// What its certificate says.
    pub fn identity(&self) -> &Identity {
        match &self.role {
            Role::Issuing(key) => &key.identity,
            Role::Ocsp(key) => &key.identity,
        }
    }
}

/// Reads all keys; what isn't usable is left out and told in `mistakes`.
pub(super) fn validate(raw: Vec<raw::Key>, folder: &Path, mistakes: &mut Vec<String>) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let (issuing, ocsp): (Vec<_>, Vec<_>) =
        raw.into_iter().partition(|key| matches!(key, raw::Key::Issuing { .. }));
    // Issuing keys first: responders refer to them.
    for key in issuing.into_iter().chain(ocsp) {
        match one(key, folder, &keys) {
            Ok(key) => match duplicate(&key, &keys) {
                Some(mistake) => mistakes.push(mistake),
                None => keys.push(key),
            },
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if !keys.iter().any(|key| matches!(key.role, Role::Issuing(_))) {
        mistakes
            .push("no usable key with role = \"issuing\": add a [[key]] table for the issuing CA".to_owned());
    }
    for key in &keys {
        check_name("key.label", &key.label().0, mistakes);
    }
    connect(&mut keys);
    keys
}

fn duplicate(key: &Key, others: &[Key]) -> Option<String> {
    let label = &key.label().0;
    let other = others.iter().find(|other| {
        other.label() == key.label()
            || other.id == key.id
            || other.identity().public_key_der == key.identity().public_key_der
    })?;
    Some(format!(
        "key {label:?} and key {:?} have the same label, id or public key: each key has its own",
        other.label().0
    ))
}

/// Tells issuing keys about their responders and about all keys of the house.
fn connect(keys: &mut [Key]) {
    let own_keys: Vec<Vec<u8>> = keys.iter().map(|key| key.identity().public_key_der.clone()).collect();
    let own_names: Vec<ComparableName> = keys.iter().flat_map(|key| key.identity().names.clone()).collect();
    let responders: Vec<(KeyLabel, Responder)> = keys
        .iter()
        .filter_map(|key| match &key.role {
            Role::Ocsp(responder) => Some((
                responder.issuer.clone(),
                Responder {
                    name: responder.identity.name_der.clone(),
                    public_key: responder.identity.public_key_der.clone(),
                },
            )),
            Role::Issuing(_) => None,
        })
        .collect();
    for key in keys {
        if let Role::Issuing(issuing) = &mut key.role {
            issuing.own_keys.clone_from(&own_keys);
            issuing.own_names.clone_from(&own_names);
            let mine = responders.iter().filter(|(issuer, _)| *issuer == issuing.label);
            issuing.responders = mine.map(|(_, responder)| responder.clone()).collect();
        }
    }
}

fn one(raw: raw::Key, folder: &Path, issuing: &[Key]) -> Result<Key, String> {
    match raw {
        raw::Key::Issuing { label, id, certificate, profile } => {
            let in_key = |detail: String| format!("key {label:?}: {detail}");
            let id = parse_id(&id).map_err(in_key)?;
            let (certificate, der) = read_certificate(&folder.join(certificate)).map_err(in_key)?;
            let (identity, key_identifier) =
                key::issuing(&certificate).map_err(|error| in_key(format!("certificate: {error}")))?;
            let profile = parse_profile(&profile).map_err(in_key)?;
            let key = IssuingKey {
                label: KeyLabel(label),
                identity,
                key_identifier,
                profile,
                responders: Vec::new(),
                own_keys: Vec::new(),
                own_names: Vec::new(),
            };
            Ok(Key { id, certificate: der, role: Role::Issuing(key) })
        }
        raw::Key::Ocsp { label, id, certificate, issuer, max_validity_minutes, issued_elsewhere } => {
            let in_key = |detail: String| format!("key {label:?}: {detail}");
            let id = parse_id(&id).map_err(in_key)?;
            let (certificate, der) = read_certificate(&folder.join(certificate)).map_err(in_key)?;
            let issuer_identity = issuing
                .iter()
                .find(|key| key.label().0 == issuer && matches!(key.role, Role::Issuing(_)))
                .map(|key| key.identity().clone())
                .ok_or_else(|| {
                    in_key(format!(
                        "issuer = {issuer:?}: give the label of a usable key with role = \"issuing\" in this file"
                    ))
                })?;
            let identity = key::responder(&certificate, &issuer_identity)
                .map_err(|error| in_key(format!("certificate: {error}")))?;
            if !(1..=7 * 24 * 60).contains(&max_validity_minutes) {
                return Err(in_key(format!(
                    "max_validity_minutes = {max_validity_minutes}: give 1 to 10080 (a week)"
                )));
            }
            let key = ResponderKey {
                label: KeyLabel(label),
                identity,
                issuer: KeyLabel(issuer),
                issuer_identity,
                max_validity: SignedDuration::from_mins(max_validity_minutes.into()),
                issued_elsewhere,
            };
            Ok(Key { id, certificate: der, role: Role::Ocsp(key) })
        }
    }
}

fn parse_id(id: &str) -> Result<KeyId, String> {
    id.parse().map_err(|error| format!("id: {error}"))
}

fn read_certificate(path: &PathBuf) -> Result<(Certificate, Vec<u8>), String> {
    let content = fs::read(path).map_err(|error| {
        format!("certificate {:?} can't be read ({error}): copy it there from the ceremony", path.display())
    })?;
    let certificate = key::read_certificate(&content).map_err(|error| format!("certificate: {error}"))?;
    let der = certificate.to_der().map_err(|error| format!("certificate: {error}"))?;
    Ok((certificate, der))
}

fn parse_profile(raw: &raw::Profile) -> Result<Profile, String> {
    let days = |key: &str, value: u32, most: u32| {
        if (1..=most).contains(&value) {
            Ok(SignedDuration::from_hours(i64::from(value) * 24))
        } else {
            Err(format!("profile.{key} = {value}: give 1 to {most}"))
        }
    };
    let extended_key_usages = raw
        .extended_key_usages
        .iter()
        .map(|name| match name.as_str() {
            "clientAuth" => Ok(ID_KP_CLIENT_AUTH),
            other => oid("profile.extended_key_usages", other),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if extended_key_usages.is_empty() {
        return Err(
            "profile.extended_key_usages is empty: give \"clientAuth\" or object identifiers".to_owned()
        );
    }
    for forbidden in [ID_KP_OCSP_SIGNING, ANY_EXTENDED_KEY_USAGE] {
        if extended_key_usages.contains(&forbidden) {
            return Err(format!(
                "profile.extended_key_usages has {forbidden}: OCSPSigning is granted by a [[key]] with role = \
                 \"ocsp\" alone, anyExtendedKeyUsage never"
            ));
        }
    }
    let policies: Vec<ObjectIdentifier> =
        raw.policies.iter().map(|policy| oid("profile.policies", policy)).collect::<Result<_, _>>()?;
    if policies.contains(&ANY_POLICY) {
        return Err(format!(
            "profile.policies has {ANY_POLICY}, anyPolicy: it stands for every policy; list those that are meant"
        ));
    }
    Ok(Profile {
        max_validity: days("max_validity_days", raw.max_validity_days, 3660)?,
        extended_key_usages,
        policies,
        max_crl_validity: days("max_crl_days", raw.max_crl_days, 31)?,
        max_responder_validity: days("max_responder_days", raw.max_responder_days, 398)?,
    })
}

fn oid(key: &str, text: &str) -> Result<ObjectIdentifier, String> {
    ObjectIdentifier::new(text)
        .map_err(|_| format!("{key} has {text:?}: write an object identifier such as \"1.3.6.1.5.5.7.3.2\""))
}
