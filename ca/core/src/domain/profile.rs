//! Issuers, and the profile of the certificates that they issue to users.

use std::sync::Arc;

use ca_x509::{
    SignatureAlgorithm,
    extension::{self, YUBICO_PIV},
    key::{self, KeyError, KeyKind},
    publication::is_publishable,
    time,
};
use const_oid::{ObjectIdentifier, db::rfc5280::ID_KP_CLIENT_AUTH};
use der::{Decode, asn1::OctetString};
use jiff::Timestamp;
use x509_cert::{
    Certificate,
    ext::{
        Extension,
        pkix::{BasicConstraints, CertificatePolicies, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
};

use super::{
    device::{Assurance, Device, DeviceKind},
    ids::IssuerId,
};

/// A CA certificate that can't be an issuer's.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// It doesn't parse.
    #[error("the issuer certificate is malformed")]
    Malformed(#[source] der::Error),
    /// Its key is of no kind that Inro uses.
    #[error("the issuer certificate's key is not usable")]
    Key(#[source] KeyError),
    /// Not a CA certificate with key usage keyCertSign and cRLSign.
    #[error("the issuer certificate is not that of a CA which signs certificates and CRLs")]
    NotCa,
    /// It lacks a subject key identifier.
    #[error("the issuer certificate has no subject key identifier")]
    NoKeyIdentifier,
    /// Its validity is beyond what a clock can say.
    #[error("the issuer certificate's validity is out of range")]
    Validity,
}

/// An issuing CA, as its certificate describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    id: IssuerId,
    der: Vec<u8>,
    name: Name,
    public_key: SubjectPublicKeyInfoOwned,
    key_identifier: OctetString,
    algorithm: SignatureAlgorithm,
    not_before: Timestamp,
    not_after: Timestamp,
    policies: Vec<ObjectIdentifier>,
}

impl Issuer {
    /// Reads an issuer's certificate.
    ///
    /// # Errors
    /// [`IssuerError`] when it isn't that of a CA which signs certificates and CRLs.
    pub fn from_certificate(id: IssuerId, der: &[u8]) -> Result<Self, IssuerError> {
        let certificate = Certificate::from_der(der).map_err(IssuerError::Malformed)?;
        let tbs = certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(IssuerError::Malformed)?;
        let usage = tbs.get_extension::<KeyUsage>().map_err(IssuerError::Malformed)?;
        let signs = usage.is_some_and(|(_, KeyUsage(usage))| {
            usage.contains(KeyUsages::KeyCertSign) && usage.contains(KeyUsages::CRLSign)
        });
        if !signs || !constraints.is_some_and(|(_, constraints)| constraints.ca) {
            return Err(IssuerError::NotCa);
        }
        let identifier = tbs.get_extension::<SubjectKeyIdentifier>().map_err(IssuerError::Malformed)?;
        let policies = tbs.get_extension::<CertificatePolicies>().map_err(IssuerError::Malformed)?;
        let public_key = tbs.subject_public_key_info().clone();
        let kind = KeyKind::of(&public_key).map_err(IssuerError::Key)?;
        let instant = |time| time::from_x509(time).map_err(|_| IssuerError::Validity);
        Ok(Self {
            id,
            der: der.to_vec(),
            name: tbs.subject().clone(),
            public_key,
            key_identifier: identifier.ok_or(IssuerError::NoKeyIdentifier)?.1.0,
            algorithm: SignatureAlgorithm::for_key(kind),
            not_before: instant(&tbs.validity().not_before)?,
            not_after: instant(&tbs.validity().not_after)?,
            policies: policies.map_or_else(Vec::new, |(_, CertificatePolicies(policies))| {
                policies.into_iter().map(|policy| policy.policy_identifier).collect()
            }),
        })
    }

    /// Its name in configuration and ledger.
    pub fn id(&self) -> &IssuerId {
        &self.id
    }

    /// Its certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its subject, the issuer of what it signs.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its key.
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public_key
    }

    /// Its subject key identifier, the authority key identifier of what it signs.
    pub fn key_identifier(&self) -> &OctetString {
        &self.key_identifier
    }

    /// What it signs with.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// From when its certificate is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when its certificate is valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// The certificate policy of each level of assurance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyOids {
    /// The key's home is only claimed.
    pub asserted: ObjectIdentifier,
    /// The maker attests that the key was generated in the device.
    pub attested: ObjectIdentifier,
    /// The same, and that the device asks for its PIN.
    pub attested_with_pin: ObjectIdentifier,
}

impl PolicyOids {
    /// The policy of one level.
    pub fn of(&self, assurance: Assurance) -> ObjectIdentifier {
        match assurance {
            Assurance::Asserted => self.asserted,
            Assurance::Attested => self.attested,
            Assurance::AttestedWithPin => self.attested_with_pin,
        }
    }
}

/// Where relying parties find what an issuer publishes, as it stands in certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// What the URLs of the issuer's CRLs begin with; a CRL is `{base}-{partition}.crl`.
    pub crl_base_url: String,
    /// The partition of new certificates. As long as CRLs aren't partitioned there is one, 0, with the full CRL.
    pub crl_partition: u32,
    /// The OCSP responder.
    pub ocsp_url: String,
    /// The issuer's certificate, DER.
    pub ca_issuers_url: String,
}

impl Publication {
    /// Where the CRL for new certificates is.
    pub fn crl_url(&self) -> String {
        format!("{}-{}.crl", self.crl_base_url, self.crl_partition)
    }
}

/// What can't be a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A URL that certificates may not carry.
    #[error(
        "{0:?} is not a plain http URL with an IP address or a fully qualified name, which relying parties need for \
         CRLs, OCSP and CA certificates"
    )]
    Url(String),
    /// Two levels of assurance with one policy.
    #[error("the policy {0} stands for two levels of assurance")]
    AmbiguousPolicy(ObjectIdentifier),
    /// RFC 5280, 6.1: the path's valid policies are those of all its certificates.
    #[error("the issuer's certificate doesn't carry the policy {0}, so no relying party could demand it")]
    IssuerLacksPolicy(ObjectIdentifier),
}

/// Everything that an issuer's user certificates have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    issuer: Issuer,
    policies: PolicyOids,
    publication: Publication,
    /// The authority's keys besides the issuer's. Shared, since each draft keeps its profile.
    own_keys: Arc<[SubjectPublicKeyInfoOwned]>,
}

impl Profile {
    /// Puts a profile together.
    ///
    /// # Errors
    /// [`ProfileError`] when certificates of it couldn't be validated.
    pub fn new(issuer: Issuer, policies: PolicyOids, publication: Publication) -> Result<Self, ProfileError> {
        let all = [policies.asserted, policies.attested, policies.attested_with_pin];
        for (index, policy) in all.iter().enumerate() {
            if all[..index].contains(policy) {
                return Err(ProfileError::AmbiguousPolicy(*policy));
            }
            if !issuer.policies.contains(policy) {
                return Err(ProfileError::IssuerLacksPolicy(*policy));
            }
        }
        for url in [&publication.crl_base_url, &publication.ocsp_url, &publication.ca_issuers_url] {
            if !is_publishable(url) {
                return Err(ProfileError::Url(url.clone()));
            }
        }
        Ok(Self { issuer, policies, publication, own_keys: Arc::default() })
    }

    /// The same, where the authority has these keys besides the issuer's: its root, its other issuers, its OCSP responders.
    #[must_use]
    pub fn with_own_keys(self, keys: impl IntoIterator<Item = SubjectPublicKeyInfoOwned>) -> Self {
        Self { own_keys: keys.into_iter().collect(), ..self }
    }

    /// Whether this is one of the authority's own keys, which are nobody's else.
    pub fn is_own_key(&self, key: &SubjectPublicKeyInfoOwned) -> bool {
        self.issuer.public_key == *key || self.own_keys.contains(key)
    }

    /// Who issues.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The certificate policies.
    pub fn policies(&self) -> &PolicyOids {
        &self.policies
    }

    /// Where things are published.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// The extensions of a certificate, in the order in which they stand in it.
    ///
    /// # Errors
    /// A `der` error when something can't be encoded.
    pub fn extensions(
        &self,
        public_key: &SubjectPublicKeyInfoOwned,
        device: &Device,
        assurance: Assurance,
    ) -> der::Result<Vec<Extension>> {
        let urls = &self.publication;
        let (hw_type, serial) = hardware_module_name(device);
        Ok(vec![
            extension::end_entity()?,
            extension::key_usage(KeyUsages::DigitalSignature)?,
            extension::extended_key_usage(&[ID_KP_CLIENT_AUTH])?,
            extension::subject_key_identifier(key::identifier(public_key)?)?,
            extension::authority_key_identifier(self.issuer.key_identifier.clone())?,
            extension::certificate_policies(&[self.policies.of(assurance)])?,
            extension::hardware_module_name(hw_type, serial)?,
            extension::crl_distribution_point(&urls.crl_url())?,
            extension::authority_info_access(Some(&urls.ocsp_url), Some(&urls.ca_issuers_url))?,
        ])
    }
}

/// The TCG's identifier of TPM 2.0 (`tcg-sv-tpm20`), its hwType in "TPM 2.0 Keys for Device Identity and Attestation".
const TPM_20: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.1.2");
/// NIST's arc for PIV.
const NIST_PIV: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.6");
/// RSA Security's arc for PKCS#11.
const PKCS_11: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.11");

/// A device as hardwareModuleName (RFC 4108, 5): the type is the maker's arc for this kind of device, the serial number
/// the ASCII text that is printed on it.
pub fn hardware_module_name(device: &Device) -> (ObjectIdentifier, &[u8]) {
    let hw_type = match device.kind {
        DeviceKind::YubiKeyPiv => YUBICO_PIV,
        DeviceKind::Tpm => TPM_20,
        DeviceKind::Piv => NIST_PIV,
        DeviceKind::Pkcs11 => PKCS_11,
    };
    (hw_type, device.serial.as_str().as_bytes())
}
