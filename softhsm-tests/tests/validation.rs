//! OCSP, CRLs and CA certificates as relying parties and their attackers ask for them.

mod customers;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ca_x509::ocsp::{CertId, OcspRequest, Request, TbsRequest, Version, nonce_extension};
use customers::{Customer, House};
use der::{Decode as _, Encode as _, asn1::OctetString};
use softhsm_tests::{
    bank::fetch,
    openssl::{openssl, openssl_with_input},
    wait::until,
};
use x509_cert::ext::Extension;

/// `OCSPResponse` with nothing but a status (RFC 6960, 4.2.1).
const MALFORMED: &[u8] = &[0x30, 3, 0x0a, 1, 1];
const UNAUTHORIZED: &[u8] = &[0x30, 3, 0x0a, 1, 6];

struct Relying {
    house: House,
    customer: Customer,
    leaf: PathBuf,
}

impl Relying {
    fn open(name: &str) -> Self {
        let house = House::open(name);
        let customer = house.customer("relied-01", "general", 42_000_001);
        let leaf = house.bank.path("leaf.pem");
        let pem = openssl_with_input(&["x509", "-inform", "DER"], &customer.certificate).expect("PEM");
        std::fs::write(&leaf, pem).expect("a file");
        Self { house, customer, leaf }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.house.bank.urls().validation)
    }

    fn file(&self, name: &str) -> String {
        self.house.bank.path(name).to_string_lossy().into_owned()
    }

    /// `openssl ocsp` with these options about the customer's certificate; fails when the response doesn't verify.
    fn ocsp(&self, options: &[&str]) -> String {
        let (issuer, root) = (self.file("ceremony/issuing.pem"), self.file("ceremony/root.pem"));
        let leaf = self.leaf.to_string_lossy();
        let fixed = ["ocsp", "-CAfile", &root, "-issuer", &issuer];
        let about = if options.contains(&"-serial") { vec![] } else { vec!["-cert", &*leaf] };
        openssl(&[&fixed[..], &options_before(options), &about, &options_after(options)].concat())
            .expect("an answer")
    }

    fn cert_id(&self) -> CertId {
        let path = self.file("request.der");
        self.ocsp(&["-no_nonce", "-reqout", &path]);
        let request = OcspRequest::from_der(&std::fs::read(&path).expect("a request")).expect("a request");
        request.tbs_request.request_list[0].req_cert.clone()
    }

    fn post(&self, kind: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
        let request = client.post(self.url("/ocsp")).header("content-type", kind).body(body);
        let response = request.send().expect("a response");
        (response.status().as_u16(), response.bytes().expect("a body").to_vec())
    }

    fn ask(&self, request: &OcspRequest) -> (u16, Vec<u8>) {
        self.post("application/ocsp-request", request.to_der().expect("DER"))
    }
}

/// The hash of the certID must come before what it applies to.
fn options_before<'a>(options: &[&'a str]) -> Vec<&'a str> {
    options.iter().copied().filter(|option| option.starts_with("-sha")).collect()
}

fn options_after<'a>(options: &[&'a str]) -> Vec<&'a str> {
    options.iter().copied().filter(|option| !option.starts_with("-sha")).collect()
}

fn request(ids: &[CertId], extensions: Option<Vec<Extension>>) -> OcspRequest {
    let request = |id: &CertId| Request { req_cert: id.clone(), single_request_extensions: None };
    OcspRequest {
        tbs_request: TbsRequest {
            version: Version::V1,
            requestor_name: None,
            request_list: ids.iter().map(request).collect(),
            request_extensions: extensions,
        },
        optional_signature: None,
    }
}

#[test]
fn openssl_hears_good_then_revoked_by_post_and_get() {
    let relying = Relying::open("validation");
    let url = relying.url("/ocsp");
    for options in [&["-url", &*url][..], &["-sha256", "-url", &url], &["-no_nonce", "-url", &url]] {
        let text = relying.ocsp(options);
        assert!(text.contains(": good"), "{options:?}: {text}");
    }
    let unknown = relying.ocsp(&["-url", &url, "-serial", "0x0102030405"]);
    assert!(unknown.contains(": unknown"), "{unknown}");

    let by_get = || {
        let der = request(&[relying.cert_id()], None).to_der().expect("DER");
        let path = BASE64_STANDARD.encode(der).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let response = fetch(&relying.url(&format!("/ocsp/{path}"))).expect("a response");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("application/ocsp-response"));
        let control = response.header("cache-control").expect("caching").to_owned();
        let seconds = control.split("max-age=").nth(1).and_then(|rest| rest.split(',').next());
        assert!(seconds.and_then(|text| text.parse::<u32>().ok()).is_some_and(|age| age <= 60), "{control}");
        for header in ["etag", "expires", "last-modified"] {
            assert!(response.header(header).is_some(), "{header} is missing");
        }
        let path = relying.file("response.der");
        std::fs::write(&path, &response.body).expect("a file");
        relying.ocsp(&["-no_nonce", "-respin", &path])
    };
    assert!(by_get().contains(": good"));

    let serial = &relying.customer.serial;
    let revoke = ["certificate", "revoke", serial, "--reason", "keyCompromise"];
    relying.house.bank.operator(&revoke).expect("revoked");
    let text = relying.ocsp(&["-url", &url]);
    assert!(text.contains(": revoked") && text.contains("keyCompromise"), "{text}");
    assert!(by_get().contains(": revoked"), "an old answer was sent again");
}

#[test]
fn bad_ocsp_requests_get_the_exact_refusal() {
    let relying = Relying::open("validation-bad");
    let id = relying.cert_id();
    let nonce = |length: usize| nonce_extension(&vec![7; length]).expect("an extension");

    for (what, body) in [
        ("nothing", Vec::new()),
        ("no DER", b"GET / HTTP/1.1".to_vec()),
        ("indefinite length", vec![0x30, 0x80, 0, 0]),
        ("a length beyond the end", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
        (
            "trailing octets",
            [request(std::slice::from_ref(&id), None).to_der().expect("DER"), vec![0]].concat(),
        ),
        ("deep nesting", [0x30_u8, 0x80].repeat(2000)),
    ] {
        let answer = relying.post("application/ocsp-request", body);
        assert_eq!(answer, (200, MALFORMED.to_vec()), "{what}");
    }
    let eleven = vec![id.clone(); 11];
    assert_eq!(relying.ask(&request(&eleven, None)), (200, MALFORMED.to_vec()), "11 entries");
    assert_eq!(relying.ask(&request(&[], None)), (200, MALFORMED.to_vec()), "no entry");
    for length in [0, 129, 1000] {
        let answer = relying.ask(&request(std::slice::from_ref(&id), Some(vec![nonce(length)])));
        assert_eq!(answer, (200, MALFORMED.to_vec()), "a nonce of {length} octets");
    }
    for length in [1, 32, 128] {
        let (status, body) = relying.ask(&request(std::slice::from_ref(&id), Some(vec![nonce(length)])));
        assert!(status == 200 && body.len() > 100, "a nonce of {length} octets was refused");
    }
    let mut foreign = id.clone();
    foreign.issuer_key_hash = OctetString::new([9; 20]).expect("a hash");
    assert_eq!(relying.ask(&request(&[foreign], None)), (200, UNAUTHORIZED.to_vec()), "a foreign issuer");

    let (status, _) = relying.ask(&request(&vec![id.clone(); 10_000], None));
    assert_eq!(status, 413, "10,000 entries");
    let good = request(&[id], None).to_der().expect("DER");
    assert_eq!(relying.post("text/plain", good.clone()).0, 415);
    let rows = relying.house.audit("ocsp.refused");
    assert!(rows.len() >= 4, "refusals leave no trace: {rows:?}");

    let encoded = BASE64_STANDARD.encode(&good);
    let twice = encoded.replace('+', "%252B").replace('/', "%252F").replace('=', "%253D");
    for (path, status) in [
        (format!("/ocsp/{}", "A".repeat(65_000)), [414, 431]),
        (format!("/ocsp/{}", "A".repeat(2_000)), [414, 414]),
        (format!("/ocsp/{twice}%25"), [400, 400]),
        ("/ocsp/%".to_owned(), [400, 400]),
        ("/ocsp/".to_owned(), [400, 400]),
    ] {
        let response = fetch(&relying.url(&path)).expect("a response");
        assert!(status.contains(&response.status), "{}: {}", &path[..path.len().min(40)], response.status);
    }
}

#[test]
fn crls_and_ca_certificates_stand_where_the_certificates_say_and_nothing_else_does() {
    let relying = Relying::open("validation-crl");
    let text = openssl(&["x509", "-noout", "-text", "-in", &relying.leaf.to_string_lossy()]).expect("text");
    for path in ["/crl/customer-0.crl", "/ca/customer.cer", "/ocsp"] {
        assert!(text.contains(&relying.url(path)), "the certificate doesn't say {path}");
    }
    let crl = || fetch(&relying.url("/crl/customer-0.crl")).ok().map(|crl| crl.status);
    until("the first CRL", crl, |status| *status == Some(200));
    for (path, issuer) in
        [("/crl/customer-0.crl", "ceremony/issuing.pem"), ("/crl/root.crl", "ceremony/root.pem")]
    {
        let crl = fetch(&relying.url(path)).expect("a CRL");
        assert_eq!(crl.header("content-type"), Some("application/pkix-crl"), "{path}");
        let verify = ["crl", "-inform", "DER", "-noout", "-CAfile", &relying.file(issuer), "-text"];
        let text = openssl_with_input(&verify, &crl.body).expect("a CRL that verifies");
        assert!(String::from_utf8_lossy(&text).contains("X509v3 CRL Number"), "{path}");

        let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
        let etag = crl.header("etag").expect("an ETag").to_owned();
        let again = client.get(relying.url(path)).header("if-none-match", etag).send().expect("a response");
        assert_eq!(again.status().as_u16(), 304, "{path}");
    }
    for (path, file) in [("/ca/customer.cer", "ceremony/issuing.pem"), ("/ca/root.cer", "ceremony/root.pem")]
    {
        let certificate = fetch(&relying.url(path)).expect("a certificate");
        assert_eq!(certificate.header("content-type"), Some("application/pkix-cert"));
        let pem = openssl_with_input(&["x509", "-inform", "DER"], &certificate.body).expect("PEM");
        let fingerprint =
            |pem: &[u8]| openssl_with_input(&["x509", "-noout", "-fingerprint"], pem).expect("one");
        let expected = std::fs::read(relying.file(file)).expect("a file");
        assert_eq!(fingerprint(&pem), fingerprint(&expected), "{path}");
    }
    for path in [
        "/crl/customer-1.crl",
        "/crl/staff-0.crl",
        "/crl/customer-0",
        "/crl/..%2f..%2finro.toml",
        "/crl/%2e%2e%2froot.crl",
        "/crl/root.crl/",
        "/crl/",
        "/ca/customer.pem",
        "/ca/..%2fsecrets%2flogin",
        "/ca/root.cer%00",
        "/inro.toml",
    ] {
        assert_eq!(fetch(&relying.url(path)).expect("a response").status, 404, "{path}");
    }
}

/// Clients that send half a header, or nothing, and fall silent are dropped; others are served meanwhile.
#[test]
fn slow_clients_are_dropped() {
    let relying = Relying::open("validation-slow");
    let url = relying.url("");
    let address = url.trim_start_matches("http://");
    let mut slow = TcpStream::connect(address).expect("a connection");
    slow.write_all(b"GET /crl/root.crl HTTP/1.1\r\nHost: x\r\nX-Slow:").expect("half a header");
    let silent = TcpStream::connect(address).expect("a connection");
    assert_eq!(fetch(&relying.url("/crl/root.crl")).expect("a CRL").status, 200);
    for mut stream in [slow, silent] {
        // Far above the deadline of a header, and below that of a stalled connection.
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the server ends the connection");
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "half a request was served");
    }
}
