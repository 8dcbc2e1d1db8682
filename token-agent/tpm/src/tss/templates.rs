//! The public areas that keys are made from. Deterministic templates give the same primary key each time (Part 1, 27).

use tss_esapi::{
    Result,
    abstraction::ek::create_ek_public_from_default_template,
    attributes::{ObjectAttributes, ObjectAttributesBuilder},
    interface_types::{
        algorithm::{AsymmetricAlgorithm, HashingAlgorithm, PublicAlgorithm},
        ecc::EccCurve,
        key_bits::RsaKeyBits,
    },
    structures::{
        EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Public, PublicBuilder,
        PublicEccParameters, PublicEccParametersBuilder, PublicKeyRsa, PublicRsaParametersBuilder,
        RsaExponent, RsaScheme, SymmetricDefinitionObject,
    },
};

use crate::Algorithm;

/// The two endorsement keys that the TCG EK Credential Profile has for the low range of NV indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EkTemplate {
    /// L-1.
    Rsa2048,
    /// L-2.
    P256,
}

impl EkTemplate {
    /// Where PCs keep the key.
    pub(super) fn handle(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x8101_0001,
            Self::P256 => 0x8101_0002,
        }
    }

    /// The NV index of its certificate.
    pub(super) fn certificate(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x01c0_0002,
            Self::P256 => 0x01c0_000a,
        }
    }

    pub(super) fn public(self) -> Result<Public> {
        let algorithm = match self {
            Self::Rsa2048 => AsymmetricAlgorithm::Rsa,
            Self::P256 => AsymmetricAlgorithm::Ecc,
        };
        create_ek_public_from_default_template(algorithm, None)
    }
}

fn own() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
}

/// A key that signs only what the TPM itself says.
pub(super) fn attestation_key() -> Result<Public> {
    let attributes = own().with_restricted(true).with_sign_encrypt(true).build()?;
    let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
    let parameters = PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256)
        .with_restricted(true)
        .build()?;
    ecc(attributes, parameters)
}

/// The key that users' keys are stored under.
pub(super) fn storage_key() -> Result<Public> {
    let attributes = own().with_no_da(true).with_restricted(true).with_decrypt(true).build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    )
    .build()?;
    ecc(attributes, parameters)
}

/// A user's key: it signs whatever its user wants, with the PIN, and guessing that is punished (no `noDA`).
pub(super) fn user_key(algorithm: Algorithm) -> Result<Public> {
    let attributes = own().with_sign_encrypt(true).build()?;
    match algorithm {
        Algorithm::P256 => {
            // Any hash of the curve's use; the builder for signing keys wants one to be fixed.
            let parameters = PublicEccParametersBuilder::new()
                .with_ecc_scheme(EccScheme::Null)
                .with_curve(EccCurve::NistP256)
                .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null);
            ecc(attributes, parameters.build()?)
        }
        Algorithm::Rsa2048 => PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::Rsa)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_rsa_parameters(
                PublicRsaParametersBuilder::new_unrestricted_signing_key(
                    RsaScheme::Null,
                    RsaKeyBits::Rsa2048,
                    RsaExponent::default(),
                )
                .build()?,
            )
            .with_rsa_unique_identifier(PublicKeyRsa::default())
            .build(),
    }
}

fn ecc(attributes: ObjectAttributes, parameters: PublicEccParameters) -> Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// Whether an object was made from this template: everything but the key itself agrees.
pub(super) fn fits(object: &Public, template: &Public) -> bool {
    shape(object.clone()) == shape(template.clone())
}

fn shape(public: Public) -> Public {
    match public {
        Public::Rsa { object_attributes, name_hashing_algorithm, auth_policy, parameters, .. } => {
            let unique = PublicKeyRsa::default();
            Public::Rsa { object_attributes, name_hashing_algorithm, auth_policy, parameters, unique }
        }
        Public::Ecc { object_attributes, name_hashing_algorithm, auth_policy, parameters, .. } => {
            let unique = EccPoint::default();
            Public::Ecc { object_attributes, name_hashing_algorithm, auth_policy, parameters, unique }
        }
        other => other,
    }
}
