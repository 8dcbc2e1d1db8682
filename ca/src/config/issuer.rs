//! `[[issuer]]`: an issuing CA, its signer and its OCSP responder.

use std::path::{Path, PathBuf};

use ca_core::domain::{
    ids::{IssuerId, SignerName},
    profile::PolicyOids,
};
use der::oid::ObjectIdentifier;
use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

/// The ID of the issuer of customers' certificates.
pub(super) const CUSTOMER: &str = "customer";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    id: String,
    certificate: String,
    chain: Vec<String>,
    signer_socket: String,
    signer: String,
    issuing_key: String,
    ocsp_key: String,
    ocsp_certificate: String,
    first_crl: Option<String>,
    policies: RawPolicies,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicies {
    asserted: String,
    attested: String,
    attested_pin: String,
}

/// An issuing CA.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// Its name in paths, audit rows and the ledger.
    pub(crate) id: IssuerId,
    /// Its certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// The certificates above it, PEM, up to the root.
    pub(crate) chain: Vec<PathBuf>,
    /// The signer's Unix socket.
    pub(crate) signer_socket: PathBuf,
    /// The signer's name, which intents carry.
    pub(crate) signer: SignerName,
    /// The signer's label of the issuing key.
    pub(crate) issuing_key: String,
    /// The signer's label of the OCSP responder's key.
    pub(crate) ocsp_key: String,
    /// The OCSP responder's certificate of the ceremony, PEM; read again when the file changes, and renewed in the ledger.
    pub(crate) ocsp_certificate: PathBuf,
    /// The CRL of the key ceremony, PEM or DER.
    pub(crate) first_crl: Option<PathBuf>,
    /// certificatePolicies by assurance.
    pub(crate) policies: PolicyOids,
}

pub(super) fn validate(raw: Vec<Raw>, base: &Path) -> ConfigResult<Vec<Issuer>> {
    let mut issuers: Vec<Issuer> = Vec::with_capacity(raw.len());
    for entry in raw {
        let issuer = entry.validate(base)?;
        if issuers.iter().any(|other| other.id == issuer.id) {
            return Err(ConfigError::value(
                "issuer.id",
                format_args!("{:?} stands there twice", issuer.id.as_str()),
                "give each [[issuer]] its own id",
            ));
        }
        issuers.push(issuer);
    }
    if issuers.iter().any(|issuer| issuer.id.as_str() == CUSTOMER) {
        return Ok(issuers);
    }
    Err(ConfigError::value(
        "issuer.id",
        format_args!("there is no issuer {CUSTOMER:?}"),
        format!("add an [[issuer]] with id = {CUSTOMER:?}: it issues customers' certificates"),
    ))
}

impl Raw {
    fn validate(self, base: &Path) -> ConfigResult<Issuer> {
        let id = IssuerId::parse(&self.id)
            .map_err(|error| ConfigError::value("issuer.id", error, "for example \"customer\""))?;
        let key = |name: &str| format!("issuer.{id}.{name}");
        if id.as_str() == "root" || id.as_str().starts_with("root-") {
            return Err(ConfigError::value(
                "issuer.id",
                "the root is never configured here",
                "its key has no place in a server; name its certificate under chain",
            ));
        }
        if self.chain.is_empty() {
            return Err(ConfigError::value(
                key("chain"),
                "it is empty",
                "name the certificates above the issuing one, up to the root",
            ));
        }
        for (name, text) in [("issuing_key", &self.issuing_key), ("ocsp_key", &self.ocsp_key)] {
            if text.is_empty() {
                return Err(ConfigError::value(
                    key(name),
                    "it is empty",
                    "write the signer's own name for it",
                ));
            }
        }
        let signer = SignerName::parse(&self.signer).map_err(|error| {
            ConfigError::value(
                key("signer"),
                error,
                "write the name that the signer's configuration gives it",
            )
        })?;
        Ok(Issuer {
            certificate: value::path(&key("certificate"), &self.certificate, base)?,
            chain: value::paths(&key("chain"), &self.chain, base)?,
            signer_socket: value::path(&key("signer_socket"), &self.signer_socket, base)?,
            ocsp_certificate: value::path(&key("ocsp_certificate"), &self.ocsp_certificate, base)?,
            first_crl: self.first_crl.map(|text| value::path(&key("first_crl"), &text, base)).transpose()?,
            policies: self.policies.validate(key)?,
            signer,
            issuing_key: self.issuing_key,
            ocsp_key: self.ocsp_key,
            id,
        })
    }
}

impl RawPolicies {
    /// A relying party demands an assurance by its policy: one for two levels would say less than it seems to.
    fn validate(&self, key: impl Fn(&str) -> String) -> ConfigResult<PolicyOids> {
        let levels = [
            ("policies.attested_pin", &self.attested_pin),
            ("policies.attested", &self.attested),
            ("policies.asserted", &self.asserted),
        ];
        for (index, (name, text)) in levels.iter().enumerate() {
            if let Some((other, _)) = levels[..index].iter().find(|(_, earlier)| earlier == text) {
                let problem = format!("{text:?} is {} as well", key(other));
                return Err(ConfigError::value(key(name), problem, "give each level of assurance its own"));
            }
        }
        let [attested_with_pin, attested, asserted] = levels.map(|(name, text)| oid(&key(name), text));
        Ok(PolicyOids { asserted: asserted?, attested: attested?, attested_with_pin: attested_with_pin? })
    }
}

fn oid(key: &str, text: &str) -> ConfigResult<ObjectIdentifier> {
    ObjectIdentifier::new(text).map_err(|_| {
        ConfigError::value(
            key,
            format_args!("{text:?} isn't an object identifier"),
            "use an arc of your own enterprise number, such as \"1.3.6.1.4.1.32473.1.1\"",
        )
    })
}
