//! Other people's software uses the virtual YubiKey: OpenSC, the vendor's tool, curl and OpenSSL.

use std::{fs, process::Command};

use rcgen::DnType;
use softhsm_tests::{
    card_client::{CardClient, OPENSC_MODULE, opensc_environment},
    openssl,
    ports::PortLease,
    probe::Request,
    process::{Process, output_of, run},
    soft_pki::SoftAuthority,
    virtual_yubikey::Profile,
};

use crate::{Bench, DEADLINE, NEW, OLD, sha256};

#[test]
fn other_peoples_tools_work_with_it() {
    let mut bench = Bench::new(Profile::new(30_000_013, NEW));
    bench.log_in();
    let public_key = bench.generate("9a", "p256");
    let authority = SoftAuthority::new("Some CA").expect("authority");
    let certificate =
        authority.client_for(&[(DnType::CommonName, "Taro")], &public_key).expect("certificate");
    store_certificate(&mut bench, &certificate);
    // The tools want the card for themselves.
    bench.probe = bench.pcscd.probe().expect("probe");

    let opensc =
        opensc_environment(&bench.pcscd, bench.key.reader(), bench.scratch.path()).expect("opensc.conf");
    let opensc = |program: &str, arguments: &[&str]| {
        run(Command::new(program).args(arguments).envs(opensc.iter().cloned())).expect("the tool works")
    };
    let name = opensc("piv-tool", &["--name"]);
    assert!(name.contains("Personal Identity Verification"), "{name}");
    let objects = opensc("pkcs11-tool", &["--module", OPENSC_MODULE, "--login", "--pin", "123456", "-O"]);
    assert!(objects.contains("Certificate for PIV Authentication"), "{objects}");
    assert!(objects.contains("PIV AUTH key"), "{objects}");
    let digest = bench.scratch.write("digest", sha256(b"order")).expect("written").display().to_string();
    let signed = bench.scratch.join("signed").display().to_string();
    opensc(
        "pkcs11-tool",
        &[
            "--module",
            OPENSC_MODULE,
            "--login",
            "--pin",
            "123456",
            "--sign",
            "--mechanism",
            "ECDSA",
            "--id",
            "01",
            "--signature-format",
            "openssl",
            "--input-file",
            &digest,
            "--output-file",
            &signed,
        ],
    );
    bench.assert_signature(&public_key, b"order", &fs::read(&signed).expect("a signature"));

    let yubico = |arguments: &[&str]| {
        let mut command = Command::new("yubico-piv-tool");
        command.args(arguments).envs(bench.pcscd.environment().iter().cloned());
        let output = output_of(&mut command, b"").expect("started");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(yubico(&["-a", "version"]).contains("5.7.2"));
    let status = yubico(&["-a", "status"]);
    assert!(
        status.contains("30000013") && status.contains("CN=Taro") && status.contains("PIN tries left:\t3"),
        "{status}"
    );
    let attestation = yubico(&["-a", "attest", "-s", "9a"]);
    assert!(attestation.contains("BEGIN CERTIFICATE"), "{attestation}");
}

/// yubico-piv-tool does what its owner might. Debian's doesn't know AES management keys, hence the old firmware.
#[test]
fn the_vendors_own_tool_manages_it() {
    let mut bench = Bench::new(Profile::new(14_000_018, OLD));
    bench.probe = bench.pcscd.probe().expect("probe");
    let environment = bench.pcscd.environment().clone();
    let directory = bench.scratch.path().to_owned();
    let tool = |arguments: &[&str]| {
        let mut command = Command::new("yubico-piv-tool");
        command.args(arguments).current_dir(&directory).envs(environment.iter().cloned());
        let output = output_of(&mut command, b"").expect("started");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    let works = |arguments: &[&str]| {
        let (success, text) = tool(arguments);
        assert!(success, "{arguments:?}: {text}");
        text
    };
    let verified = ["-a", "verify-pin", "-P", "123456"];
    works(&[&verified[..], &["-a", "pin-retries", "--pin-retries", "5", "--puk-retries", "4"]].concat());
    assert_eq!((bench.key.state().pin.limit, bench.key.state().puk.limit), (5, 4));

    openssl::openssl(&["genrsa", "-out", &directory.join("rsa.pem").display().to_string(), "2048"])
        .expect("a key");
    works(&["-a", "import-key", "-s", "9d", "-i", "rsa.pem", "--pin-policy", "once"]);
    works(&["-a", "generate", "-s", "9a", "-A", "ECCP256", "-o", "public.pem"]);
    let rsa = directory.join("rsa.pem").display().to_string();
    openssl::openssl(&[
        "pkey",
        "-in",
        &rsa,
        "-pubout",
        "-out",
        &directory.join("rsa-public.pem").display().to_string(),
    ])
    .expect("public");
    let authority = SoftAuthority::new("Some CA").expect("authority");
    for (slot, public) in [("9a", "public.pem"), ("9d", "rsa-public.pem")] {
        let public = openssl::openssl_with_input(
            &[
                "pkey",
                "-pubin",
                "-in",
                &directory.join(public).display().to_string(),
                "-outform",
                "DER",
                "-pubout",
            ],
            b"",
        );
        let certificate =
            authority.client_for(&[(DnType::CommonName, "x")], &public.expect("a key")).expect("certificate");
        let certificate =
            openssl::openssl_with_input(&["x509", "-inform", "DER"], &certificate).expect("PEM");
        bench.scratch.write("certificate.pem", certificate).expect("written");
        works(&["-a", "import-certificate", "-s", slot, "-i", "certificate.pem"]);
        let used = ["-a", "verify-pin", "-P", "123456", "-s", slot, "-i", "certificate.pem", "-a"];
        works(&[&used[..], &["test-signature"]].concat());
        // RSA decryption, and agreement on a secret with the curve.
        works(&[&used[..], &["test-decipher"]].concat());
    }
    let (success, text) = tool(&["-a", "attest", "-s", "9d"]);
    assert!(!success, "an imported key was attested: {text}");

    works(&["-a", "set-chuid", "-a", "set-ccc"]);
    assert!(works(&["-a", "status"]).contains("CHUID:\t30"));
    let (success, text) = tool(&["-a", "reset"]);
    assert!(!success, "reset with a PIN that isn't blocked: {text}");
    for _ in 0..5 {
        tool(&["-a", "verify-pin", "-P", "000000"]);
    }
    for _ in 0..4 {
        tool(&["-a", "change-puk", "-P", "00000000", "-N", "11111111"]);
    }
    works(&["-a", "reset"]);
    let state = bench.key.state();
    assert!(state.slots.is_empty() && state.objects.len() == 1, "only f9 is left");
    assert_eq!(state.pin.left, 3);
}

fn store_certificate(bench: &mut Bench, der: &[u8]) {
    let length = u16::try_from(der.len()).expect("short").to_be_bytes();
    let mut content = vec![0x70, 0x82, length[0], length[1]];
    content.extend(der);
    content.extend([0x71, 1, 0, 0xfe, 0]);
    bench.tell(&Request::Save { object: "5fc105".into(), content: hex::encode(content) });
}

#[test]
fn a_tls_client_logs_in_with_the_keys_of_cards() {
    for (algorithm, firmware, serial) in [
        ("p256", NEW, 30_000_014),
        ("p384", NEW, 30_000_015),
        ("rsa2048", OLD, 14_000_016),
        ("rsa3072", NEW, 30_000_017),
    ] {
        let mut bench = Bench::new(Profile::new(serial, firmware));
        bench.log_in();
        let public_key = bench.generate("9a", algorithm);
        let authority = SoftAuthority::new("Some CA").expect("authority");
        let certificate =
            authority.client_for(&[(DnType::CommonName, "Hanako")], &public_key).expect("certificate");
        store_certificate(&mut bench, &certificate);
        bench.probe = bench.pcscd.probe().expect("probe");

        let directory = bench.scratch.path();
        let trust = bench.scratch.write("trust.pem", authority.certificate()).expect("written");
        let server = authority.server(&["localhost"]).expect("server certificate");
        let (certificate, key) = server.write(directory, "server").expect("written");
        let port = PortLease::one().expect("port");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-tls1_3", "-Verify", "2", "-verify_return_error"]);
        command.arg("-accept").arg(port.address().to_string());
        command.arg("-cert").arg(&certificate).arg("-key").arg(&key).arg("-CAfile").arg(&trust);
        let mut server = Process::spawn("s_server", &mut command, directory).expect("started");
        server.wait_for_log("ACCEPT", DEADLINE).expect("listening");

        let url = format!("https://localhost:{}/", port.port());
        let client = |pin: &str| {
            CardClient::new(&bench.pcscd, bench.key.reader(), 0x9a, pin, &trust, &directory.join("client"))
                .expect("client")
        };
        let response = client("123456").get(&url).unwrap_or_else(|error| panic!("{algorithm}: {error:#}"));
        assert_eq!(response.status, 200);
        assert!(
            response.text().contains("CN=Hanako") || response.text().contains("CN = Hanako"),
            "{}",
            response.text()
        );
        client("999999").get(&url).expect_err("a wrong PIN");
        assert_eq!(bench.key.state().pin.left, 2, "one attempt, not more");
    }
}
