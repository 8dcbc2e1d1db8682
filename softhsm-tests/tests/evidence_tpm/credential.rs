//! The authority's `MakeCredential`, undone by a TPM: for the endorsement keys of every template that both have.

use std::path::Path;

use ca_core::domain::attestation::tpm::{AttestationKey, EndorsementKey, make_credential};
use softhsm_tests::{
    scratch::Scratch,
    swtpm::{Swtpm, TpmMaker},
};

const SECRET: [u8; 32] = [0x5a; 32];
/// What the high-range templates have in common.
const HIGH: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|adminwithpolicy|restricted|decrypt";
/// `PolicyB` of the EK Credential Profile.
const POLICY_B_SHA256: &str = "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0";
const POLICY_B_SHA384: &str =
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12";

struct Bench {
    tpm: Swtpm,
    scratch: Scratch,
}

impl Bench {
    fn path(&self, name: &str) -> String {
        self.scratch.join(name).to_string_lossy().into_owned()
    }

    fn ask(&self, tool: &str, arguments: &[&str]) {
        self.tpm.tool("tpm2_flushcontext", &["-t"]).expect("room in the TPM");
        self.tpm.tool(tool, arguments).unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// A key's `TPMT_PUBLIC`, out of what the tools write: `TPM2B_PUBLIC`.
    fn area(&self, context: &str) -> Vec<u8> {
        let file = self.path("area");
        self.ask("tpm2_readpublic", &["-c", context, "-f", "tss", "-o", &file]);
        std::fs::read(Path::new(&file)).expect("a public area").split_off(2)
    }

    /// What the TPM unwraps with this endorsement key; `session` authorises it where its template has no auth value.
    fn activated(&self, ek: &str, ak: &str, needs_policy: bool) -> Vec<u8> {
        let key = EndorsementKey::parse(&self.area(ek)).expect("a template of the TCG's");
        let name = AttestationKey::parse(&self.area(ak)).expect("an attestation key");
        let credential = make_credential(&key, name.name(), &SECRET, &[0x33; 48].into());
        let credential = credential.expect("a credential");
        let sized =
            |octets: &[u8]| [&u16::try_from(octets.len()).expect("short").to_be_bytes()[..], octets].concat();
        // The tools' own frame: a magic number and a version before the two structures.
        let frame = [
            &[0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1][..],
            &sized(&credential.credential_blob),
            &sized(&credential.encrypted_secret),
        ];
        let file = self.scratch.write("credential", frame.concat()).expect("a file");
        let (file, out) = (file.to_string_lossy().into_owned(), self.path("out"));
        let mut arguments = vec!["-c", ak, "-C", ek, "-i", &file, "-o", &out];
        let session = self.path("session");
        let authorised = format!("session:{session}");
        if needs_policy {
            self.ask("tpm2_startauthsession", &["--policy-session", "-S", &session]);
            self.ask("tpm2_policysecret", &["-S", &session, "-c", "e"]);
            arguments.extend(["-P", &authorised]);
        }
        self.ask("tpm2_activatecredential", &arguments);
        if needs_policy {
            self.ask("tpm2_flushcontext", &[&session]);
        }
        std::fs::read(Path::new(&out)).expect("the secret")
    }
}

#[test]
fn a_tpm_unwraps_what_was_wrapped_for_each_of_its_endorsement_keys() {
    let scratch = Scratch::new("tpm-credential").expect("a scratch directory");
    let maker = TpmMaker::new(&scratch.join("maker")).expect("a maker");
    let tpm = maker.tpm_without_certificate(&scratch.join("tpm")).expect("a TPM");
    let bench = Bench { tpm, scratch };
    let ak = bench.path("ak");
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
    bench.ask(
        "tpm2_createprimary",
        &["-C", "o", "-G", "ecc256:ecdsa-sha256:null", "-a", attributes, "-c", &ak],
    );

    for algorithm in ["rsa", "ecc"] {
        let ek = bench.path(algorithm);
        bench.ask("tpm2_createek", &["-G", algorithm, "-c", &ek]);
        assert_eq!(bench.activated(&ek, &ak, true), SECRET, "template L of {algorithm}");
    }
    for (algorithm, hash, policy) in [
        ("rsa2048:null:aes128cfb", "sha256", POLICY_B_SHA256),
        ("ecc256:null:aes128cfb", "sha256", POLICY_B_SHA256),
        ("ecc384:null:aes256cfb", "sha384", POLICY_B_SHA384),
        ("rsa3072:null:aes256cfb", "sha384", POLICY_B_SHA384),
    ] {
        let ek = bench.path("high");
        let policy = bench.scratch.write("policy", hex::decode(policy).expect("digits")).expect("a file");
        let policy = policy.to_string_lossy().into_owned();
        bench.ask(
            "tpm2_createprimary",
            &["-C", "e", "-g", hash, "-G", algorithm, "-a", HIGH, "-L", &policy, "-c", &ek],
        );
        assert_eq!(bench.activated(&ek, &ak, false), SECRET, "template H of {algorithm}");
    }
}
