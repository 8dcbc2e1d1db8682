//! A bank behind a reverse proxy (RFC 9440): `HAProxy` holds the customers' connections and says whose they are. What it
//! says counts because it shows its own key, and nobody else's word does.

#[path = "../customers/mod.rs"]
mod customers;
mod rig;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use customers::{Customer, page};
use rcgen::DnType;
use rig::Front;
use softhsm_tests::{
    bank::SoftBrowser,
    card_client::Response,
    soft_pki::{KeyKind, SoftAuthority},
};

/// One of the machines' API: the status of a certificate.
const MACHINES_PATH: &str = "/machine/v1/certificates/customer/00ff";

fn header(certificate: &[u8]) -> String {
    format!(":{}:", BASE64_STANDARD.encode(certificate))
}

/// GETs a page with a header.
fn get(browser: &SoftBrowser, path: &str, (name, value): (&str, &str)) -> Response {
    let request = browser.request("GET", path).expect("a request").header(name, value);
    SoftBrowser::response(request).expect("an answer")
}

#[test]
fn a_customer_logs_in_through_the_proxy_as_without_one() {
    let front = Front::open("reverse-proxy-login");
    let alice = front.house.customer("alice-01", "general", 52_000_001);
    let bob = front.house.customer("bob-0001", "general", 52_000_002);
    let (at_alices, at_bobs) = (front.login_of(&alice), front.login_of(&bob));
    assert!(page(&at_alices.get("/login").expect("a page"), 200).contains("alice-01"));
    at_alices.login().expect("a login");
    assert!(page(&at_alices.get("/home").expect("a page"), 200).contains("52000001"));
    at_bobs.login().expect("a login");
    assert!(page(&at_bobs.get("/home").expect("a page"), 200).contains("52000002"));

    // A session belongs to the certificate that the proxy saw, not to the proxy's connection.
    let cookie = at_alices.cookie("__Host-inro-session").expect("a session");
    let stolen =
        get(&front.login_window(&bob), "/home", ("cookie", &format!("__Host-inro-session={cookie}")));
    assert!(!page(&stolen, 403).contains("alice-01"));

    let revoke = ["certificate", "revoke", &alice.serial, "--reason", "keyCompromise"];
    front.house.bank.operator(&revoke).expect("revoked");
    assert!(page(&at_alices.get("/home").expect("a page"), 403).contains("失効しています"));
    assert_eq!(at_bobs.get("/home").expect("a page").status, 200);
}

#[test]
fn nobody_without_a_certificate_gets_one_by_a_header() {
    let front = Front::open("reverse-proxy-forged");
    let house = &front.house;
    let alice = house.customer("alice-01", "general", 52_000_011);
    let bob = house.customer("bob-0001", "general", 52_000_012);
    let said = header(&alice.certificate);

    // Through the proxy: it takes the client's header away, and says whom it saw itself.
    let nobody = front.nobody().at_url(&front.login);
    let forged = get(&nobody, "/login", ("client-cert", &said));
    assert!(page(&forged, 403).contains("電子証明書が確認できません"));
    let as_bob = get(&front.login_window(&bob), "/login", ("client-cert", &said));
    let shown = page(&as_bob, 200);
    assert!(shown.contains("bob-0001") && !shown.contains("alice-01"));
    assert_eq!(house.audit("proxy.refused").len(), 0);

    // Straight to every listener with TLS: refused, whoever sends it, and written down.
    let urls = house.bank.urls();
    let straight = [
        (front.nobody(), "no certificate"),
        (front.nobody().at_url(&urls.public), "the public listener"),
        (bob.browser.at_url(&urls.client), "another customer's connection"),
        (front.nobody().at_url(&urls.staff), "the staff console"),
    ];
    for (rows, (browser, what)) in straight.iter().enumerate() {
        for name in ["client-cert", "client-cert-chain"] {
            let refused = get(browser, "/login", (name, &said));
            assert_eq!(refused.status, 400, "{what}: {}", refused.text());
        }
        assert_eq!(house.audit("proxy.refused").len(), 2 * (rows + 1), "{what}");
    }
    let row = &house.audit("proxy.refused")[0];
    assert!(row.to_string().contains("header-not-from-a-proxy"), "{row}");
    let refused = get(&bob.browser, "/home", ("client-cert", &said));
    assert_eq!(refused.status, 400);
}

/// What the proxy says is checked like a handshake; its word counts for the possession of the key alone.
#[test]
fn the_proxy_is_believed_the_key_and_nothing_else() {
    let front = Front::open("reverse-proxy-word");
    let house = &front.house;
    let alice = house.customer("alice-01", "general", 52_000_021);
    let proxy = front.proxy_itself();
    let shown = page(&get(&proxy, "/login", ("client-cert", &header(&alice.certificate))), 200);
    assert!(shown.contains("alice-01"));
    let unpadded = header(&alice.certificate).replace('=', "");
    assert_eq!(get(&proxy, "/login", ("client-cert", &unpadded)).status, 200, "padding is no matter");
    assert!(page(&proxy.get("/login").expect("a page"), 403).contains("電子証明書が確認できません"));

    let impostor = SoftAuthority::new("Example Customer CA").expect("an authority");
    let forged = impostor.client(&[(DnType::CommonName, "alice-01")], KeyKind::P256).expect("a certificate");
    let machine = std::fs::read_to_string(house.bank.path("machines/terminals.pem")).expect("a machine's");
    for (certificate, what) in [(&forged.certificate, "a look-alike CA's"), (&machine, "a machine's")] {
        let (_, certificate) = der::pem::decode_vec(certificate.as_bytes()).expect("PEM");
        let said = header(&certificate);
        let refused = get(&proxy, "/login", ("client-cert", &said));
        assert_eq!(refused.status, 403, "{what}: {}", refused.text());
        let refused = get(&proxy, MACHINES_PATH, ("client-cert", &said));
        assert_eq!(refused.status, 403, "{what} at the API: {}", refused.text());
    }
    let whole = header(&alice.certificate);
    for bad in ["", ":", "::", "alice", ":MAA=:;x", &whole[..40], &format!("{whole}, {whole}")] {
        let refused = get(&proxy, "/login", ("client-cert", bad));
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text());
    }
    let rows = house.audit("proxy.refused");
    assert!(rows.iter().all(|row| row.to_string().contains("header-certificate")), "{rows:?}");
    assert_eq!(rows.len(), 7);
    assert!(rows[0].to_string().contains("edge-1"), "the proxy is named: {}", rows[0]);
}

/// Limits and rows count the client's address as the proxy saw it, and never as the client says.
#[test]
fn an_address_is_the_proxys_word_too() {
    let front = Front::open("reverse-proxy-address");
    let house = &front.house;
    let stranger = SoftAuthority::new("Somebody").expect("an authority");
    let identity = stranger.client(&[(DnType::CommonName, "x")], KeyKind::P256).expect("a certificate");
    let window = front.from("127.0.0.7", Some(&(identity.key + &identity.certificate))).at_url(&front.login);
    assert_eq!(get(&window, "/login", ("x-forwarded-for", "203.0.113.9")).status, 403);
    let sources = || -> Vec<String> {
        let rows = house.audit("machine.refused");
        rows.iter().map(|row| row["details"]["source"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(sources(), ["127.0.0.7"]);

    let refused = get(&front.proxy_itself(), "/login", ("x-forwarded-for", "somewhere"));
    assert_eq!(refused.status, 400);
    // The public listener knows the proxy as well: wrong passwords there are counted by address.
    let public = front.from("127.0.0.8", None).at_url(&front.www);
    assert_eq!(public.get("/").expect("a page").status, 200);
    let refused = front.nobody().at_url(&house.bank.urls().public).get("/").expect("a page");
    assert_eq!(refused.status, 200, "without a proxy it is served as before");
}

/// Wrong passwords at the enrolment API from one address behind the proxy slow down that address, not the proxy.
#[test]
fn a_flood_behind_the_proxy_is_the_floods_alone() {
    let front = Front::open("reverse-proxy-flood");
    front.house.customer("alice-01", "general", 52_000_031);
    let asked = |from: &str, login: &str| {
        let browser = front.from(from, None).at_url(&front.www);
        rig::enrol_with_a_wrong_password(&browser, login)
    };
    let mut throttled = false;
    for n in 0..60 {
        let answer = asked("127.0.0.9", &format!("nobody-{n:02}"));
        throttled |= answer.status == 429;
        if throttled {
            break;
        }
    }
    assert!(throttled, "the flood was never slowed down");
    assert_ne!(asked("127.0.0.10", "nobody-99").status, 429, "somebody else behind the same proxy was");
}

impl Front {
    /// A new window at the proxy with a customer's key.
    fn login_window(&self, customer: &Customer) -> SoftBrowser {
        self.house.window(customer).at_url(&self.login)
    }

    /// The customer's own window, at the proxy.
    fn login_of(&self, customer: &Customer) -> SoftBrowser {
        customer.browser.at_url(&self.login)
    }
}
