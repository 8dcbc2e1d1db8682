//! The public listener's refusals: every route, what is wrong with the request, and the exact problem.

mod customers;

use ca_wire::problem::{Code, Problem};
use customers::House;
use reqwest::{
    Method,
    blocking::{Client, RequestBuilder},
};
use serde_json::json;

const KEY: &str = "api-idempotency-key-1";
const CERTIFICATE: &str = "/api/v1/enrolments/7f3a1b9e-3d0c-4d4e-9d5b-0a2b6c8d1e2f/certificate";
const CONFIRMATION: &str = "/api/v1/enrolments/7f3a1b9e-3d0c-4d4e-9d5b-0a2b6c8d1e2f/confirmation";

struct Api {
    house: House,
    client: Client,
}

impl Api {
    fn open(name: &str) -> Self {
        let house = House::open(name);
        let trust = std::fs::read(house.bank.path("tls/ca.pem")).expect("a file");
        let authority = reqwest::Certificate::from_pem(&trust).expect("a certificate");
        let client = Client::builder().tls_certs_only([authority]).no_proxy().build().expect("a client");
        Self { house, client }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.house.bank.urls().public))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }
}

/// Sends it and expects a problem with this status and code, told in the way of RFC 9457.
fn refused(what: &str, request: RequestBuilder, status: u16, code: Code) -> Problem {
    let response = request.send().expect("a response");
    assert_eq!(response.status().as_u16(), status, "{what}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{what}");
    assert_eq!(response.headers()["cache-control"], "no-store", "{what}");
    let problem: Problem = response.json().expect("a problem");
    assert_eq!((problem.code, problem.status), (code, status), "{what}");
    assert_eq!(problem.kind, format!("urn:inro:problem:{}", code.as_str()), "{what}");
    assert_eq!(problem.support_id.as_deref().map(str::len), Some(10), "{what}");
    problem
}

fn opening() -> serde_json::Value {
    json!({
        "user_id": "nobody-01",
        "password": "a-password-of-nobody",
        "device": { "kind": "yubikey-piv", "serial": "43000001", "firmware": "5.7.2" },
        "agent_version": "0.1.0",
    })
}

#[test]
fn what_cannot_be_read_is_refused_by_every_route() {
    let api = Api::open("api");
    for path in ["/api/v1/enrolments", CERTIFICATE, CONFIRMATION] {
        let ready = || api.post(path).header("idempotency-key", KEY).bearer_auth("x");
        refused(path, ready().body("{}"), 415, Code::MalformedRequest);
        let json = || ready().header("content-type", "application/json");
        refused(path, json().body("{"), 400, Code::MalformedRequest);
        refused(path, json().body("{}"), 400, Code::MalformedRequest);
        refused(path, json().body("[".repeat(500)), 400, Code::MalformedRequest);
        refused(path, json().body(" ".repeat(70_000)), 413, Code::TooLarge);
        refused(path, api.request(Method::GET, path), 405, Code::MalformedRequest);
    }
    for path in ["/api", "/api/v1", "/api/v1/enrolments/", "/api/v2/enrolments", "/inro.toml", "/login"] {
        refused(path, api.request(Method::GET, path), 404, Code::NotFound);
    }
    let braces = "/api/v1/enrolments/%7B7f3a1b9e-3d0c-4d4e-9d5b-0a2b6c8d1e2f%7D/certificate";
    let request = api.post(braces).header("idempotency-key", KEY).bearer_auth("x").json(&json!({}));
    refused("a UUID in braces", request, 404, Code::NotFound);
}

#[test]
fn keys_bearers_versions_and_devices_are_checked_before_anything_else() {
    let api = Api::open("api-keys");
    let path = "/api/v1/enrolments";
    refused("no key", api.post(path).json(&opening()), 400, Code::IdempotencyKey);
    for bad in ["short", "with blanks in it ok", &"x".repeat(65)] {
        let request = api.post(path).header("idempotency-key", bad).json(&opening());
        refused(bad, request, 400, Code::IdempotencyKey);
    }
    let twice = api.post(path).header("idempotency-key", KEY).header("idempotency-key", KEY).json(&opening());
    refused("two keys", twice, 400, Code::IdempotencyKey);
    for path in [CERTIFICATE, CONFIRMATION] {
        let none = api.post(path).header("idempotency-key", KEY).json(&json!({}));
        refused("no bearer", none, 401, Code::BearerInvalid);
    }
    let confirmation = json!({ "certificate_sha256": "A".repeat(43) });
    let unknown = api.post(CONFIRMATION).header("idempotency-key", KEY).bearer_auth("x").json(&confirmation);
    refused("an unknown enrolment", unknown, 401, Code::BearerInvalid);

    let with = |name: &str, value: serde_json::Value| {
        let mut body = opening();
        body[name] = value;
        api.post(path).header("idempotency-key", KEY).json(&body)
    };
    refused("an old agent", with("agent_version", json!("0.0.9")), 403, Code::AgentTooOld);
    refused("no version", with("agent_version", json!("new")), 403, Code::AgentTooOld);
    refused("an unknown field", with("admin", json!(true)), 400, Code::MalformedRequest);
    for device in [
        json!({ "kind": "floppy", "serial": "1", "firmware": "5.7.2" }),
        json!({ "kind": "yubikey-piv", "serial": "", "firmware": "5.7.2" }),
        json!({ "kind": "yubikey-piv", "serial": "0012", "firmware": "5.7.2" }),
        json!({ "kind": "yubikey-piv", "serial": "1", "firmware": "5.7" }),
    ] {
        refused("a device", with("device", device), 400, Code::MalformedRequest);
    }
    let problem =
        refused("a wrong type", with("password", json!(["a-secret-in-a-list"])), 400, Code::MalformedRequest);
    assert!(!format!("{problem:?}").contains("a-secret-in-a-list"), "{problem:?}");
}

/// Rule 13: failures throttle, and say until when; they are the same for users that exist and that don't.
#[test]
fn guessing_is_slowed_down_and_tells_nothing() {
    let api = Api::open("api-throttle");
    let customer = api.house.customer("throttled-01", "general", 43_000_011);
    let guess = |user: &str| {
        let mut body = opening();
        body["user_id"] = json!(user);
        api.post("/api/v1/enrolments").header("idempotency-key", KEY).json(&body)
    };
    let codes = |user: &str| -> Vec<(Code, Option<String>)> {
        let problems = (0..6).map(|_| guess(user).send().expect("a response").json::<Problem>());
        problems.map(|problem| problem.expect("a problem")).map(|p| (p.code, Some(p.title))).collect()
    };
    let (known, unknown) = (codes("throttled-01"), codes("nobody-02"));
    assert_eq!(known, unknown);
    assert_eq!(known[0].0, Code::AuthenticationFailed);
    let problem = refused("a throttled guess", guess("throttled-01"), 429, Code::Throttled);
    assert!(problem.retry_at.is_some());
    // The login is another matter.
    customer.browser.login().expect("the login isn't locked by guesses at the API");
}

#[test]
fn the_agent_hears_which_versions_are_accepted_and_browsers_where_to_log_in() {
    let api = Api::open("api-public");
    let versions: ca_wire::version::AgentVersions =
        api.request(Method::GET, "/api/v1/agent").send().expect("a response").json().expect("versions");
    assert_eq!((&*versions.lowest, &*versions.newest), ("0.1.0", "0.1.0"));
    for (path, expected) in [("/", "電子証明書ログイン"), ("/?lang=en", "Certificate login")] {
        let page = api.request(Method::GET, path).send().expect("a page");
        assert_eq!(page.headers()["strict-transport-security"], "max-age=31536000");
        let text = page.text().expect("text");
        assert!(text.contains(expected) && text.contains(&api.house.bank.urls().client), "{text}");
    }
}
