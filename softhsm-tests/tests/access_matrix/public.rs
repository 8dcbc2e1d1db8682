//! Every route of the public listener, which asks nobody for a certificate. Its pages are everybody's; the agents' routes
//! go by a password, a key's signature, or the bearer of what they belong to. Whatever else somebody brings counts for
//! nothing: a certificate, a session of the portal, the bearer of another matter.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use ca_wire::{
    Base64Url,
    enrolment::{Confirm, Opened},
    problem::{Code, Problem},
    token::{self, Occasion, Unblocking, erasure_message},
};
use jiff::Timestamp;
use rcgen::{KeyPair, SigningKey as _};
use reqwest::blocking::RequestBuilder;
use sha2::{Digest as _, Sha256};
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, LOGIN_PASSWORD, SoftBrowser, SoftToken},
    card_client::Response,
    virtual_yubikey::{Firmware, Profile},
};
use uuid::Uuid;

use crate::{Visitors, Who, customers::House};

/// By what a route knows whom it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Everybody gets the same.
    Nothing,
    /// The login password of a user, and the token.
    Password,
    /// `Authorization: Bearer` of an enrolment.
    Enrolment,
    /// The same of an unblocking.
    Unblocking,
    /// A signature of the key that it concerns.
    Key,
}

/// Method, route as the router spells it, and by what it goes.
type Row = (&'static str, &'static str, By);

const PAGES: &[&str] = &["/", "/obtain", "/agent", "/agent/{file}", "/environments", "/help"];

/// In the order of a token's life.
const API: &[Row] = &[
    ("GET", "/api/v1/agent", By::Nothing),
    ("POST", "/api/v1/enrolments", By::Password),
    ("POST", "/api/v1/enrolments/{id}/certificate", By::Enrolment),
    ("PUT", "/api/v1/tokens/puks/{deposit}", By::Enrolment),
    ("POST", "/api/v1/tokens/puks/{deposit}/confirmation", By::Enrolment),
    ("POST", "/api/v1/enrolments/{id}/confirmation", By::Enrolment),
    ("POST", "/api/v1/tokens/unblockings", By::Password),
    ("GET", "/api/v1/tokens/unblockings/{id}", By::Unblocking),
    ("POST", "/api/v1/tokens/unblockings/{id}/release", By::Unblocking),
    ("POST", "/api/v1/tokens/erasures", By::Key),
];

/// What everybody gets without what the route goes by; forms and bodies are empty.
#[test]
fn the_public_listener_knows_nobody_by_certificate_or_session() {
    let visitors = Visitors::open("access-matrix-public");
    let bank = &visitors.house.bank;
    let stranger = SoftBrowser::with_pem(bank, None).expect("a browser").at_public(bank);
    let pages = PAGES.iter().map(|route| ("GET", *route));
    let mut wrong = Vec::new();
    for (method, route) in pages.chain(API.iter().map(|(method, route, _)| (*method, *route))) {
        let path = route.replace("{file}", "nothing.deb").replace("{id}", ID).replace("{deposit}", ID);
        let expected = ask(&stranger, method, &path);
        let open = !route.contains('{') && (method == "GET");
        if (expected.status == 200) != open {
            wrong.push(format!("{method} {path}: {}", expected.status));
        }
        for (who, browser) in &visitors.browsers {
            let answer = ask(&browser.at_public(bank), method, &path);
            if said(&answer) != said(&expected) {
                wrong.push(format!("{method} {path}: {who:?} got {}: {}", answer.status, answer.text()));
            }
            // What is for agents is nowhere else.
            if route.starts_with("/api/") {
                let status = ask(browser, method, &path).status;
                if status != 404 {
                    wrong.push(format!("{method} {path} at the portal: {who:?} got {status}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(visitors.browsers.iter().any(|(who, _)| *who == Who::Revoked));
}

const ID: &str = "00000000-0000-4000-8000-000000000000";

fn ask(browser: &SoftBrowser, method: &str, path: &str) -> Response {
    SoftBrowser::response(browser.request(method, path).expect("a request")).expect("an answer")
}

/// What an answer says, without what every answer has of its own.
fn said(answer: &Response) -> (u16, String) {
    let text = match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(problem) => format!("{:?} {:?}", problem.code, problem.detail),
        Err(_) if answer.text().contains("server_time") => "versions".to_owned(),
        Err(_) => answer.text(),
    };
    (answer.status, text)
}

/// Two customers on their way to a certificate.
struct Way {
    token: SoftToken,
    opened: Opened,
    deposit: Uuid,
}

impl Way {
    fn open(house: &House, id: &str, serial: u32) -> Self {
        house.register(id, "general", serial);
        let token = SoftToken::new(&house.bank, Profile::new(serial, Firmware(5, 7, 2))).expect("a token");
        let opened = house.client.open(id, &token, &key_of(id)).expect("an answer");
        let deposit = Uuid::from_u128(u128::from(serial));
        Self { token, opened: opened.expect("an enrolment"), deposit }
    }

    fn occasion(&self) -> Occasion {
        Occasion::Enrolment(self.opened.enrolment_id)
    }
}

/// The idempotency key of a user's enrolment.
fn key_of(user: &str) -> String {
    format!("{user}-enrolment-key")
}

/// A client of the agents' routes.
struct Agent {
    client: reqwest::blocking::Client,
    base: String,
    /// The idempotency key of an enrolment; without one, each request has its own.
    key: Option<String>,
}

impl Agent {
    fn new(bank: &Bank) -> Self {
        let trust = fs::read(bank.path("tls/ca.pem")).expect("a file");
        let authority = reqwest::Certificate::from_pem(&trust).expect("a certificate");
        let client = reqwest::blocking::Client::builder().tls_certs_only([authority]).no_proxy();
        Self { client: client.build().expect("a client"), base: bank.urls().public, key: None }
    }

    /// The same for a user's enrolment.
    fn of(&self, user: &str) -> Self {
        Self { client: self.client.clone(), base: self.base.clone(), key: Some(key_of(user)) }
    }

    /// The status of an answer, its problem when it is a refusal, and its body.
    fn send(
        &self,
        (method, path): (&str, &str),
        bearer: Option<&str>,
        body: &impl serde::Serialize,
    ) -> (u16, Option<Code>, Vec<u8>) {
        let method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}{path}", self.base)).json(body);
        let key = self.key.clone().unwrap_or_else(|| format!("matrix-{}", Uuid::new_v4().simple()));
        let request = request.header("idempotency-key", key);
        let request = bearer.into_iter().fold(request, RequestBuilder::bearer_auth);
        let answer = request.send().expect("an answer");
        let (status, body) = (answer.status().as_u16(), answer.bytes().expect("a body").to_vec());
        let code = (status >= 400).then(|| serde_json::from_slice::<Problem>(&body).expect("a problem").code);
        (status, code, body)
    }
}

/// Each refuses every bearer but its own, and is then done with its own.
fn goes_by_bearer(
    agent: &Agent,
    (method, route, by): &Row,
    path: &str,
    body: &impl serde::Serialize,
    bearers: &Bearers<'_>,
    done: u16,
) {
    let (own, foreign) = match by {
        By::Enrolment => (bearers.own, bearers.unblocking),
        _ => (bearers.unblocking, bearers.own),
    };
    assert!(API.contains(&(*method, *route, *by)), "{method} {route}");
    let made_up = "x".repeat(own.len());
    for bearer in [None, Some(""), Some(&*made_up), Some(bearers.anothers), Some(foreign)] {
        let (status, code, _) = agent.send((*method, path), bearer, body);
        assert_eq!((status, code), (401, Some(Code::BearerInvalid)), "{method} {path} by {bearer:?}");
    }
    let (status, code, _) = agent.send((*method, path), Some(own), body);
    assert_eq!(status, done, "{method} {path} by its own: {code:?}");
}

/// Who comes with what.
struct Bearers<'a> {
    own: &'a str,
    /// Another user's enrolment's.
    anothers: &'a str,
    unblocking: &'a str,
}

/// PUKs are kept.
fn keep_puks(bank: &mut Bank) {
    bank.reconfigure(|table| {
        let custody = toml::Table::from_iter([("key_file".to_owned(), "secrets/custody".into())]);
        table.insert("token_custody".to_owned(), custody.into());
    })
    .expect("a configuration");
    let key = bank.inro_ca(&["token", "custody", "new-key"]).expect("inro-ca").output().expect("a key");
    let path = bank.path("secrets/custody");
    fs::write(&path, key.stdout).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner's alone");
    bank.authority = None;
    bank.start_authority().expect("an authority");
}

#[test]
fn the_agents_routes_go_by_password_bearer_or_key() {
    let mut house = House::open("access-matrix-agents");
    keep_puks(&mut house.bank);
    let agent = Agent::new(&house.bank);
    let row = |route: &str| API.iter().find(|(_, other, _)| *other == route).expect("a row");
    let (first, second) =
        (Way::open(&house, "first-01", 46_300_001), Way::open(&house, "second-01", 46_300_002));
    // Somebody with an unblocking of an own token.
    let third = Way::open(&house, "third-01", 46_300_003);
    let unblocking = complete(&agent.of("third-01"), &third);
    let unblocking: Unblocking = serde_json::from_slice(&unblocking).expect("an unblocking");
    let bearers = Bearers {
        own: &first.opened.bearer,
        anothers: &second.opened.bearer,
        unblocking: unblocking.bearer.as_deref().expect("a bearer"),
    };

    let agent = agent.of("first-01");
    let id = first.opened.enrolment_id;
    let certify = first.token.certify(&first.opened).expect("a request");
    let path = format!("/api/v1/enrolments/{id}/certificate");
    goes_by_bearer(&agent, row("/api/v1/enrolments/{id}/certificate"), &path, &certify, &bearers, 201);
    let puk = format!("/api/v1/tokens/puks/{}", first.deposit);
    let deposit = token::Deposit { occasion: first.occasion(), puk: "73926154".to_owned(), proven: None };
    goes_by_bearer(&agent, row("/api/v1/tokens/puks/{deposit}"), &puk, &deposit, &bearers, 204);
    let confirm = token::Confirm { occasion: first.occasion() };
    let route = row("/api/v1/tokens/puks/{deposit}/confirmation");
    goes_by_bearer(&agent, route, &format!("{puk}/confirmation"), &confirm, &bearers, 204);
    let (_, _, again) = agent.send(("POST", &path), Some(bearers.own), &certify);
    let certified: ca_wire::enrolment::Certified = serde_json::from_slice(&again).expect("a certificate");
    let certificate = certified.certificate.0;
    let read_back = Confirm { certificate_sha256: Base64Url(Sha256::digest(&certificate).to_vec()) };
    let path = format!("/api/v1/enrolments/{id}/confirmation");
    goes_by_bearer(&agent, row("/api/v1/enrolments/{id}/confirmation"), &path, &read_back, &bearers, 204);

    let path = format!("/api/v1/tokens/unblockings/{}", unblocking.id);
    goes_by_bearer(&agent, row("/api/v1/tokens/unblockings/{id}"), &path, &(), &bearers, 200);
    let release = format!("{path}/release");
    // 409: it is the asker's, and nobody has approved it.
    goes_by_bearer(&agent, row("/api/v1/tokens/unblockings/{id}/release"), &release, &(), &bearers, 409);

    // A key's end is told by the key.
    assert!(API.contains(&("POST", "/api/v1/tokens/erasures", By::Key)));
    let erased_at = Timestamp::now();
    let erasure = |token: &SoftToken, certificate: &[u8]| {
        let key = KeyPair::from_pem(&token.key_pem().expect("a key")).expect("a key");
        let signature = key.sign(&erasure_message(certificate, erased_at)).expect("a signature");
        token::Erasure {
            certificate: Base64Url(certificate.to_vec()),
            erased_at,
            signature: Base64Url(signature),
        }
    };
    let tell =
        |body: &token::Erasure| agent.send(("POST", "/api/v1/tokens/erasures"), Some(bearers.own), body);
    assert_eq!(tell(&erasure(&second.token, &certificate)).1, Some(Code::EvidenceRefused), "another's key");
    assert_eq!(tell(&erasure(&first.token, &certificate)).0, 204, "its own");
}

/// A customer's way to the end, then the request for a blocked PIN.
fn complete(agent: &Agent, way: &Way) -> Vec<u8> {
    let bearer = Some(way.opened.bearer.as_str());
    let puk = format!("/api/v1/tokens/puks/{}", way.deposit);
    let deposit = token::Deposit { occasion: way.occasion(), puk: "73926154".to_owned(), proven: None };
    assert_eq!(agent.send(("PUT", &puk), bearer, &deposit).0, 204);
    let confirm = token::Confirm { occasion: way.occasion() };
    assert_eq!(agent.send(("POST", &format!("{puk}/confirmation")), bearer, &confirm).0, 204);
    let enrolment = format!("/api/v1/enrolments/{}", way.opened.enrolment_id);
    let certify = way.token.certify(&way.opened).expect("a request");
    let (status, _, body) = agent.send(("POST", &format!("{enrolment}/certificate")), bearer, &certify);
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    let certified: ca_wire::enrolment::Certified = serde_json::from_slice(&body).expect("a certificate");
    let hash = Sha256::digest(&certified.certificate.0).to_vec();
    let read_back = Confirm { certificate_sha256: Base64Url(hash) };
    assert_eq!(agent.send(("POST", &format!("{enrolment}/confirmation")), bearer, &read_back).0, 204);
    let (status, code, body) = ask_unblocking(agent, "third-01", LOGIN_PASSWORD, &way.token);
    assert_eq!(status, 201, "{code:?}");
    body
}

fn ask_unblocking(
    agent: &Agent,
    user: &str,
    password: &str,
    token: &SoftToken,
) -> (u16, Option<Code>, Vec<u8>) {
    let opening = EnrolmentClient::opening(user, token);
    let ask = token::Ask {
        user_id: opening.user_id,
        password: password.to_owned(),
        device: opening.device,
        agent_version: opening.agent_version,
    };
    agent.send(("POST", "/api/v1/tokens/unblockings"), None, &ask)
}

/// Where a password is asked for, whoever hasn't the right one for the right token hears one and the same.
#[test]
fn the_agents_password_routes_by_every_kind_of_user() {
    let house = House::open("access-matrix-passwords");
    let agent = Agent::new(&house.bank);
    house.bank.register_contract("7654321", "他社").expect("a contract");
    for (id, serial) in [("waiting-01", 46_400_001), ("suspended-01", 46_400_002)] {
        house.register(id, "general", serial);
    }
    let other = house.customer_of("7654321", "other-01", "master", 46_400_003);
    house.bank.operator(&["user", "suspend", "suspended-01"]).expect("suspended");
    let token =
        |serial| SoftToken::new(&house.bank, Profile::new(serial, Firmware(5, 7, 2))).expect("a token");
    let (waiting, suspended) = (token(46_400_001), token(46_400_002));
    // Before the failures, which are counted.
    let opening = EnrolmentClient::opening("waiting-01", &waiting);
    assert_eq!(agent.send(("POST", "/api/v1/enrolments"), None, &opening).0, 201);
    let (_, code, _) = ask_unblocking(&agent, "waiting-01", LOGIN_PASSWORD, &waiting);
    assert_eq!(code, Some(Code::PukNotKept), "known, and nothing is kept for this token");

    for (who, user, password, token, status) in [
        ("nobody that we know", "nobody-01", LOGIN_PASSWORD, &waiting, 401),
        ("a wrong password", "waiting-01", "not-the-password", &waiting, 401),
        ("a wrong password, suspended", "suspended-01", "not-the-password", &suspended, 401),
        ("suspended", "suspended-01", LOGIN_PASSWORD, &suspended, 403),
        ("another's token", "waiting-01", LOGIN_PASSWORD, &other.token, 0),
    ] {
        let mut opening = EnrolmentClient::opening(user, token);
        opening.password = password.to_owned();
        let answers = [
            agent.send(("POST", "/api/v1/enrolments"), None, &opening),
            ask_unblocking(&agent, user, password, token),
        ];
        for (status_seen, code, _) in answers {
            assert!(status_seen >= 400, "{who} was served");
            if status == 401 {
                assert_eq!((status_seen, code), (401, Some(Code::AuthenticationFailed)), "{who}");
            } else if status != 0 {
                assert_eq!(status_seen, status, "{who}: {code:?}");
            }
        }
    }
}

/// The pages' router and the API's handlers name the routes.
#[test]
fn the_public_table_names_every_route() {
    let source = |name: &str| {
        let path = format!("{}/../ca/src/http/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let pages = source("portal/public.rs");
    let pages: BTreeSet<&str> =
        pages.split(".route(\"").skip(1).filter_map(|part| part.split('"').next()).collect();
    assert_eq!(pages, PAGES.iter().copied().collect(), "pages");

    // Each handler of `routes()` has its method and path in the words before it.
    let handlers = source("api/mod.rs").matches("routes!(").count();
    let mut routed = BTreeSet::new();
    for file in ["mod.rs", "enrolments.rs", "tokens.rs"] {
        for part in source(&format!("api/{file}")).split("#[utoipa::path(").skip(1) {
            let mut words = part.trim_start().splitn(2, ',');
            let method = words.next().unwrap_or_default().to_uppercase();
            let path = words.next().and_then(|rest| rest.split('"').nth(1)).expect("a path");
            routed.insert(format!("{method} {path}"));
        }
    }
    assert_eq!(routed.len(), handlers, "the API is spelled in another way: {routed:?}");
    let named: BTreeSet<String> = API.iter().map(|(method, route, _)| format!("{method} {route}")).collect();
    assert_eq!(routed, named);
}
