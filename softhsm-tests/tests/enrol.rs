//! The enrolment API under clients that lie, repeat themselves and are cut off, and the line under kills.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use ca_wire::{
    Base64Url,
    enrolment::{Certified, Certify, Open, Opened},
    problem::{Code, Problem},
};
use serde_json::Value;
use softhsm_tests::{
    bank::{Answer, Bank, EnrolmentClient, NewUser, Options, SoftToken},
    scratch::Scratch,
    virtual_yubikey::{Algorithm, Firmware, Profile},
    wait::until,
};

const CONTRACT: &str = "1234567";
const FIRMWARE: Firmware = Firmware(5, 7, 2);

struct House {
    client: EnrolmentClient,
    bank: Bank,
    _scratch: Scratch,
}

impl House {
    fn open(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let bank = Bank::open(&scratch.join("bank"), &Options::default()).expect("a bank");
        bank.register_contract(CONTRACT, "試験商事").expect("a contract");
        let client = EnrolmentClient::new(&bank).expect("a client");
        Self { client, bank, _scratch: scratch }
    }

    fn user(&self, id: &str, role: &str, token: Option<u32>) {
        let user = NewUser { id, contract: CONTRACT, role, name: "試験 太郎", token };
        self.bank.register_user(&user).expect("a user");
    }

    fn token(&self, serial: u32) -> SoftToken {
        SoftToken::new(&self.bank, Profile::new(serial, FIRMWARE)).expect("a token")
    }

    fn opened(&self, user: &str, token: &SoftToken, key: &str) -> Opened {
        self.client.open(user, token, key).expect("an answer").unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    /// Sends step 2, expects this refusal, and that neither signature nor certificate came of it.
    fn refused(&self, opened: &Opened, certify: &Certify, key: &str, code: Code) -> Problem {
        let before = self.journal();
        let answer = self.client.certify(opened, certify, key).expect("an answer");
        let problem = refusal(answer);
        assert_eq!(problem.code, code, "{problem:?}");
        let after = self.journal();
        assert_eq!(after["certificates"], before["certificates"], "something was signed");
        problem
    }

    fn journal(&self) -> Value {
        self.bank.journal().expect("a sound journal")
    }

    fn audit(&self, action: &str) -> Vec<Value> {
        self.bank.audit_rows(action).expect("the audit trail")
    }
}

fn refusal<T>(answer: Answer<T>) -> Problem {
    match answer {
        Ok(_) => panic!("it was accepted"),
        Err(problem) => *problem,
    }
}

/// Rule 12: without the assigned serial or a code there is no challenge, and the answer is the same as for a wrong
/// password or an unknown user.
#[test]
fn no_challenge_without_password_and_binding() {
    let house = House::open("binding");
    house.user("binding-1", "general", Some(30_000_001));
    house.user("binding-2", "general", None);
    let (mine, other) = (house.token(30_000_001), house.token(30_000_009));

    let wrong_password =
        Open { password: "kiri-no-hana-2027".to_owned(), ..EnrolmentClient::opening("binding-1", &mine) };
    let wrong_code = Open {
        acquisition_code: Some("AAAA-BBBB-CCCC-DDDD-EEEE".to_owned()),
        ..EnrolmentClient::opening("binding-2", &other)
    };
    let cases = [
        ("wrong password", wrong_password),
        ("another token", EnrolmentClient::opening("binding-1", &other)),
        ("unknown user", EnrolmentClient::opening("nobody-1", &mine)),
        ("no binding at all", EnrolmentClient::opening("binding-2", &other)),
        ("wrong code", wrong_code),
    ];
    let mut texts = HashSet::new();
    for (index, (what, open)) in cases.iter().enumerate() {
        let key = format!("binding-key-0000{index}");
        let problem = refusal(house.client.open_with(open, &key).expect("an answer"));
        assert_eq!(problem.code, Code::AuthenticationFailed, "{what}: {problem:?}");
        texts.insert((problem.title.clone(), problem.detail.clone()));
    }
    assert_eq!(texts.len(), 1, "the answers differ: {texts:?}");
    assert_eq!(house.audit("enrolment.refused").len(), cases.len());

    let issued = house.bank.operator(&["user", "acquisition-code", "binding-2"]).expect("a code");
    let code = issued["acquisition_code"].as_str().expect("the code").to_owned();
    let with_code = Open { acquisition_code: Some(code), ..EnrolmentClient::opening("binding-2", &other) };
    let opened =
        house.client.open_with(&with_code, "binding-key-00010").expect("an answer").expect("a challenge");
    let certified =
        house.client.certify(&opened, &other.certify(&opened).expect("evidence"), "binding-key-00010");
    certified.expect("an answer").expect("a certificate");

    // The code was for one enrolment.
    let again = refusal(house.client.open_with(&with_code, "binding-key-00011").expect("an answer"));
    assert_eq!(again.code, Code::AuthenticationFailed, "{again:?}");
}

type Bend = fn(&mut Certify, &SoftToken, &SoftToken);

/// A request of the token with this in it.
fn asking(certify: &mut Certify, token: &SoftToken, adjust: impl FnOnce(&mut rcgen::CertificateParams)) {
    certify.csr = Base64Url(token.request(adjust).expect("a request"));
}

fn dns(text: &str) -> rcgen::SanType {
    rcgen::SanType::DnsName(text.try_into().expect("a name"))
}

/// What is wrong with each request, and the reason that the trail must give for it.
const HOSTILE: [(&str, &str, Bend); 20] = [
    ("a request for another key than the attested one", "evidence-key-mismatch", |certify, _, foreign| {
        asking(certify, foreign, |_| {});
    }),
    ("a broken self-signature", "csr-signature", |certify, _, _| {
        let last = certify.csr.0.len() - 1;
        certify.csr.0[last] ^= 1;
    }),
    ("CA:TRUE", "csr-ca-rights", |certify, token, _| {
        asking(certify, token, |r| r.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    }),
    ("keyCertSign", "csr-ca-rights", |certify, token, _| {
        asking(certify, token, |r| r.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign]);
    }),
    ("serverAuth", "csr-extended-key-usage", |certify, token, _| {
        asking(certify, token, |r| r.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]);
    }),
    ("OCSPSigning", "csr-extended-key-usage", |certify, token, _| {
        asking(certify, token, |r| r.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::OcspSigning]);
    }),
    ("another user's name", "csr-subject", |certify, token, _| {
        asking(certify, token, softhsm_tests::bank::named("somebody-else"));
    }),
    ("a zero octet in the name", "csr-subject", |certify, token, _| {
        asking(certify, token, softhsm_tests::bank::named("csr-0007\0"));
    }),
    ("a line break in the name", "csr-subject", |certify, token, _| {
        asking(certify, token, softhsm_tests::bank::named("csr-0008\r\nadmin"));
    }),
    ("a right-to-left mark in the name", "csr-subject", |certify, token, _| {
        asking(certify, token, softhsm_tests::bank::named("csr-0009\u{202e}"));
    }),
    ("another's e-mail address", "csr-other-names", |certify, token, _| {
        let address = rcgen::SanType::Rfc822Name("boss@example.jp".try_into().expect("an address"));
        asking(certify, token, |r| r.subject_alt_names = vec![address]);
    }),
    ("another's UPN", "csr-other-names", |certify, token, _| {
        let upn = vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3];
        let name =
            rcgen::SanType::OtherName((upn, rcgen::OtherNameValue::Utf8String("boss@example.jp".into())));
        asking(certify, token, |r| r.subject_alt_names = vec![name]);
    }),
    ("a server's name", "csr-other-names", |certify, token, _| {
        asking(certify, token, |r| r.subject_alt_names = vec![dns("bank.example.jp")]);
    }),
    ("the same extension twice", "csr-duplicate-extension", |certify, token, _| {
        let twice = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 0x80]);
        asking(certify, token, |r| r.custom_extensions = vec![twice.clone(), twice]);
    }),
    ("an unknown extension", "csr-extension", |certify, token, _| {
        let unknown = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        asking(certify, token, |r| r.custom_extensions = vec![unknown]);
    }),
    ("trailing bytes", "csr-malformed", |certify, _, _| certify.csr.0.push(0)),
    ("indefinite length", "csr-malformed", |certify, _, _| certify.csr.0[1] = 0x80),
    ("500 nested sequences", "csr-malformed", |certify, _, _| certify.csr.0 = nested(500)),
    ("5,000 nested sequences", "csr-too-large", |certify, _, _| certify.csr.0 = nested(5_000)),
    ("a request of nothing", "csr-malformed", |certify, _, _| certify.csr.0.clear()),
];

/// So many sequences in one another, in DER as far as their lengths go.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![5, 0], |inner, _| {
        let length = u32::try_from(inner.len()).expect("small").to_be_bytes();
        [&[0x30, 0x84], length.as_slice(), &inner].concat()
    })
}

/// The kinds under "CSR" in the list of attacks: the exact refusal, an audit row with its reason, no signature, no change of
/// state. Keys that nobody should have (RSA with e = 1, ROCA, close primes, points off their curve) are in `ca-core`'s tests:
/// nothing here can make them sign.
#[test]
fn hostile_requests_are_refused() {
    let house = House::open("csr");
    let foreign = house.token(31_999_999);
    let mut differing = Vec::new();
    for (index, (what, why, bend)) in HOSTILE.iter().enumerate() {
        let serial = 31_000_000 + u32::try_from(index).expect("small");
        let (user, key) = (format!("csr-{index:04}"), format!("csr-attack-key-{index:04}"));
        let contract = format!("77001{}", index / 8);
        if index % 8 == 0 {
            house.bank.register_contract(&contract, "攻撃試験").expect("a contract");
        }
        let role = "general";
        let new =
            NewUser { id: &user, contract: &contract, role, name: "試験 太郎", token: Some(serial) };
        house.bank.register_user(&new).expect("a user");
        let token = house.token(serial);
        let opened = house.opened(&user, &token, &key);
        let mut certify = token.certify(&opened).expect("evidence");
        bend(&mut certify, &token, &foreign);
        let problem = refusal(house.client.certify(&opened, &certify, &key).expect("an answer"));
        let code = if why.starts_with("csr-") { Code::CsrRefused } else { Code::EvidenceRefused };
        assert_eq!(problem.code, code, "{what}: {problem:?}");
        let rows = house.audit("certification.refused");
        let row = rows.iter().find(|row| row["subject"] == user.as_str()).expect("a row");
        if row["details"]["why"] != *why {
            differing.push(format!("{what}: {} instead of {why}", row["details"]["why"]));
        }
        // It ended the enrolment: an honest request comes too late.
        let honest = token.certify(&opened).expect("evidence");
        let problem = refusal(house.client.certify(&opened, &honest, &key).expect("an answer"));
        assert_eq!(problem.code, code, "{what}, again: {problem:?}");
    }
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(house.journal()["certificates"], 0, "something was signed");
    assert!(house.audit("certificate.intended").is_empty(), "something was intended");
}

/// Keys that nobody should have: RSA-1024 where evidence vouches for it.
#[test]
fn weak_keys_are_refused() {
    let house = House::open("weak");
    house.user("weak-0001", "general", Some(32_000_001));
    let profile = Profile::new(32_000_001, Firmware(5, 4, 3));
    let token = SoftToken::with_algorithm(&house.bank, profile, Algorithm::Rsa1024).expect("a token");
    let opened = house.opened("weak-0001", &token, "weak-key-00000001");
    let certify = Certify {
        csr: Base64Url(token.request_by_openssl().expect("a request")),
        evidence: token.evidence().expect("evidence"),
        challenge_signature: Base64Url(vec![0; 128]),
        predecessor_signature: None,
    };
    house.refused(&opened, &certify, "weak-key-00000001", Code::CsrRefused);
    let refusals = house.audit("certification.refused");
    assert_eq!((refusals.len(), &refusals[0]["details"]["why"]), (1, &"csr-key-kind".into()));
}

/// R10: the same idempotency key 50 times in parallel leads to one certificate.
#[test]
fn fifty_repeats_lead_to_one_certificate() {
    let house = House::open("repeats");
    house.user("repeat-01", "general", Some(33_000_001));
    let token = house.token(33_000_001);
    let key = "repeated-key-00001";
    let opened = house.opened("repeat-01", &token, key);
    let certify = token.certify(&opened).expect("evidence");
    let certificates: HashSet<Vec<u8>> = thread::scope(|scope| {
        let ask = || house.client.certify(&opened, &certify, key).expect("an answer").expect("a certificate");
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().expect("no panic").certificate.0).collect()
    });
    assert_eq!(certificates.len(), 1);
    assert_eq!(house.journal()["certificates"], 1);

    // Opening it again finds it, and another key is refused: rule 1.
    let again = house.opened("repeat-01", &token, key);
    assert_eq!(again.certified.map(|certified| certified.certificate.0), certificates.into_iter().next());
    let second = refusal(house.client.open("repeat-01", &token, "another-key-00001").expect("an answer"));
    assert_eq!(second.code, Code::AlreadyCertified);
}

/// Calls out of their form or order get their own refusal and harm nothing.
#[test]
fn malformed_calls_are_told_apart() {
    let house = House::open("malformed");
    house.user("malformed-1", "general", Some(34_000_001));
    let token = house.token(34_000_001);
    let short = refusal(house.client.open("malformed-1", &token, "short").expect("an answer"));
    assert_eq!(short.code, Code::IdempotencyKey);

    let key = "malformed-key-0001";
    let opened = house.opened("malformed-1", &token, key);
    let honest = token.certify(&opened).expect("evidence");
    let forged = Opened { bearer: "A".repeat(43), ..opened.clone() };
    house.refused(&forged, &honest, key, Code::BearerInvalid);
    house.refused(&opened, &honest, "malformed-key-0002", Code::IdempotencyKey);
    let huge = Certify { csr: Base64Url(vec![0x30; 10 << 20]), ..honest.clone() };
    house.refused(&opened, &huge, key, Code::TooLarge);
    let elsewhere = Opened { enrolment_id: uuid::Uuid::from_u128(7), ..opened.clone() };
    let problem = refusal(house.client.certify(&elsewhere, &honest, key).expect("an answer"));
    assert_eq!(problem.code, Code::BearerInvalid, "{problem:?}");
    // None of it harmed the enrolment.
    house.client.certify(&opened, &honest, key).expect("an answer").expect("a certificate");
}

/// Tells clients to give up, whatever ended the wait for them.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// R1, small: CA and signer are killed under load, in turn. What a client or the journal saw is in the ledger and
/// revocable, no serial twice, the chains hold, and each is ready again by itself.
#[test]
fn kills_under_load_lose_nothing() {
    const KILLS: usize = 6;
    const CLIENTS: u32 = 8;
    let mut house = House::open("kills");
    for contract in 0..4 {
        let number = format!("77000{contract}");
        house.bank.register_contract(&number, "負荷試験").expect("a contract");
        for seat in 0..9 {
            let id = format!("load-{contract}-{seat}");
            let token = 35_000_000 + contract * 10 + seat;
            let user =
                NewUser { id: &id, contract: &number, role: "general", name: "負荷", token: Some(token) };
            house.bank.register_user(&user).expect("a user");
        }
    }
    let seen = Mutex::new(Vec::<Certified>::new());
    let (client, over) = (house.client.clone(), AtomicBool::new(false));
    let bank = &mut house.bank;
    let tokens: Vec<(String, SoftToken)> = (0..4u32)
        .flat_map(|contract| (0..9u32).map(move |seat| (contract, seat)))
        .map(|(contract, seat)| {
            let profile = Profile::new(35_000_000 + contract * 10 + seat, FIRMWARE);
            (format!("load-{contract}-{seat}"), SoftToken::new(bank, profile).expect("a token"))
        })
        .collect();
    let queue = Mutex::new(tokens.iter());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no panic").next();
                    let Some((user, token)) = next else { break };
                    // The agent's way: the same key until it has its certificate.
                    let key = format!("kill-key-{user}-000");
                    while !over.load(Ordering::Relaxed) {
                        if let Ok(Ok(certified)) = client.enroll(user, token, &key) {
                            seen.lock().expect("no panic").push(certified);
                            break;
                        }
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            });
        }
        let _over = Over(&over);
        let certified = || seen.lock().expect("no panic").len();
        for kill in 0..KILLS {
            let wanted = (certified() + 2).min(tokens.len());
            until("two more certificates", certified, |certified| *certified >= wanted);
            if kill % 3 != 1 {
                bank.authority.take().expect("running").kill().expect("killed");
            }
            if kill % 3 != 0 {
                bank.signer.take().expect("running").kill().expect("killed");
            }
            if bank.signer.is_none() {
                bank.start_signer().expect("ready again");
            }
            if bank.authority.is_none() {
                bank.start_authority().expect("ready again");
            }
        }
        until("a certificate for each client", certified, |certified| *certified == tokens.len());
    });
    let seen = seen.into_inner().expect("no panic");
    let distinct: HashSet<_> = seen.iter().map(|certified| &certified.certificate.0).collect();
    assert_eq!(distinct.len(), seen.len());

    house.bank.operator(&["audit", "verify"]).expect("a sound audit trail");
    let journal = house.journal();
    assert_eq!(journal["certificates"], seen.len(), "the journal knows other certificates: {journal}");
    for certified in &seen {
        let serial = Bank::serial_of(&certified.certificate.0).expect("a serial number");
        let record = house.bank.operator(&["certificate", "show", &serial]).expect("it is in the ledger");
        assert_eq!(record["state"], "issued", "{record}");
    }
    let first = Bank::serial_of(&seen[0].certificate.0).expect("a serial number");
    house.bank.operator(&["certificate", "revoke", &first, "--reason", "superseded"]).expect("revocable");
}
