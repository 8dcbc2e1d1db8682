//! Keys, requests and certificates in software: foreign authorities, server certificates and hostile clients.
//!
//! Made with `rcgen`, which is not what the authority under test uses.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use jiff::civil::Date;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequest,
    CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RevokedCertParams,
    RsaKeySize, SerialNumber,
};

/// The kinds of key that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// RSA with 2048 bits.
    Rsa2048,
}

/// A new key.
///
/// # Errors
/// When it can't be made.
pub fn key(kind: KeyKind) -> Result<KeyPair> {
    match kind {
        KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyKind::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    }
    .context("generating a key")
}

/// A certification request for a common name, to be signed by `key`; `extensions` are asked for as they are.
///
/// # Errors
/// When it can't be built.
pub fn request(
    common_name: &str,
    key: &KeyPair,
    extensions: Vec<CustomExtension>,
) -> Result<CertificateSigningRequest> {
    let mut parameters = named(common_name)?;
    parameters.custom_extensions = extensions;
    parameters.serialize_request(key).context("building a request")
}

fn named(common_name: &str) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(Vec::new()).context("composing a certificate")?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    Ok(parameters)
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PKCS#8 PEM.
    pub key: String,
}

impl Identity {
    /// Writes `STEM.pem` and `STEM.key` into `directory` and returns their paths.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn write(&self, directory: &Path, stem: &str) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) =
            (directory.join(format!("{stem}.pem")), directory.join(format!("{stem}.key")));
        fs::write(&certificate, &self.certificate)
            .with_context(|| format!("writing {}", certificate.display()))?;
        fs::write(&key, &self.key).with_context(|| format!("writing {}", key.display()))?;
        Ok((certificate, key))
    }
}

/// An authority in software.
#[derive(Debug)]
pub struct SoftAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl SoftAuthority {
    /// A self-signed one with a P-256 key.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(common_name: &str) -> Result<Self> {
        let key = key(KeyKind::P256)?;
        let mut parameters = named(common_name)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key).context("signing an authority")?.pem();
        Ok(Self { issuer: Issuer::new(parameters, key), certificate })
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A server certificate for these DNS names and IP addresses.
    ///
    /// # Errors
    /// When a name is none.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        self.issue(&Self::server_parameters(names)?, KeyKind::P256)
    }

    /// The same, valid from the first day of one year to that of another.
    ///
    /// # Errors
    /// When a name is none.
    pub fn server_between(&self, names: &[&str], (from_year, to_year): (i32, i32)) -> Result<Identity> {
        let mut parameters = Self::server_parameters(names)?;
        parameters.not_before = rcgen::date_time_ymd(from_year, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(to_year, 1, 1);
        self.issue(&parameters, KeyKind::P256)
    }

    fn server_parameters(names: &[&str]) -> Result<CertificateParams> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let first = names.first().cloned().unwrap_or_default();
        let mut parameters = CertificateParams::new(names).context("composing a server certificate")?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, first);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(parameters)
    }

    /// A client certificate with this subject.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn client(&self, subject: &[(DnType, &str)], kind: KeyKind) -> Result<Identity> {
        self.issue(&Self::client_parameters(subject)?, kind)
    }

    /// The same with a P-256 key, valid from the first day of one year to that of another.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn client_between(
        &self,
        subject: &[(DnType, &str)],
        (from_year, to_year): (i32, i32),
    ) -> Result<Identity> {
        let mut parameters = Self::client_parameters(subject)?;
        parameters.not_before = rcgen::date_time_ymd(from_year, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(to_year, 1, 1);
        self.issue(&parameters, KeyKind::P256)
    }

    /// Its CRL with this number, DER: it lists these serial numbers.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn revocation_list(&self, number: u64, serials: &[Vec<u8>]) -> Result<Vec<u8>> {
        let revoked = |serial: &Vec<u8>| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: rcgen::date_time_ymd(2026, 4, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let parameters = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 4, 1),
            next_update: rcgen::date_time_ymd(2036, 4, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(parameters.signed_by(&self.issuer).context("signing a CRL")?.der().to_vec())
    }

    /// A client certificate (DER) for a key that lives elsewhere, given as SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// When the key can't be read.
    pub fn client_for(&self, subject: &[(DnType, &str)], public_key: &[u8]) -> Result<Vec<u8>> {
        self.certify(&Self::client_parameters(subject)?, public_key)
    }

    /// The same, valid from the beginning of one day (UTC) to that of another.
    ///
    /// # Errors
    /// When the key can't be read.
    pub fn client_for_days(
        &self,
        subject: &[(DnType, &str)],
        public_key: &[u8],
        (first, end): (Date, Date),
    ) -> Result<Vec<u8>> {
        let mut parameters = Self::client_parameters(subject)?;
        let time = |day: Date| {
            rcgen::date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
        };
        (parameters.not_before, parameters.not_after) = (time(first), time(end));
        self.certify(&parameters, public_key)
    }

    fn certify(&self, parameters: &CertificateParams, public_key: &[u8]) -> Result<Vec<u8>> {
        let public_key = rcgen::SubjectPublicKeyInfo::from_der(public_key).context("reading a public key")?;
        let certificate = parameters.signed_by(&public_key, &self.issuer).context("signing a client")?;
        Ok(certificate.der().to_vec())
    }

    fn client_parameters(subject: &[(DnType, &str)]) -> Result<CertificateParams> {
        let mut parameters = CertificateParams::new(Vec::new()).context("composing a client certificate")?;
        parameters.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            parameters.distinguished_name.push(kind.clone(), *value);
        }
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(parameters)
    }

    fn issue(&self, parameters: &CertificateParams, kind: KeyKind) -> Result<Identity> {
        let key = key(kind)?;
        let certificate = parameters.signed_by(&key, &self.issuer).context("signing a certificate")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
