//! The trust store: four eyes, signatures whenever it is read, and what stays when it is refused.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use ca_core::{
    app::trust::{BundleForm, ReadTrust, TrustDesk, TrustError, Trusted},
    domain::{
        attestation::{Anchor, Purpose, Trust},
        trust::{Bundle, BundleError, Officers, SignatureRefusal, TrustedAnchor, sha256},
    },
    ports::trust::{OfficerSignature, StagedTrust, TrustStore},
    testing::MemoryStore,
};
use ca_x509::cms::Unsigned;
use rcgen::{CertificateParams, DnType, KeyPair, SigningKey};

use crate::{
    device::Maker,
    world::{at, clerk},
};

/// Documents by their octets: what form they have is the outside's matter.
#[derive(Default)]
struct Shelf(Mutex<HashMap<Vec<u8>, Bundle>>);

impl BundleForm for Shelf {
    fn read(&self, document: &[u8]) -> Result<Bundle, BundleError> {
        let documents = self.0.lock().expect("the shelf");
        documents.get(document).cloned().ok_or_else(|| BundleError::Form("no such document".to_owned()))
    }
}

struct Person {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Person {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate").der().to_vec();
        Self { key, certificate }
    }

    fn sign(&self, document: &[u8]) -> Vec<u8> {
        let unsigned = Unsigned::new(&self.certificate, &[], document).expect("a signature's content");
        let signature = self.key.sign(&unsigned.to_be_signed().expect("DER")).expect("a signature");
        unsigned.signed(&signature).expect("DER")
    }
}

struct Office {
    store: Arc<MemoryStore>,
    shelf: Arc<Shelf>,
    desk: TrustDesk,
    sato: Person,
    suzuki: Person,
    maker: Maker,
}

impl Office {
    fn open() -> Self {
        let (sato, suzuki) = (Person::new("佐藤"), Person::new("鈴木"));
        let officers = Officers::new([sato.certificate.as_slice(), &suzuki.certificate]).expect("officers");
        let (store, shelf) = (Arc::new(MemoryStore::default()), Arc::new(Shelf::default()));
        let read =
            ReadTrust { store: store.clone(), officers: Arc::new(officers), form: shelf.clone(), lowest: 0 };
        let clock = Arc::new(ca_core::testing::ManualClock::at(at("2026-11-24T10:00:00+09:00")));
        Self { store, shelf, desk: TrustDesk { read, clock }, sato, suzuki, maker: Maker::new() }
    }

    fn anchor(&self) -> TrustedAnchor {
        TrustedAnchor {
            anchor: Anchor { der: self.maker.root.clone(), trust: Trust::Root, purpose: Purpose::PivIssuer },
            source: "https://maker.example".to_owned(),
            note: String::new(),
            added_at: at("2026-11-24T10:00:00+09:00"),
            retired_at: None,
        }
    }

    /// Puts a document on the shelf that follows `previous`.
    fn document(&self, version: u32, previous: Option<&[u8]>, anchors: Vec<TrustedAnchor>) -> Vec<u8> {
        let comment = format!("version {version} with {} anchors", anchors.len());
        let previous_sha256 = previous.map(sha256);
        let document = format!("{comment} after {previous_sha256:?}").into_bytes();
        let bundle = Bundle { version, previous_sha256, comment, anchors };
        self.shelf.0.lock().expect("the shelf").insert(document.clone(), bundle);
        document
    }

    async fn approved(&self, version: u32, previous: Option<&[u8]>, anchors: Vec<TrustedAnchor>) -> Vec<u8> {
        let document = self.document(version, previous, anchors);
        self.desk.stage(clerk(), &document, &self.sato.sign(&document)).await.expect("staged");
        self.desk.approve(clerk(), &self.suzuki.sign(&document)).await.expect("approved");
        document
    }
}

#[tokio::test]
async fn one_officer_alone_or_a_stranger_changes_nothing() {
    let office = Office::open();
    let document = office.document(1, None, vec![office.anchor()]);
    let stranger = Person::new("佐藤");
    let refused = office.desk.stage(clerk(), &document, &stranger.sign(&document)).await;
    assert!(matches!(refused, Err(TrustError::Refused(SignatureRefusal::Stranger { .. }))), "{refused:?}");
    let refused = office.desk.stage(clerk(), &document, &office.sato.sign(b"something else")).await;
    assert!(matches!(refused, Err(TrustError::Refused(SignatureRefusal::Signature(_)))), "{refused:?}");
    assert!(matches!(office.desk.approve(clerk(), b"").await, Err(TrustError::NotStaged)));

    office.desk.stage(clerk(), &document, &office.sato.sign(&document)).await.expect("staged");
    let alone = office.desk.approve(clerk(), &office.sato.sign(&document)).await;
    assert!(matches!(alone, Err(TrustError::Refused(SignatureRefusal::SamePerson(_)))), "{alone:?}");
    let strangers = office.desk.approve(clerk(), &stranger.sign(&document)).await;
    assert!(matches!(strangers, Err(TrustError::Refused(SignatureRefusal::Stranger { .. }))));
    assert_eq!(office.store.trust_head().await.expect("the store"), None);

    let (version, officer) =
        office.desk.approve(clerk(), &office.suzuki.sign(&document)).await.expect("approved");
    assert_eq!((version, officer.contains("鈴木")), (1, true));
    let newest = office.desk.read.newest().await.expect("both signatures hold").expect("a version");
    assert_eq!(newest.bundle.standing().len(), 1);
    assert_eq!(office.store.audit_actions(), ["trust.staged", "trust.approved"]);
}

/// Two certificates of one key are one person.
#[test]
fn four_eyes_are_of_two_keys() {
    let sato = Person::new("佐藤");
    let params = CertificateParams::new(Vec::new()).expect("parameters");
    let again = params.self_signed(&sato.key).expect("a certificate").der().to_vec();
    assert!(Officers::new([sato.certificate.as_slice(), &again]).is_err());
    assert!(Officers::new([b"no certificate".as_slice()]).is_err());
}

/// Versions follow each other, and nothing vanishes from them.
#[tokio::test]
async fn a_version_follows_the_newest_and_drops_nothing() {
    let office = Office::open();
    let first = office.approved(1, None, vec![office.anchor()]).await;
    let stage = async |document: Vec<u8>| {
        office.desk.stage(clerk(), &document, &office.sato.sign(&document)).await.map(drop)
    };
    for (why, document) in [
        ("the number", office.document(3, Some(&first), vec![office.anchor()])),
        ("again", office.document(1, None, vec![office.anchor()])),
        ("another before it", office.document(2, Some(b"another"), vec![office.anchor()])),
        ("twice", office.document(2, Some(&first), vec![office.anchor(), office.anchor()])),
    ] {
        let refused = stage(document).await;
        assert!(matches!(refused, Err(TrustError::Unfit(_))), "{why}: {refused:?}");
    }
    let other = TrustedAnchor {
        anchor: Anchor { der: Maker::new().root, ..office.anchor().anchor },
        ..office.anchor()
    };
    let dropped = stage(office.document(2, Some(&first), vec![other.clone()])).await;
    assert!(matches!(dropped, Err(TrustError::Unfit(BundleError::Dropped(_)))), "{dropped:?}");
    let retired = TrustedAnchor { retired_at: Some(other.added_at), ..office.anchor() };
    let useless = stage(office.document(2, Some(&first), vec![retired.clone()])).await;
    assert!(matches!(useless, Err(TrustError::Anchors { .. })), "nobody would be believed: {useless:?}");
    stage(office.document(2, Some(&first), vec![retired, other])).await.expect("retired, not dropped");
}

/// What somebody wrote into the database by hand is refused, and the last good version keeps serving.
#[tokio::test]
async fn what_is_not_signed_is_not_taken_up() {
    let office = Office::open();
    let read = &office.desk.read;
    let trusted = Trusted::files(office.maker.anchors());
    assert!(!read.take_up(&trusted, true).await.expect("nothing there"));
    let first = office.approved(1, None, vec![office.anchor()]).await;
    assert!(read.take_up(&trusted, false).await.expect("taken up"));
    assert_eq!(trusted.current().version, 1);
    assert!(!read.take_up(&trusted, true).await.expect("nothing new"));

    let forged = office.document(2, Some(&first), vec![office.anchor()]);
    let signature =
        |cms| OfficerSignature { officer: "佐藤".to_owned(), at: at("2026-11-25T10:00:00+09:00"), cms };
    let staged =
        StagedTrust { version: 2, bundle: forged.clone(), first: signature(office.sato.sign(&first)) };
    let event = ca_core::domain::audit::AuditEvent {
        at: staged.first.at,
        actor: clerk(),
        action: "trust.approved",
        subject: String::new(),
        details: Vec::new(),
    };
    office.store.stage_trust(&staged, event.clone()).await.expect("the store keeps anything");
    let second = signature(office.suzuki.sign(&forged));
    office.store.approve_trust(&staged, &second, event).await.expect("the store keeps anything");
    let refused = read.take_up(&trusted, false).await;
    assert!(matches!(refused, Err(TrustError::Signatures { version: 2, .. })), "{refused:?}");
    assert_eq!(trusted.current().version, 1);
    assert!(matches!(read.newest().await, Err(TrustError::Signatures { version: 2, .. })));

    let older = ReadTrust { lowest: 3, ..read.clone() };
    assert!(matches!(older.newest().await, Err(TrustError::WentBack { known: 3, found: 2 })));
    let emptied = ReadTrust { store: Arc::new(MemoryStore::default()), ..read.clone() };
    let back = emptied.take_up(&trusted, false).await;
    assert!(matches!(back, Err(TrustError::WentBack { known: 1, found: 0 })), "{back:?}");
}
