//! What a token shows: certificate, public key, private key, each as a list of attributes.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_BBOOL, CK_OBJECT_HANDLE, CK_ULONG, CKA_ALWAYS_AUTHENTICATE, CKA_ALWAYS_SENSITIVE,
    CKA_CERTIFICATE_TYPE, CKA_CLASS, CKA_DECRYPT, CKA_DERIVE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ENCRYPT,
    CKA_EXTRACTABLE, CKA_ID, CKA_ISSUER, CKA_KEY_TYPE, CKA_LABEL, CKA_LOCAL, CKA_MODIFIABLE, CKA_MODULUS,
    CKA_MODULUS_BITS, CKA_NEVER_EXTRACTABLE, CKA_PRIVATE, CKA_PUBLIC_EXPONENT, CKA_SENSITIVE,
    CKA_SERIAL_NUMBER, CKA_SIGN, CKA_SIGN_RECOVER, CKA_SUBJECT, CKA_TOKEN, CKA_TRUSTED, CKA_UNWRAP,
    CKA_VALUE, CKA_VERIFY, CKC_X_509, CKK_EC, CKK_RSA, CKO_CERTIFICATE, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};
use der::{
    Decode, Encode,
    asn1::{ObjectIdentifier, OctetString},
};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

/// The objects of a token, by handle.
pub(crate) const CERTIFICATE: CK_OBJECT_HANDLE = 1;
pub(crate) const PUBLIC_KEY: CK_OBJECT_HANDLE = 2;
pub(crate) const PRIVATE_KEY: CK_OBJECT_HANDLE = 3;

/// A kind of key, as far as mechanisms differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    Ec,
    Rsa,
}

/// An object's attributes.
#[derive(Clone, Debug)]
pub(crate) struct Object(Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>);

/// The three objects of a certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) key_type: KeyType,
    certificate: Object,
    public_key: Object,
    private_key: Object,
}

impl Object {
    /// An attribute's octets, `None` for one that the object doesn't have.
    pub(crate) fn get(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| *own == kind).map(|(_, value)| value.as_slice())
    }

    /// Whether all of these attributes are its own.
    pub(crate) fn matches(&self, template: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)]) -> bool {
        template.iter().all(|(kind, value)| self.get(*kind) == Some(value.as_slice()))
    }
}

impl Objects {
    /// `None` for a certificate that can't be read or a key that no TPM makes.
    pub(crate) fn of(certificate: &[u8], label: &str) -> Option<Self> {
        let parsed = Certificate::from_der(certificate).ok()?;
        let tbs = parsed.tbs_certificate();
        let spki = tbs.subject_public_key_info();
        let bits = spki.subject_public_key.as_bytes()?;
        // Certificate and keys find each other by it.
        let id = Sha256::digest(spki.to_der().ok()?)[..20].to_vec();
        let subject = tbs.subject().to_der().ok()?;
        let (key_type, public, private) = key_attributes(spki, bits)?;
        let common = |class: CK_ULONG, private: bool| {
            vec![
                (CKA_CLASS, number(class)),
                (CKA_TOKEN, truth(true)),
                (CKA_PRIVATE, truth(private)),
                (CKA_MODIFIABLE, truth(false)),
                (CKA_LABEL, label.as_bytes().to_vec()),
                (CKA_ID, id.clone()),
                (CKA_SUBJECT, subject.clone()),
            ]
        };
        let mut shown = common(CKO_CERTIFICATE, false);
        shown.extend([
            (CKA_CERTIFICATE_TYPE, number(CKC_X_509)),
            (CKA_TRUSTED, truth(false)),
            (CKA_ISSUER, tbs.issuer().to_der().ok()?),
            (CKA_SERIAL_NUMBER, tbs.serial_number().to_der().ok()?),
            (CKA_VALUE, certificate.to_vec()),
        ]);
        let mut public_key = common(CKO_PUBLIC_KEY, false);
        public_key.extend([(CKA_VERIFY, truth(true)), (CKA_ENCRYPT, truth(false)), (CKA_LOCAL, truth(true))]);
        public_key.extend(public);
        let mut private_key = common(CKO_PRIVATE_KEY, true);
        private_key.extend([
            (CKA_SIGN, truth(true)),
            (CKA_SIGN_RECOVER, truth(false)),
            (CKA_DECRYPT, truth(false)),
            (CKA_UNWRAP, truth(false)),
            (CKA_DERIVE, truth(false)),
            (CKA_SENSITIVE, truth(true)),
            (CKA_ALWAYS_SENSITIVE, truth(true)),
            (CKA_EXTRACTABLE, truth(false)),
            (CKA_NEVER_EXTRACTABLE, truth(true)),
            (CKA_LOCAL, truth(true)),
            (CKA_ALWAYS_AUTHENTICATE, truth(false)),
        ]);
        private_key.extend(private);
        Some(Self {
            key_type,
            certificate: Object(shown),
            public_key: Object(public_key),
            private_key: Object(private_key),
        })
    }

    /// The object of a handle; the private key is there for who is logged in.
    pub(crate) fn get(&self, handle: CK_OBJECT_HANDLE, logged_in: bool) -> Option<&Object> {
        match handle {
            CERTIFICATE => Some(&self.certificate),
            PUBLIC_KEY => Some(&self.public_key),
            PRIVATE_KEY => Some(&self.private_key).filter(|_| logged_in),
            _ => None,
        }
    }
}

type Attributes = Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>;

/// What is particular to a kind of key: of the public and of the private one.
fn key_attributes(
    spki: &spki::SubjectPublicKeyInfoOwned,
    bits: &[u8],
) -> Option<(KeyType, Attributes, Attributes)> {
    if let Ok(rsa) = ca_x509::key::RsaPublicKey::from_der(bits) {
        let modulus = rsa.modulus.as_bytes().to_vec();
        let length = CK_ULONG::try_from(modulus.len() * 8).ok()?;
        let both = vec![
            (CKA_KEY_TYPE, number(CKK_RSA)),
            (CKA_MODULUS, modulus),
            (CKA_PUBLIC_EXPONENT, rsa.public_exponent.as_bytes().to_vec()),
        ];
        let public = [both.clone(), vec![(CKA_MODULUS_BITS, number(length))]].concat();
        return Some((KeyType::Rsa, public, both));
    }
    let curve: ObjectIdentifier = spki.algorithm.parameters.as_ref()?.decode_as().ok()?;
    let both = vec![(CKA_KEY_TYPE, number(CKK_EC)), (CKA_EC_PARAMS, curve.to_der().ok()?)];
    let point = OctetString::new(bits).ok()?.to_der().ok()?;
    let public = [both.clone(), vec![(CKA_EC_POINT, point)]].concat();
    Some((KeyType::Ec, public, both))
}

fn number(value: CK_ULONG) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn truth(value: bool) -> Vec<u8> {
    vec![CK_BBOOL::from(value)]
}
