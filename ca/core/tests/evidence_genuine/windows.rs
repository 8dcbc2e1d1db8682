//! Keys that TPMs in Windows machines attested for `WebAuthn`, against Microsoft's root for attestation keys: the same
//! structures as in an enrolment, certified over SHA-1 throughout.

use std::{fs, path::Path};

use aws_lc_rs::digest;
use ca_core::domain::attestation::{
    Anchors, Refusal, Trust,
    tpm::{CertifiedKey, Hash, Signature, TpmRefusal, Vouched, certified_key, of_attestation_key},
};
use ciborium::Value;
use jiff::Timestamp;

use crate::{
    index::{Row, evidence, now, rows},
    tpm::anchors,
};

/// The columns of the table of attestation objects.
const OBJECTS: [&str; 4] =
    ["name", "AIK SAN (vendor, model, version)", "key / attributes", "expected verdict"];
/// The column that says whether the chain holds with and without looking at the time.
const CHAIN: &str = "chain to MS TPM Root 2014 (time ignored / now)";

/// An attestation object, taken apart.
struct Object {
    certificates: Vec<Vec<u8>>,
    info: Vec<u8>,
    area: Vec<u8>,
    signature: Signature,
    /// What must be attested: the hash of authData and of the hash of the client's data.
    expected: Vec<u8>,
}

impl Object {
    fn of(folder: &Path, row: &Row) -> Self {
        let name = row.cell("name");
        let part = |suffix: &str| fs::read(folder.join("tpm").join(format!("{name}.{suffix}"))).ok();
        let object: Value = ciborium::from_reader(&*part("attobj.cbor").expect("an object")).expect("CBOR");
        let auth_data = object.as_map().and_then(|map| {
            map.iter().find(|(key, _)| key.as_text() == Some("authData")).and_then(|(_, v)| v.as_bytes())
        });
        let client = digest::digest(&digest::SHA256, &part("clientdata.json").expect("client data"));
        let bound = [auth_data.expect("authData"), client.as_ref()].concat();
        let (hash, algorithm) = match row.cell("alg") {
            "-65535" => (Hash::Sha1, &digest::SHA1_FOR_LEGACY_USE_ONLY),
            "-257" | "-7" => (Hash::Sha256, &digest::SHA256),
            other => panic!("{name}: algorithm {other}"),
        };
        Self {
            certificates: (0..4).map_while(|n| part(&format!("x5c{n}.der"))).collect(),
            info: part("certinfo.bin").expect("an attestation"),
            area: part("pubarea.bin").expect("a public area"),
            signature: Signature { hash, octets: part("sig.bin").expect("a signature") },
            expected: digest::digest(algorithm, &bound).as_ref().to_vec(),
        }
    }

    fn judged(&self, anchors: &Anchors, at: Timestamp) -> Result<(CertifiedKey, Vouched), Refusal> {
        let (ak, vouched) = of_attestation_key(&self.certificates, anchors, at)?;
        let key =
            certified_key(&ak, &self.signature, &self.info, &self.area, |_| Some(self.expected.clone()))?;
        Ok((CertifiedKey::new(key, self.signature.hash)?, vouched))
    }
}

fn trusted(folder: &Path) -> Anchors {
    Anchors::new(&anchors(folder, "microsoft-tpm-root-2014.pem", Trust::Root)).expect("anchors")
}

#[test]
fn every_listed_object_gets_its_verdict() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    let (mut genuine, mut others) = (0, 0);
    for row in rows(&folder, &OBJECTS) {
        let (name, object) = (row.cell("name"), Object::of(&folder, &row));
        let found = object.judged(&anchors, now());
        if row.cell("expected verdict").contains("REJECT") {
            found.expect_err(name);
            others += 1;
            continue;
        }
        let (key, vouched) = found.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        let (_, chain_now) = row.cell(CHAIN).split_once(" / ").expect("two results");
        assert_eq!(vouched.is_expired, chain_now != "OK", "{name}");

        let said = row.cell("AIK SAN (vendor, model, version)").split(", ").collect::<Vec<_>>();
        let maker = vouched.make.manufacturer.expect("a maker");
        assert_eq!(format!("id:{:08X}", maker.0), said[0], "{name}");
        assert_eq!(vouched.make.model.as_deref(), Some(said[1]), "{name}");
        assert_eq!(vouched.make.version.as_deref(), said[2].strip_prefix("id:"), "{name}");

        let (_, attributes) = row.cell("key / attributes").split_once(": ").expect("attributes");
        let mut expected: Vec<&str> = attributes.split('|').collect();
        let attributes = key.attributes.to_string();
        let mut found: Vec<&str> = attributes.split('|').collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
        assert_eq!(key.signature_hash, Hash::Sha1, "{name}: by policy only");
        genuine += 1;
    }
    assert!(genuine > 0 && others > 0);
}

/// One octet of anything changed, or an honest part of another device: refused.
#[test]
fn parts_of_genuine_objects_prove_nothing_elsewhere() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    let genuine = rows(&folder, &OBJECTS).into_iter().filter(|row| !row.cell("name").starts_with("neg-"));
    let objects: Vec<Object> = genuine.map(|row| Object::of(&folder, &row)).collect();
    let code = |object: &Object| object.judged(&anchors, now()).expect_err("refused");
    for (index, object) in objects.iter().enumerate() {
        let other = &objects[(index + 1) % objects.len()];
        let mixed = |bend: fn(&mut Object, &Object)| {
            let mut mixed = Object {
                certificates: object.certificates.clone(),
                info: object.info.clone(),
                area: object.area.clone(),
                signature: object.signature.clone(),
                expected: object.expected.clone(),
            };
            bend(&mut mixed, other);
            code(&mixed)
        };
        assert_eq!(mixed(|o, other| o.area.clone_from(&other.area)), TpmRefusal::Name.into());
        assert_eq!(
            mixed(|o, other| o.expected.clone_from(&other.expected)),
            TpmRefusal::QualifyingData.into()
        );
        assert_eq!(mixed(|o, other| o.info.clone_from(&other.info)), TpmRefusal::CertifySignature.into());
        assert_eq!(
            mixed(|o, other| o.certificates.clone_from(&other.certificates)),
            TpmRefusal::CertifySignature.into()
        );
        assert!(mixed(|o, _| o.certificates.truncate(1)).code().starts_with("evidence-"));
    }
}
