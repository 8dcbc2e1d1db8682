//! A small HTTPS server that speaks the enrolment protocol, honestly or not.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ca_wire::{
    Base64Url,
    enrolment::{
        Certified, Certify, Confirm, Evidence, KeyRequirements, Open, Opened, challenge_message,
        renewal_message,
    },
    problem::Code,
};
use ca_x509::{KeyKind, SignatureAlgorithm, signed::Signed};
use der::{Decode, DecodePem, Encode};
use futures::{StreamExt as _, future, stream};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::DnType;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use sha2::{Digest, Sha256};
use softhsm_tests::soft_pki::{Identity, SoftAuthority};
use tokio::{net::TcpListener, runtime::Runtime, sync::Notify};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;
use x509_cert::{Certificate, request::CertReq, spki::SubjectPublicKeyInfoOwned};

/// How the server misbehaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Manner {
    /// It doesn't.
    #[default]
    Honest,
    /// Everything is elsewhere.
    Redirects,
    /// Every answer is a web page.
    WebPages,
    /// Every answer is a web page about a failure.
    Fails,
    /// Every answer is a megabyte long.
    Floods,
    /// Only agents of the future are accepted.
    WantsNewerAgents,
    /// The certificate is for a key of the server's own.
    CertifiesAnotherKey,
    /// The certificate is for another user.
    CertifiesAnotherUser,
    /// The chain has a hundred certificates.
    LongChain,
    /// The chain is rubbish.
    RubbishChain,
    /// Step 2 is refused like this.
    Refuses(Code),
    /// The connection breaks at the request of this number; before or after the request took effect.
    Breaks { request: usize, after: bool },
    /// The request of this number takes effect, and its answer never comes to its end.
    Stalls { request: usize, how: Stall },
}

/// How an answer doesn't come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// Nothing of it comes.
    Silent,
    /// Half of it comes.
    Half,
    /// It comes octet by octet, and never ends.
    Drips,
}

impl Stall {
    async fn answer(self, honest: Response) -> Response {
        let (mut head, body) = honest.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        head.headers.remove(header::CONTENT_LENGTH);
        let first = stream::iter([Ok::<_, Infallible>(body.slice(..body.len() / 2))]);
        let body = match self {
            Self::Silent => return future::pending().await,
            Self::Half => Body::from_stream(first.chain(stream::pending())),
            Self::Drips => Body::from_stream(first.chain(stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some((Ok(Bytes::from_static(b" ")), ()))
            }))),
        };
        Response::from_parts(head, body)
    }
}

#[derive(Clone, Default)]
struct Enrolment {
    id: Uuid,
    user_id: String,
    renews: Option<String>,
    challenge: Vec<u8>,
    key: Option<Vec<u8>>,
    certified: Option<Certified>,
}

/// What the bank knows.
#[derive(Clone, Default)]
pub(crate) struct Books {
    enrolments: HashMap<String, Enrolment>,
    /// The keys of the certificates, by serial number.
    certificates: HashMap<String, SubjectPublicKeyInfoOwned>,
    /// The serial numbers of those whose successors were confirmed.
    superseded: HashSet<String>,
    confirmed: usize,
}

/// What happens in the middle of step 2, before the answer.
pub(crate) type Interlude = Box<dyn FnOnce() + Send>;

/// What tests set and look at.
pub(crate) struct Bank {
    authority: SoftAuthority,
    root: Vec<u8>,
    manner: Mutex<Manner>,
    interlude: Mutex<Option<Interlude>>,
    books: Mutex<Books>,
    /// Of a certificate that renews none.
    days: AtomicI64,
    requests: AtomicUsize,
}

impl Bank {
    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("unpoisoned") = manner;
        self.requests.store(0, Ordering::SeqCst);
    }

    pub(crate) fn interlude(&self, interlude: Interlude) {
        *self.interlude.lock().expect("unpoisoned") = Some(interlude);
    }

    /// Certificates are valid for so many days from now on; renewed ones for a year.
    pub(crate) fn certify_for(&self, days: i64) {
        self.days.store(days, Ordering::SeqCst);
    }

    pub(crate) fn issued(&self) -> usize {
        self.books().certificates.len()
    }

    pub(crate) fn confirmed(&self) -> usize {
        self.books().confirmed
    }

    pub(crate) fn has_superseded(&self, serial: &str) -> bool {
        self.books().superseded.contains(serial)
    }

    /// Requests since its behaviour was set.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("unpoisoned")
    }

    fn manner(&self) -> Manner {
        self.manner.lock().expect("unpoisoned").clone()
    }

    /// Valid from yesterday, a renewal from today.
    fn validity(&self, renewal: bool) -> (Date, Date) {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        if renewal {
            return (today, today + 366.days());
        }
        (today - 1.day(), today + self.days.load(Ordering::SeqCst).days())
    }

    fn issue(&self, books: &mut Books, user_id: &str, renewal: bool, spki: &[u8]) -> Certified {
        let manner = self.manner();
        let uid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        let user_id = if manner == Manner::CertifiesAnotherUser { "somebody-else" } else { user_id };
        let subject = [(DnType::CountryName, "JP"), (uid, user_id), (DnType::CommonName, "北海 太郎")];
        let certificate = if manner == Manner::CertifiesAnotherKey {
            let identity = self.authority.client(&subject, softhsm_tests::soft_pki::KeyKind::P256);
            let pem = identity.expect("a certificate").certificate;
            Certificate::from_pem(&pem).and_then(|certificate| certificate.to_der()).expect("DER")
        } else {
            self.authority.client_for_days(&subject, spki, self.validity(renewal)).expect("a certificate")
        };
        let parsed = Certificate::from_der(&certificate).expect("a certificate");
        let tbs = parsed.tbs_certificate();
        let serial = hex::encode(tbs.serial_number().as_bytes());
        books.certificates.insert(serial, tbs.subject_public_key_info().clone());
        let chain = match manner {
            Manner::LongChain => vec![Base64Url(self.root.clone()); 100],
            Manner::RubbishChain => vec![Base64Url(b"rubbish".to_vec())],
            _ => vec![Base64Url(self.root.clone())],
        };
        Certified { certificate: Base64Url(certificate), chain }
    }
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    pub(crate) bank: Arc<Bank>,
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    /// Serves HTTPS with this identity on a free port of loopback.
    pub(crate) fn start(identity: &Identity) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let address = listener.local_addr().expect("an address");
        let authority = SoftAuthority::new("Bank customers' CA").expect("an authority");
        let root = Certificate::from_pem(authority.certificate()).and_then(|root| root.to_der());
        let bank = Arc::new(Bank {
            authority,
            root: root.expect("DER"),
            manner: Mutex::default(),
            interlude: Mutex::default(),
            books: Mutex::default(),
            days: AtomicI64::new(366),
            requests: AtomicUsize::default(),
        });
        runtime.spawn(serve(listener, acceptor(identity), router(bank.clone())));
        Self { bank, address, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("an identity");
    TlsAcceptor::from(Arc::new(config))
}

/// Breaks the connection that the request came over.
#[derive(Clone, Default)]
struct Breaker(Arc<Notify>);

impl Breaker {
    async fn pull(self) -> Response {
        self.0.notify_one();
        std::future::pending().await
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // A client that doesn't trust us ends here.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let breaker = Breaker::default();
            let service = TowerToHyperService::new(router.layer(Extension(breaker.clone())));
            let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::select! {
                _ = builder.serve_connection(TokioIo::new(stream), service) => {}
                () = breaker.0.notified() => {}
            }
        });
    }
}

fn router(bank: Arc<Bank>) -> Router {
    Router::new()
        .route("/api/v1/agent", get(versions))
        .route("/api/v1/enrolments", post(open))
        .route("/api/v1/enrolments/{id}/certificate", post(certify))
        .route("/api/v1/enrolments/{id}/confirmation", post(confirm))
        .with_state(bank)
}

/// Answers in the server's manner; `work` is what an honest server does.
async fn answer(bank: &Bank, breaker: Breaker, work: impl FnOnce() -> Response) -> Response {
    let number = bank.requests.fetch_add(1, Ordering::SeqCst);
    match bank.manner() {
        Manner::Redirects => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "https://evil.example/")]).into_response()
        }
        Manner::WebPages => ([(header::CONTENT_TYPE, "text/html")], "<html>Welcome</html>").into_response(),
        Manner::Fails => (StatusCode::INTERNAL_SERVER_ERROR, "<html>Sorry</html>").into_response(),
        Manner::Floods => ([(header::CONTENT_TYPE, "application/json")], " ".repeat(1 << 20)).into_response(),
        Manner::Breaks { request, after } if request == number => {
            if after {
                drop(work());
            }
            breaker.pull().await
        }
        Manner::Stalls { request, how } if request == number => how.answer(work()).await,
        _ => work(),
    }
}

fn problem(code: Code) -> Response {
    let problem = json!({
        "type": format!("urn:inro:problem:{}", code.as_str()),
        "title": "Refused",
        "status": 403,
        "code": code,
        "detail": "because of the test",
        "retry_at": "2026-11-24T00:00:00Z",
        "support_id": "support-4711",
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::FORBIDDEN, kind, problem.to_string()).into_response()
}

async fn versions(State(bank): State<Arc<Bank>>, Extension(breaker): Extension<Breaker>) -> Response {
    let lowest = if bank.manner() == Manner::WantsNewerAgents { "99.0.0" } else { "0.1.0" };
    answer(&bank, breaker, || {
        Json(json!({
            "lowest": lowest,
            "newest": "0.1.0",
            "download": "https://bank.example/agent",
            "server_time": Timestamp::now(),
        }))
        .into_response()
    })
    .await
}

fn idempotency_key(headers: &HeaderMap) -> String {
    let key = headers.get("idempotency-key").expect("an idempotency key");
    key.to_str().expect("text").to_owned()
}

async fn open(
    State(bank): State<Arc<Bank>>,
    Extension(breaker): Extension<Breaker>,
    headers: HeaderMap,
    Json(open): Json<Open>,
) -> Response {
    answer(&bank, breaker, || {
        if open.password != "correct horse" {
            return problem(Code::AuthenticationFailed);
        }
        let (key, mut books) = (idempotency_key(&headers), bank.books());
        // A repetition is answered as before, whatever became of the predecessor.
        if let Some(serial) = open.renews.as_ref().filter(|_| !books.enrolments.contains_key(&key))
            && (!books.certificates.contains_key(serial) || books.superseded.contains(serial))
        {
            return problem(Code::PredecessorInvalid);
        }
        let enrolment = books.enrolments.entry(key).or_default();
        if enrolment.id.is_nil() {
            enrolment.id = Uuid::new_v4();
            enrolment.user_id.clone_from(&open.user_id);
            enrolment.renews.clone_from(&open.renews);
        }
        enrolment.challenge = rand::random::<[u8; 32]>().to_vec();
        let opened = Opened {
            enrolment_id: enrolment.id,
            bearer: "the-bearer".to_owned(),
            challenge: Some(Base64Url(enrolment.challenge.clone())),
            tpm_credential: None,
            expires_at: Timestamp::now() + 10.minutes(),
            key: KeyRequirements {
                slots: vec!["9a".to_owned(), "9c".to_owned()],
                algorithms: vec!["p256".to_owned(), "p384".to_owned(), "rsa2048".to_owned()],
                pin_policy: "once".to_owned(),
                touch_policy: "cached".to_owned(),
                puk: "forgotten".to_owned(),
            },
            certified: enrolment.certified.clone(),
        };
        (StatusCode::CREATED, Json(opened)).into_response()
    })
    .await
}

async fn certify(
    State(bank): State<Arc<Bank>>,
    Extension(breaker): Extension<Breaker>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(certify): Json<Certify>,
) -> Response {
    if let Manner::Refuses(code) = bank.manner() {
        return problem(code);
    }
    answer(&bank, breaker, || {
        assert_eq!(headers[header::AUTHORIZATION], "Bearer the-bearer");
        let interlude = bank.interlude.lock().expect("unpoisoned").take();
        if let Some(interlude) = interlude {
            interlude();
        }
        let (name, mut books) = (idempotency_key(&headers), bank.books());
        let enrolment = books.enrolments.get(&name).expect("an enrolment").clone();
        assert_eq!(enrolment.id, id);
        let key = check_evidence(&certify, &enrolment.challenge);
        check_predecessor(&certify, &enrolment, &key, &books);
        assert_eq!(*enrolment.key.as_ref().unwrap_or(&key), key, "the key stays the same");
        let renewal = enrolment.renews.is_some();
        let certified = enrolment.certified.clone();
        let certified =
            certified.unwrap_or_else(|| bank.issue(&mut books, &enrolment.user_id, renewal, &key));
        let kept = Enrolment { key: Some(key), certified: Some(certified.clone()), ..enrolment };
        books.enrolments.insert(name, kept);
        (StatusCode::CREATED, Json(certified)).into_response()
    })
    .await
}

/// Returns the key that was proven: CSR, challenge and attestation are all by or about it.
fn check_evidence(certify: &Certify, challenge: &[u8]) -> Vec<u8> {
    let csr = CertReq::from_der(&certify.csr.0).expect("a CSR");
    let spki = csr.info.public_key;
    Signed::parse(&certify.csr.0).expect("a CSR").verify(&spki).expect("possession of the key");
    let key = spki.to_der().expect("DER");
    let algorithm = SignatureAlgorithm::for_key(KeyKind::of(&spki).expect("a kind"));
    let message = challenge_message(challenge, &key);
    ca_x509::verify::verify(&spki, algorithm, &message, &certify.challenge_signature.0)
        .expect("the challenge's signature");
    let Evidence::YubikeyPiv { slot, f9, .. } = &certify.evidence else { panic!("a card's evidence") };
    let f9 = Certificate::from_der(&f9.0).expect("the f9 certificate");
    let attested = Certificate::from_der(&slot.0).expect("an attestation");
    Signed::parse(&slot.0)
        .expect("an attestation")
        .verify(f9.tbs_certificate().subject_public_key_info())
        .expect("attested by f9");
    assert_eq!(*attested.tbs_certificate().subject_public_key_info(), spki);
    key
}

/// The key of the certificate that is renewed has signed for the new one.
fn check_predecessor(certify: &Certify, enrolment: &Enrolment, key: &[u8], books: &Books) {
    assert_eq!(enrolment.renews.is_some(), certify.predecessor_signature.is_some());
    let Some((serial, signature)) = enrolment.renews.as_ref().zip(certify.predecessor_signature.as_ref())
    else {
        return;
    };
    let old = &books.certificates[serial];
    let algorithm = SignatureAlgorithm::for_key(KeyKind::of(old).expect("a kind"));
    let message = renewal_message(&enrolment.challenge, key);
    ca_x509::verify::verify(old, algorithm, &message, &signature.0).expect("the predecessor's signature");
}

async fn confirm(
    State(bank): State<Arc<Bank>>,
    Extension(breaker): Extension<Breaker>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(confirm): Json<Confirm>,
) -> Response {
    answer(&bank, breaker, || {
        let mut books = bank.books();
        let enrolment = books.enrolments[&idempotency_key(&headers)].clone();
        assert_eq!(enrolment.id, id);
        let certified = enrolment.certified.as_ref().expect("a certificate");
        let right = Sha256::digest(&certified.certificate.0).to_vec();
        if confirm.certificate_sha256.0 != right {
            return problem(Code::ConfirmationMismatch);
        }
        books.confirmed += 1;
        books.superseded.extend(enrolment.renews);
        StatusCode::NO_CONTENT.into_response()
    })
    .await
}
