//! Sealed shares are no secret of this program's: other people's software opens them.

use std::fs;

use argon2::{Algorithm, Argon2, Params, Version};
use softhsm_tests::openssl::openssl;

use crate::rig::Rig;

/// What a custodian would do years later without this program: stretch the passphrase as the file says, by the `argon2`
/// command or here its algorithm, and have openssl open the file.
#[test]
fn openssl_opens_a_passphrase_share() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &["alice", "bob", "carol"]);
    rig.proven_set("set", &plan, &["alice", "bob", "carol"]);
    let file = rig.path("set/generation-1/alice.pem").display().to_string();
    let printed = openssl(&["cms", "-cmsout", "-print", "-inform", "PEM", "-in", &file]).expect("CMS");
    assert!(
        printed.contains("id-smime-ct-authEnvelopedData") && printed.contains("aes-256-gcm"),
        "{printed}"
    );
    let info = cms_identifier(&fs::read_to_string(&file).expect("PEM"));
    let words: Vec<&str> = info.split(' ').collect();
    let [kind, costs, salt] = words.as_slice() else { panic!("{info}") };
    assert_eq!(*kind, "argon2id");
    let cost = |name: &str| -> u32 {
        let found = costs.split(',').find_map(|cost| cost.strip_prefix(name));
        found.expect("a cost").parse().expect("a number")
    };
    let params = Params::new(cost("m="), cost("t="), cost("p="), None).expect("parameters");
    assert!(params.m_cost() >= 65536 && params.t_cost() >= 3, "weaker than RFC 9106 recommends");
    let mut key = [0; 32];
    let passphrase = fs::read_to_string(rig.path("alice.passphrase")).expect("a passphrase");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.trim_end().as_bytes(), salt.as_bytes(), &mut key)
        .expect("stretched");
    let (key, name) = (hex::encode(key), hex::encode(info.as_bytes()));
    let decrypt =
        ["cms", "-decrypt", "-inform", "PEM", "-in", &file, "-secretkey", &key, "-secretkeyid", &name];
    let share = openssl(&decrypt).expect("opened");
    assert!(
        share.contains("\"custodian\":\"alice\"") && share.contains("\"generation\":1"),
        "{}",
        share.len()
    );
}

/// The key's identifier, out of the file's only OCTET STRING that says how it was stretched.
fn cms_identifier(pem: &str) -> String {
    let (_, der) = x509_cert::der::Document::from_pem(pem).expect("PEM");
    let octets = der.as_bytes();
    let start = octets.windows(8).position(|window| window == b"argon2id").expect("how it was stretched");
    let length = usize::from(octets[start - 1]);
    String::from_utf8(octets[start..start + length].to_vec()).expect("text")
}

/// The same for a custodian's key, here one in a file in a token's place.
#[test]
fn openssl_opens_a_share_that_is_sealed_to_a_key() {
    for (curve, name) in [("P-256", "p256"), ("P-384", "p384")] {
        let (rig, hsm) = Rig::with_token();
        let (key, certificate) = (rig.path("key.pem"), rig.path("alice.pem"));
        let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
        openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            &format!("ec_paramgen_curve:{curve}"),
            "-out",
            &key,
        ])
        .expect("a key");
        openssl(&["req", "-x509", "-key", &key, "-subj", "/CN=alice", "-days", "9", "-out", &certificate])
            .expect("a certificate");
        let custodians = ["alice certificate = \"alice.pem\"", "bob", "carol"];
        let plan = rig.plan("vault-pin", "user", &hsm, "vault", &custodians).display().to_string();
        let files = rig.passphrases(&["bob", "carol"]);
        let mut create = vec!["create", "set", "--plan", &plan];
        create.extend(files.iter().map(String::as_str));
        rig.custody(&create).needs_more();
        let file = rig.path("set/generation-1/alice.pem").display().to_string();
        let decrypt =
            ["cms", "-decrypt", "-inform", "PEM", "-in", &file, "-inkey", &key, "-recip", &certificate];
        let share = openssl(&decrypt).expect("opened");
        assert!(share.contains("\"custodian\":\"alice\""), "{name}");
    }
}
