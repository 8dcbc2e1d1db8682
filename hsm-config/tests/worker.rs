//! A real worker process on a real SoftHSM token.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ca_x509::SignatureAlgorithm;
use ca_x509::verify::verify;
use der::Decode;
use hsm_config::token::{KeyAlgorithm, KeyId, ModuleAccess, Pin, TokenSelection};
use hsm_config::worker::handle::{CallError, Launch, StartError, Worker};
use hsm_config::worker::protocol::{
    Answer, Command, ErrorClass, Leaving, Login, Setup, SetupFailureClass, WrappingKey,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const LIMIT: Duration = Duration::from_mins(1);

struct Store {
    dir: tempfile::TempDir,
}

impl Store {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::create_dir(dir.path().join("tokens")).expect("token folder");
        let text =
            format!("directories.tokendir = {}\nlog.level = ERROR\n", dir.path().join("tokens").display());
        fs::write(dir.path().join("softhsm2.conf"), text).expect("configuration");
        let store = Self { dir };
        let worker = store.start(None).await.expect("a worker without login");
        let answer = worker.call(init_token(), LIMIT).await.expect("token initialised");
        let Answer::Tokens(tokens) = answer else { panic!("{answer:?}") };
        assert_eq!(tokens[0].label, "unit");
        let again = worker.call(init_token(), LIMIT).await.expect_err("the label exists");
        assert!(matches!(again, CallError::Command(e) if e.code == "TOKEN_EXISTS"));
        worker.stop().await;
        store
    }

    async fn start(&self, login: Option<Login>) -> Result<Worker, StartError> {
        let conf = self.dir.path().join("softhsm2.conf").display().to_string();
        let access =
            ModuleAccess::new(PathBuf::from(MODULE), BTreeMap::from([("SOFTHSM2_CONF".to_owned(), conf)]));
        let launch = Launch { program: env!("CARGO_BIN_EXE_inro-hsm").into(), access };
        Worker::start(&launch, Setup { module: PathBuf::from(MODULE), login }, LIMIT).await
    }

    async fn log_in(&self, lanes: u16, queue: u16) -> Worker {
        self.start(Some(login("4711", lanes, queue))).await.expect("logged in")
    }
}

fn init_token() -> Command {
    let pin = |text: &str| Pin::new(text.to_owned().into());
    Command::InitToken { slot: None, label: "unit".into(), so_pin: pin("so-pin-1"), pin: pin("4711") }
}

fn login(pin: &str, lanes: u16, queue: u16) -> Login {
    let token = TokenSelection::Label("unit".into());
    Login { token, pin: Pin::new(pin.to_owned().into()), lanes, queue }
}

fn id(text: &str) -> KeyId {
    text.parse().expect("a key ID")
}

async fn generate(worker: &Worker, key: &str, algorithm: KeyAlgorithm) -> SubjectPublicKeyInfoOwned {
    let command = Command::GenerateKeyPair {
        key: id(key),
        label: format!("key {key}"),
        algorithm,
        leaving: Leaving::Never,
    };
    let answer = worker.call(command, LIMIT).await.expect("generated");
    let Answer::PublicKey(spki) = answer else { panic!("{answer:?}") };
    assert_eq!(worker.public_key(&id(key), LIMIT).await.expect("read back"), spki);
    SubjectPublicKeyInfoOwned::from_der(&spki).expect("SPKI")
}

#[tokio::test]
async fn every_kind_of_key_signs_what_its_public_key_verifies_and_stays_on_the_token() {
    let store = Store::new().await;
    let worker = store.log_in(1, 8).await;
    let kinds = [
        ("a1", KeyAlgorithm::P256, SignatureAlgorithm::EcdsaSha256),
        ("a2", KeyAlgorithm::P384, SignatureAlgorithm::EcdsaSha384),
        ("a3", KeyAlgorithm::Rsa3072, SignatureAlgorithm::RsaSha256),
    ];
    for (key, algorithm, signature_algorithm) in kinds {
        let spki = generate(&worker, key, algorithm).await;
        let message = format!("signed with {algorithm}").into_bytes();
        let signature =
            worker.sign(&id(key), algorithm.mechanism(), message.clone(), LIMIT).await.expect("signed");
        verify(&spki, signature_algorithm, &message, &signature).expect("the signature verifies");
        let attributes = worker.attributes(&id(key), LIMIT).await.expect("attributes");
        assert_eq!(attributes.sensitive, Some(true));
        assert_eq!(attributes.extractable, Some(false));
        assert_eq!(attributes.always_sensitive, Some(true));
        assert_eq!(attributes.never_extractable, Some(true));
        assert_eq!((attributes.decrypt, attributes.unwrap), (Some(false), Some(false)));
    }
    let wrong = worker.sign(&id("a2"), KeyAlgorithm::P256.mechanism(), vec![1], LIMIT).await;
    assert!(
        matches!(wrong, Err(CallError::Command(e)) if e.class == ErrorClass::Fail),
        "P-384 key, P-256 mechanism"
    );
    let taken = Command::GenerateKeyPair {
        key: id("a1"),
        label: "other".into(),
        algorithm: KeyAlgorithm::P256,
        leaving: Leaving::Never,
    };
    let error = worker.call(taken, LIMIT).await.expect_err("the ID is taken");
    assert!(matches!(error, CallError::Command(e) if e.code == "KEY_EXISTS"));
    worker.call(Command::DestroyKey { key: id("a1") }, LIMIT).await.expect("destroyed");
    let error =
        worker.sign(&id("a1"), KeyAlgorithm::P256.mechanism(), vec![1], LIMIT).await.expect_err("gone");
    assert!(matches!(error, CallError::Command(e) if e.code == "KEY_NOT_FOUND"));
    worker.stop().await;
}

/// `CKA_WRAP_WITH_TRUSTED`: the user's own key doesn't wrap it, the security officer's does, once.
#[tokio::test]
async fn a_confined_key_leaves_under_a_key_alone_that_the_security_officer_trusts() {
    let store = Store::new().await;
    let worker = store.log_in(1, 8).await;
    let generate = Command::GenerateKeyPair {
        key: id("d1"),
        label: "confined".into(),
        algorithm: KeyAlgorithm::P256,
        leaving: Leaving::WrappedTrusted,
    };
    let Answer::PublicKey(public_key) = worker.call(generate, LIMIT).await.expect("made") else { panic!() };
    let attributes = worker.attributes(&id("d1"), LIMIT).await.expect("attributes");
    assert_eq!((attributes.extractable, attributes.wrap_with_trusted), (Some(true), Some(true)));

    let elsewhere = Store::new().await;
    let receiver = elsewhere.log_in(1, 8).await;
    let Answer::PublicKey(transport) =
        receiver.call(Command::MakeTransportKey, LIMIT).await.expect("a transport key")
    else {
        panic!()
    };
    let wrap = |under| Command::Wrap { key: id("d1"), under };
    let refused =
        worker.call(wrap(WrappingKey::Fresh(transport.clone())), LIMIT).await.expect_err("untrusted");
    assert!(matches!(&refused, CallError::Command(e) if e.code == "CKR_KEY_NOT_WRAPPABLE"), "{refused}");

    let trust = async |so_pin: &str| {
        let officers = store.start(None).await.expect("a worker without login");
        let command = Command::MakeTrustedKey {
            token: TokenSelection::Label("unit".into()),
            so_pin: Pin::new(so_pin.to_owned().into()),
            transport: transport.clone(),
        };
        let made = officers.call(command, LIMIT).await;
        officers.stop().await;
        made
    };
    let refused = trust("so-pin-2").await.expect_err("another PIN");
    assert!(
        matches!(&refused, CallError::Command(e) if e.class == ErrorClass::Lockout && e.detail.contains("security officer")),
        "{refused}"
    );
    let Answer::Trusted(left_over) = trust("so-pin-1").await.expect("trusted") else { panic!() };
    let Answer::Trusted(trusted) = trust("so-pin-1").await.expect("trusted once more") else { panic!() };
    let gone =
        worker.call(wrap(WrappingKey::Trusted(left_over)), LIMIT).await.expect_err("of another journey");
    assert!(matches!(&gone, CallError::Command(e) if e.code == "KEY_NOT_FOUND"), "{gone}");
    // One error costs a lane its session, not its login.
    let wrapped = worker.call(wrap(WrappingKey::Trusted(trusted.clone())), LIMIT).await.expect("wrapped");
    let Answer::Wrapped(wrapped) = wrapped else { panic!() };
    worker.call(wrap(WrappingKey::Trusted(trusted)), LIMIT).await.expect_err("it was for one journey");

    let unwrap = Command::Unwrap {
        key: id("d1"),
        label: "confined".into(),
        public_key: public_key.clone(),
        wrapped,
        leaving: Leaving::WrappedTrusted,
    };
    receiver.call(unwrap, LIMIT).await.expect("unwrapped");
    let copy = receiver.attributes(&id("d1"), LIMIT).await.expect("attributes");
    assert_eq!((copy.sensitive, copy.wrap_with_trusted), (Some(true), Some(true)));
    let message = b"signed on the other token".to_vec();
    let signature = receiver.sign(&id("d1"), KeyAlgorithm::P256.mechanism(), message.clone(), LIMIT).await;
    let public_key = SubjectPublicKeyInfoOwned::from_der(&public_key).expect("SPKI");
    verify(&public_key, SignatureAlgorithm::EcdsaSha256, &message, &signature.expect("signed"))
        .expect("verifies");
    worker.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn many_calls_share_the_lanes_and_a_full_queue_says_so() {
    let store = Store::new().await;
    let worker = store.log_in(4, 256).await;
    let spki = generate(&worker, "b1", KeyAlgorithm::P256).await;
    let calls = (0..200_u16).map(|n| {
        let (worker, key) = (worker.clone(), id("b1"));
        async move {
            let message = n.to_be_bytes().to_vec();
            let signature = worker.sign(&key, KeyAlgorithm::P256.mechanism(), message.clone(), LIMIT).await;
            (message, signature.expect("signed"))
        }
    });
    for (message, signature) in futures::future::join_all(calls).await {
        verify(&spki, SignatureAlgorithm::EcdsaSha256, &message, &signature).expect("its own signature");
    }
    assert_eq!(worker.in_flight(), 0);
    worker.stop().await;

    let narrow = store.log_in(1, 1).await;
    let rsa = |n: u16| {
        let key = format!("c{n:03x}");
        narrow.call(
            Command::GenerateKeyPair {
                key: id(&key),
                label: key,
                algorithm: KeyAlgorithm::Rsa3072,
                leaving: Leaving::Never,
            },
            LIMIT,
        )
    };
    let results = futures::future::join_all((0..6).map(rsa)).await;
    let busy = results
        .iter()
        .filter(|result| matches!(result, Err(CallError::Command(e)) if e.class == ErrorClass::Busy))
        .count();
    assert!(busy >= 3, "one works, one or two wait, the others are told: {results:?}");
}

#[tokio::test]
async fn setup_failures_are_told_apart() {
    let store = Store::new().await;
    let class = |result: Result<Worker, StartError>| match result {
        Err(StartError::Setup(failure)) => failure.class,
        other => panic!("{other:?}"),
    };
    assert_eq!(class(store.start(Some(login("0000", 1, 1))).await), SetupFailureClass::PinIncorrect);
    let absent = Login { token: TokenSelection::Label("nobody".into()), ..login("4711", 1, 1) };
    assert_eq!(class(store.start(Some(absent)).await), SetupFailureClass::TokenAbsent);
    let access = ModuleAccess::new("/etc/hostname".into(), BTreeMap::new());
    let launch = Launch { program: env!("CARGO_BIN_EXE_inro-hsm").into(), access };
    let setup = Setup { module: "/etc/hostname".into(), login: None };
    assert_eq!(class(Worker::start(&launch, setup, LIMIT).await), SetupFailureClass::ModuleLoad);
}

#[tokio::test]
async fn a_killed_worker_fails_what_is_in_flight_and_everything_after() {
    let store = Store::new().await;
    let worker = store.log_in(1, 8).await;
    let command = || Command::GenerateKeyPair {
        key: id("d1"),
        label: "d1".into(),
        algorithm: KeyAlgorithm::Rsa4096,
        leaving: Leaving::Never,
    };
    let caller = worker.clone();
    let pending = tokio::spawn(async move { caller.call(command(), LIMIT).await });
    while worker.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    worker.kill("a test says so");
    assert_eq!(worker.gone().await, "a test says so");
    assert!(
        matches!(pending.await.expect("joined"), Err(CallError::Gone(reason)) if reason == "a test says so")
    );
    assert!(matches!(worker.call(command(), LIMIT).await, Err(CallError::Gone(_))));
}

#[tokio::test]
async fn a_missed_deadline_costs_the_worker_its_life() {
    let store = Store::new().await;
    let worker = store.log_in(1, 8).await;
    let command = Command::GenerateKeyPair {
        key: id("e1"),
        label: "e1".into(),
        algorithm: KeyAlgorithm::Rsa4096,
        leaving: Leaving::Never,
    };
    let error = worker.call(command, Duration::from_millis(1)).await.expect_err("too slow");
    assert!(matches!(error, CallError::Timeout(_)));
    assert_eq!(error.class(), ErrorClass::Restart);
    assert!(worker.gone().await.contains("no answer"));
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_noticed() {
    let access = ModuleAccess::new(MODULE.into(), BTreeMap::new());
    for program in ["/bin/false", "/bin/echo"] {
        let launch = Launch { program: program.into(), access: access.clone() };
        let result = Worker::start(&launch, Setup { module: MODULE.into(), login: None }, LIMIT).await;
        assert!(matches!(result, Err(StartError::Died(_))), "{program}: {result:?}");
    }
}
