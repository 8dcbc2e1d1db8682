//! The root offline: requests and certificates cross as files, with a fingerprint read aloud.

use std::fs;

use softhsm_tests::openssl::verify;

use super::rig::{Setting, inro_hsm};

#[test]
fn requests_and_certificates_cross_as_files() {
    let setting = Setting::new();
    let crossing = setting.scratch.directory("crossing").expect("folder");
    let request = setting.example("ceremony-request");
    let out = request.out().display().to_string();
    request.does("rehearse", &[]).expect(0);
    let asked = request.does("request", &["--out", &out]).expect(0);
    let csr = crossing.join("issuing.csr");
    fs::copy(request.out().join("issuing.csr"), &csr).expect("carried");

    let aloud = inro_hsm(&["fingerprint", &csr.display().to_string()]).expect(0).stdout;
    let groups: Vec<&str> = aloud.lines().skip(1).collect();
    assert!(
        groups.iter().all(|line| asked.stdout.contains(line)),
        "both hosts say the same: {}",
        asked.stdout
    );
    let sign = setting.example("ceremony-sign-requests");
    let out = sign.holds(&["--confirm", &format!("issuing={}", groups.concat())]);
    for name in ["root.pem", "issuing.pem"] {
        fs::copy(out.join(name), crossing.join(name)).expect("carried back");
    }

    let install = setting.example("ceremony-install");
    let refused = sign.does("install", &[]).expect(4).stderr;
    assert!(refused.contains("of kind \"sign-requests\""), "{refused}");
    let out = install.holds(&[]);
    let crls = [sign.out().join("root.crl"), out.join("issuing.crl")].map(|path| path.display().to_string());
    let options = ["-x509_strict", "-crl_check_all", "-CRLfile", &crls[0], "-CRLfile", &crls[1]];
    verify(&options, &out.join("root.pem"), &[&out.join("issuing.pem")], &out.join("ocsp.pem"))
        .expect("openssl accepts it");
}

#[test]
fn a_certificate_of_another_hosts_key_is_not_installed() {
    let (setting, other) = (Setting::new(), Setting::established());
    setting.scratch.directory("crossing").expect("folder");
    let request = setting.example("ceremony-request");
    request.hold(&[]).expect(0);
    for name in ["root.pem", "issuing.pem"] {
        fs::copy(other.pki().join(name), setting.scratch.join(format!("crossing/{name}")))
            .expect("the wrong stick");
    }
    let install = setting.example("ceremony-install");
    let refused = install.hold(&[]).expect(1);
    assert!(refused.stderr.contains("is not the key of certificate \"issuing.pem\""), "{}", refused.stderr);
    assert_eq!(refused.json()["result"], "failed", "nothing was done");
}
