//! Certificates of endorsement and attestation keys, and the chains above them.

use super::*;
use crate::domain::fixtures::at;

/// A TPM is known by its endorsement key's certificate only if that is one, by a maker of TPMs.
#[test]
fn an_endorsement_certificate_is_by_its_maker_and_for_its_purpose() {
    let bench = Bench::new();
    let with = |der| bench.code(TpmEvidence { ek_certificate: Some(der), ..bench.evidence() });
    let having = |change: fn(&mut Vec<Extension>)| {
        let mut extensions = ek_extensions();
        change(&mut extensions);
        with(bench.leaf(bench.tpm.ek(), extensions).der())
    };
    assert_eq!(having(|_| {}), "ok");
    assert_eq!(having(|all| drop(all.remove(2))), "ok", "no purpose, but a usage: Google's");
    assert_eq!(having(|all| drop(all.remove(3))), "ok", "no name: Google's");
    assert_eq!(having(|all| all[2] = purposes(&[])), "evidence-ek-certificate", "an empty purpose");
    assert_eq!(having(|all| all[2] = purposes(&[AK_USAGE])), "evidence-ek-certificate");
    assert_eq!(having(|all| drop(all.drain(1..3))), "evidence-ek-certificate", "neither usage nor purpose");
    assert_eq!(
        having(|all| {
            all[1] = extension::key_usage(KeyUsages::DigitalSignature).expect("an extension");
        }),
        "evidence-ek-certificate",
        "a key that signs"
    );
    assert_eq!(having(|all| all[3] = tpm_name("Infineon")), "evidence-ek-certificate", "no registered maker");
    assert_eq!(having(|all| all.push(purposes(&[EK_USAGE]))), "evidence-ek-certificate", "twice");
    assert_eq!(
        having(|all| all[0] = extension::certificate_authority(None).expect("an extension")),
        "evidence-ek-certificate",
        "a CA's"
    );
    let stranger = ObjectIdentifier::new_unwrap("1.2.3.4");
    assert_eq!(
        with(
            bench
                .leaf(
                    bench.tpm.ek(),
                    [ek_extensions(), vec![raw_extension(stranger, true, &[5, 0])]].concat()
                )
                .der()
        ),
        "evidence-chain-critical-extension"
    );
    assert_eq!(with(vec![0x30; 5000]), "evidence-too-large");
    assert_eq!(with(vec![0x30; 50]), "evidence-malformed");
}

/// A maker of YubiKeys vouches for no TPM, and the reverse; a software TPM's maker for nothing.
#[test]
fn only_makers_of_tpms_vouch_for_tpms() {
    let (bench, imitation) = (Bench::new(), Bench::new());
    let mut anchors = bench.anchors();
    assert_eq!(
        bench.verdict_by(bench.evidence(), &imitation.anchors()).expect_err("imitation"),
        "evidence-chain-signature"
    );
    let elsewhere =
        Certificate { issuer: common_name("swtpm-localca"), ..bench.leaf(bench.tpm.ek(), ek_extensions()) };
    let elsewhere = TpmEvidence { ek_certificate: Some(elsewhere.der()), ..bench.evidence() };
    assert_eq!(bench.code(elsewhere), "evidence-unknown-issuer");
    for purpose in [Purpose::PivIssuer, Purpose::Link] {
        anchors[1].purpose = purpose;
        assert_eq!(bench.verdict_by(bench.evidence(), &anchors).expect_err("PIV"), "evidence-chain-purpose");
    }
    // The intermediate is a helper that anybody may bring; the root decides.
    let offered = TpmEvidence { ek_intermediates: vec![bench.issuer_der()], ..bench.evidence() };
    assert!(bench.verdict_by(offered.clone(), &bench.anchors()[..1]).is_ok());
    anchors[0].purpose = Purpose::PivIssuer;
    assert_eq!(bench.verdict_by(offered, &anchors[..1]).expect_err("PIV"), "evidence-chain-purpose");
    let many = TpmEvidence { ek_intermediates: vec![bench.issuer_der(); 100], ..bench.evidence() };
    assert_eq!(bench.code(many), "evidence-too-many-certificates");
}

/// Healthy machines outlive their certificates: that is for the policy, and never true before notBefore.
#[test]
fn an_expired_certificate_is_for_the_policy() {
    let mut bench = Bench::new();
    let between = |from, to| bench.leaf(bench.tpm.ek(), ek_extensions()).der_between(from, to);
    let expired = between("2020-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
    let future = between("2027-01-01T00:00:00Z", "2049-01-01T00:00:00Z");
    let with =
        |der: &Vec<u8>, bench: &Bench| TpmEvidence { ek_certificate: Some(der.clone()), ..bench.evidence() };
    assert_eq!(bench.code(with(&expired, &bench)), "evidence-ek-expired");
    assert_eq!(bench.code(with(&future, &bench)), "evidence-chain-not-valid-now");
    bench.rules.accept_expired_ek_certificates = true;
    let accepted = bench.verdict(with(&expired, &bench)).expect("by policy");
    assert!(accepted.decoded().contains("voucher_expired=true"));
    assert_eq!(bench.code(with(&future, &bench)), "evidence-chain-not-valid-now");
    bench.now = at("2050-06-01T00:00:00Z");
    assert_eq!(bench.code(bench.evidence()), "ok", "the maker's own have expired as well");
}

/// Where a maker or an authority certified the attestation key itself, the endorsement key needs no certificate.
#[test]
fn an_attestation_keys_certificate_vouches_as_well() {
    let bench = Bench::new();
    let with = |certificates: Vec<Vec<u8>>| {
        bench.code(TpmEvidence { ek_certificate: None, ak_certificates: certificates, ..bench.evidence() })
    };
    let having = |change: fn(&mut Vec<Extension>)| {
        let mut extensions = ak_extensions();
        change(&mut extensions);
        with(vec![bench.leaf(bench.tpm.ak(), extensions).der()])
    };
    assert_eq!(having(|_| {}), "ok");
    assert_eq!(having(|all| all[2] = purposes(&[])), "evidence-ak-certificate", "an empty purpose");
    assert_eq!(having(|all| drop(all.remove(2))), "evidence-ak-certificate", "no purpose");
    assert_eq!(having(|all| drop(all.remove(3))), "evidence-ak-certificate", "no name");
    assert_eq!(having(|all| all[2] = purposes(&[EK_USAGE])), "evidence-ak-certificate");
    let another = bench.leaf(SoftTpm::new().ak(), ak_extensions()).der();
    assert_eq!(with(vec![another]), "evidence-ak-certificate-key");
    let ours = bench.leaf(bench.tpm.ak(), ak_extensions()).der();
    assert_eq!(with(vec![ours.clone(), bench.issuer_der(), bench.root_der()]), "ok", "with those above it");
    assert_eq!(with(vec![ours; 5]), "evidence-too-many-certificates");
    let as_ek = bench.leaf(bench.tpm.ek(), ak_extensions()).der();
    let as_ek = TpmEvidence { ek_certificate: Some(as_ek), ..bench.evidence() };
    assert_eq!(bench.code(as_ek), "evidence-ek-certificate", "a signing key's certificate wraps nothing");
}
