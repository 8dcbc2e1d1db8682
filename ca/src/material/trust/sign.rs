//! An officer's signature with a key in a file. Keys on tokens sign with `openssl cms`, from outside.

use std::path::Path;

use anyhow::{Context, bail};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use ca_x509::{KeyKind, cms::Unsigned};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use x509_cert::{Certificate, der::Decode};

use crate::material::{certificate, read};

/// Signs `document` as the owner of this certificate and key; both PEM, the key PKCS#8.
///
/// # Errors
/// When a file can't be used, or the two don't belong together.
pub(crate) fn sign(document: &[u8], certificate_file: &Path, key_file: &Path) -> anyhow::Result<Vec<u8>> {
    let der = certificate("--certificate", certificate_file)?;
    let shown = key_file.display();
    let key = PrivateKeyDer::from_pem_slice(&read("--key", key_file)?)
        .with_context(|| format!("--key: {shown} holds no private key in PEM"))?;
    let PrivateKeyDer::Pkcs8(key) = key else {
        bail!("--key: {shown} isn't PKCS#8; convert it: openssl pkcs8 -topk8 -nocrypt -in {shown}");
    };
    let key = key.secret_pkcs8_der();
    let owner = Certificate::from_der(&der).context("--certificate: it isn't valid DER")?;
    let kind = KeyKind::of(owner.tbs_certificate().subject_public_key_info()).context("--certificate")?;
    let unsigned = Unsigned::new(&der, &[], document).map_err(anyhow::Error::msg).context("--certificate")?;
    let attributes = unsigned.to_be_signed()?;
    let unusable = || anyhow::anyhow!("--key: {shown} isn't a key of the certificate's kind");
    let failed = || anyhow::anyhow!("--key: {shown} can't sign");
    let rng = SystemRandom::new();
    let ecdsa = |algorithm| -> anyhow::Result<Vec<u8>> {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key).map_err(|_| unusable())?;
        Ok(pair.sign(&rng, &attributes).map_err(|_| failed())?.as_ref().to_vec())
    };
    let signature = match kind {
        KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
        KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
        KeyKind::Rsa { .. } => {
            let pair = RsaKeyPair::from_pkcs8(key).map_err(|_| unusable())?;
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &rng, &attributes, &mut signature).map_err(|_| failed())?;
            signature
        }
    };
    let file = unsigned.signed(&signature)?;
    ca_x509::cms::check(&file, document).map_err(|problem| {
        anyhow::anyhow!("--key: the signature {problem}: does the key belong to the certificate?")
    })?;
    Ok(file)
}
