//! The TPM itself: keys, PINs, power cuts and the protection against guessing.

use agent_tpm::{Address, Algorithm, Entry, Health, Place, Scheme, Tpm, TpmError, connect};
use sha2::{Digest, Sha256};
use softhsm_tests::{
    scratch::Scratch,
    swtpm::{Swtpm, TpmMaker},
};

const PIN: &[u8] = b"839274";
const OTHER_PIN: &[u8] = b"616263-z";

struct Machine {
    tpm: Swtpm,
    maker: TpmMaker,
    scratch: Scratch,
}

impl Machine {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let maker = TpmMaker::new(&scratch.join("maker")).expect("a maker");
        let tpm = maker.tpm(&scratch.join("tpm")).expect("a TPM");
        Self { tpm, maker, scratch }
    }

    /// A TPM takes one program at a time: every visit ends before the next begins.
    fn visit<T>(&self, act: impl FnOnce(&mut dyn Tpm) -> T) -> T {
        let address: Address = self.tpm.address().parse().expect("an address");
        let mut tpm = connect(&address).expect("a connection");
        act(tpm.as_mut())
    }
}

fn place(number: u8) -> Place {
    Place::new(number).expect("a place")
}

#[test]
fn a_tpm_has_one_name_and_one_attestation_key() {
    let machine = Machine::new("tpm-name");
    let identity = machine.visit(|tpm| tpm.identity().expect("an identity"));
    let attestation = machine.visit(|tpm| tpm.attestation_key().expect("a key"));
    assert_eq!(identity.serial.len(), 64);
    assert_eq!(identity.manufacturer, "IBM");
    let certificate = identity.ek_certificate.clone().expect("a certificate of the maker");
    let parsed = <x509_cert::Certificate as x509_cert::der::Decode>::from_der(&certificate).expect("DER");
    let spki =
        x509_cert::der::Encode::to_der(parsed.tbs_certificate().subject_public_key_info()).expect("DER");
    assert_eq!(hex::encode(Sha256::digest(&spki)), identity.serial);

    let mut machine = machine;
    machine.tpm.reboot().expect("a reboot");
    assert_eq!(machine.visit(|tpm| tpm.identity().expect("an identity")), identity);
    assert_eq!(machine.visit(|tpm| tpm.attestation_key().expect("a key")), attestation);

    let bare = machine.maker.tpm_without_certificate(&machine.scratch.join("bare")).expect("a TPM");
    let bare = Machine { tpm: bare, maker: machine.maker, scratch: machine.scratch };
    let first = bare.visit(|tpm| tpm.identity().expect("an identity"));
    assert_eq!(first.ek_certificate, None);
    assert_ne!(first.serial, identity.serial);
    assert_eq!(bare.visit(|tpm| tpm.identity().expect("an identity")), first);
    assert_eq!(bare.tpm.in_use().expect("a list"), (0, 0));
}

#[test]
fn keys_live_through_reboots_and_sign_with_their_pin_alone() {
    let mut machine = Machine::new("tpm-keys");
    for (number, algorithm) in [(1, Algorithm::P256), (16, Algorithm::Rsa2048)] {
        let key = machine.visit(|tpm| tpm.generate(place(number), algorithm, PIN)).expect("a key");
        machine.tpm.reboot().expect("a reboot");
        let found = machine.visit(|tpm| tpm.keys()).expect("keys");
        assert!(found.contains(&key), "{found:?}");
        let taken = machine.visit(|tpm| tpm.generate(place(number), algorithm, PIN));
        assert!(matches!(taken, Err(TpmError::PlaceTaken(_))), "{taken:?}");

        let message = b"a message";
        let digest = Sha256::digest(message);
        let scheme = if algorithm == Algorithm::P256 { Scheme::Ecdsa } else { Scheme::Pkcs1 };
        let signature = machine.visit(|tpm| tpm.sign(&key, PIN, scheme, &digest)).expect("a signature");
        verify(&key.spki, message, &signature);
        machine.visit(|tpm| tpm.verify_pin(&key, PIN)).expect("the PIN");
        let wrong = machine.visit(|tpm| tpm.sign(&key, OTHER_PIN, scheme, &digest));
        assert!(matches!(wrong, Err(TpmError::PinWrong { .. })), "{wrong:?}");
        assert_eq!(machine.tpm.in_use().expect("a list"), (0, 0), "something was left in the TPM");
        machine.tpm.tool("tpm2_dictionarylockout", &["--clear-lockout"]).expect("forgiven");
    }
}

fn verify(spki: &[u8], message: &[u8], signature: &[u8]) {
    use x509_cert::der::Decode as _;
    let key = x509_cert::spki::SubjectPublicKeyInfoOwned::from_der(spki).expect("a key");
    let kind = ca_x509::KeyKind::of(&key).expect("a kind");
    let algorithm = ca_x509::SignatureAlgorithm::for_key(kind);
    ca_x509::verify::verify(&key, algorithm, message, signature).expect("a right signature");
}

#[test]
fn the_pin_changes_and_the_old_one_is_worth_nothing() {
    let mut machine = Machine::new("tpm-pin");
    let mut key = machine.visit(|tpm| tpm.generate(place(2), Algorithm::P256, PIN)).expect("a key");
    let (name, digest) = (key.name.clone(), Sha256::digest(b"x"));
    // Once round the ring and on.
    for (old, new) in [(PIN, OTHER_PIN), (OTHER_PIN, PIN), (PIN, OTHER_PIN), (OTHER_PIN, PIN)] {
        let before = key.handle;
        key = machine.visit(|tpm| tpm.change_pin(&key, old, new)).expect("another PIN");
        assert_eq!((&key.name, key.handle == before), (&name, false), "it is the same key elsewhere");
        assert_eq!(machine.visit(|tpm| tpm.keys()).expect("keys"), [key.clone()]);
        machine.visit(|tpm| tpm.sign(&key, new, Scheme::Ecdsa, &digest)).expect("a signature");
    }
    let wrong = machine.visit(|tpm| tpm.change_pin(&key, OTHER_PIN, PIN));
    assert!(matches!(wrong, Err(TpmError::PinWrong { .. })), "{wrong:?}");
    machine.tpm.reboot().expect("a reboot");
    machine.visit(|tpm| tpm.verify_pin(&key, PIN)).expect("the PIN");
    machine.visit(|tpm| tpm.erase(&key)).expect("erased");
    assert_eq!(machine.visit(|tpm| tpm.keys()).expect("keys"), []);
    let gone = machine.visit(|tpm| tpm.sign(&key, PIN, Scheme::Ecdsa, &digest));
    assert!(matches!(gone, Err(TpmError::KeyGone(_))), "{gone:?}");
}

/// The plug is pulled at some moment of the change: the key is there, with one PIN or the other, and the next change
/// clears up what was left.
#[test]
fn an_interrupted_change_never_loses_the_key() {
    let mut machine = Machine::new("tpm-interrupted");
    let key = machine.visit(|tpm| tpm.generate(place(1), Algorithm::P256, PIN)).expect("a key");
    for delay in [5, 15, 25, 40, 60] {
        let address: Address = machine.tpm.address().parse().expect("an address");
        let before = machine.visit(|tpm| tpm.keys()).expect("keys").remove(0);
        let worker = std::thread::spawn(move || {
            connect(&address).and_then(|mut tpm| tpm.change_pin(&before, PIN, OTHER_PIN))
        });
        std::thread::sleep(std::time::Duration::from_millis(delay));
        machine.tpm.cut_power().expect("the plug");
        let finished = worker.join().expect("no panic").is_ok();
        machine.tpm.start().expect("power");
        machine.tpm.tool("tpm2_dictionarylockout", &["--clear-lockout"]).expect("forgiven");
        let keys = machine.visit(|tpm| tpm.keys()).expect("keys");
        assert_eq!(keys.len(), 1, "after {delay} ms");
        assert_eq!(keys[0].name, key.name);
        let is = |pin| machine.visit(|tpm| tpm.verify_pin(&keys[0], pin)).is_ok();
        let (new, old) = (is(OTHER_PIN), is(PIN));
        assert!(new != old && (new || !finished), "after {delay} ms: new {new}, old {old}");
        machine.tpm.tool("tpm2_dictionarylockout", &["--clear-lockout"]).expect("forgiven");
        let holds = if new { OTHER_PIN } else { PIN };
        let key = machine.visit(|tpm| tpm.change_pin(&keys[0], holds, PIN)).expect("clears up");
        let persistent = machine.tpm.tool("tpm2_getcap", &["handles-persistent"]).expect("a list");
        assert_eq!(persistent.matches("0x810149").count(), 1, "{persistent}");
        assert!(persistent.contains(&format!("{:#X}", key.handle)[2..]), "{persistent}");
    }
}

#[test]
fn guessing_locks_the_tpm_and_says_for_how_long() {
    let machine = Machine::new("tpm-guessing");
    let key = machine.visit(|tpm| tpm.generate(place(1), Algorithm::P256, PIN)).expect("a key");
    let most = machine.visit(|tpm| tpm.lockout()).expect("its state").most;
    for left in (0..most).rev() {
        match machine.visit(|tpm| tpm.verify_pin(&key, b"000000")) {
            Err(TpmError::PinWrong { tries_left }) if left > 0 => assert_eq!(tries_left, left),
            Err(TpmError::Locked { seconds }) if left == 0 => assert!(seconds > 0),
            other => panic!("{left} tries left: {other:?}"),
        }
    }
    let right = machine.visit(|tpm| tpm.verify_pin(&key, PIN));
    assert!(matches!(right, Err(TpmError::Locked { .. })), "{right:?}");
    assert!(machine.visit(|tpm| tpm.lockout()).expect("its state").locked);
    machine.tpm.tool("tpm2_dictionarylockout", &["--clear-lockout"]).expect("the administrator helps");
    machine.visit(|tpm| tpm.verify_pin(&key, PIN)).expect("the PIN");
}

#[test]
fn what_became_of_a_key_is_told_apart() {
    let machine = Machine::new("tpm-health");
    let entry = machine.visit(|tpm| {
        let key = tpm.generate(place(1), Algorithm::P256, PIN).expect("a key");
        Entry {
            version: 1,
            tpm: tpm.identity().expect("an identity").serial,
            address: String::new(),
            place: key.place,
            key_name: hex::encode(&key.name),
            storage_name: hex::encode(tpm.storage_name().expect("a name")),
            user_id: "hokkai-01".to_owned(),
            certificate: Vec::new(),
        }
    });
    let health = |machine: &Machine| machine.visit(|tpm| entry.health(tpm).expect("an answer"));
    assert_eq!(health(&machine), Health::Good);
    machine.visit(|tpm| {
        let key = tpm.keys().expect("keys").remove(0);
        tpm.erase(&key).expect("erased");
    });
    assert_eq!(health(&machine), Health::Removed);
    machine.tpm.clear().expect("cleared");
    assert_eq!(health(&machine), Health::Cleared);
    let other = machine.maker.tpm(&machine.scratch.join("other")).expect("a TPM");
    let other = Machine { tpm: other, maker: machine.maker, scratch: machine.scratch };
    assert_eq!(health(&other), Health::OtherTpm);
}

/// A credential of another TPM isn't opened, and nothing is left behind by the attempts.
#[test]
fn rubbish_credentials_are_refused_and_leave_nothing() {
    let machine = Machine::new("tpm-credential");
    for _ in 0..5 {
        let refused = machine.visit(|tpm| tpm.activate(&[0; 66], &[7; 256]).map(drop));
        assert!(refused.is_err(), "rubbish was activated");
    }
    assert_eq!(machine.tpm.in_use().expect("a list"), (0, 0));
}
