//! A bank with `HAProxy` in front of it, and everybody who comes to either.

use std::{net::IpAddr, process::Command, time::Duration};

use rcgen::DnType;
use serde_json::json;
use softhsm_tests::{
    bank::{Bank, NewMachine, Options, SoftBrowser},
    card_client::Response,
    ports::PortLease,
    process::Process,
    scratch::Scratch,
    soft_pki::{KeyKind, SoftAuthority},
};

use crate::customers::House;

const DEADLINE: Duration = Duration::from_secs(30);

/// The bank behind its proxy.
pub(crate) struct Front {
    pub(crate) house: House,
    /// The proxy in front of the client-certificate listener, without a slash at the end.
    pub(crate) login: String,
    /// The proxy in front of the public listener.
    pub(crate) www: String,
    /// The proxy's own key and certificate, PEM.
    proxy: String,
    _haproxy: Process,
    _ports: PortLease,
}

impl Front {
    pub(crate) fn open(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let machines = vec![NewMachine::trusted("terminals")];
        let options = Options { machines, ..Options::default() };
        let mut bank = Bank::prepare(&scratch.join("bank"), &options).expect("a bank");
        let authority = SoftAuthority::new("Example proxies' authority").expect("an authority");
        let identity =
            authority.client(&[(DnType::CommonName, "edge-1")], KeyKind::P256).expect("a certificate");
        std::fs::write(bank.path("edge-1.pem"), &identity.certificate).expect("a file");
        bank.reconfigure(|table| {
            let proxy = toml::toml! { name = "edge-1" certificate = "edge-1.pem" };
            table.insert("proxy".to_owned(), vec![toml::Value::from(proxy)].into());
        })
        .expect("a configuration");
        bank.begin().expect("a bank");
        let ports = PortLease::consecutive(2).expect("ports");
        let proxy = identity.key + &identity.certificate;
        let haproxy = start(&bank, &proxy, ports.port());
        let url = |port: u16| format!("https://localhost:{port}");
        Self {
            login: url(ports.port()),
            www: url(ports.port() + 1),
            proxy,
            house: House::of(bank, scratch),
            _haproxy: haproxy,
            _ports: ports,
        }
    }

    /// A browser without a certificate.
    pub(crate) fn nobody(&self) -> SoftBrowser {
        SoftBrowser::with_pem(&self.house.bank, None).expect("a browser")
    }

    /// Who holds the proxy's key, straight at the client-certificate listener.
    pub(crate) fn proxy_itself(&self) -> SoftBrowser {
        SoftBrowser::with_pem(&self.house.bank, Some(&self.proxy)).expect("a browser")
    }

    /// A browser on a computer with this address.
    pub(crate) fn from(&self, address: &str, identity: Option<&str>) -> SoftBrowser {
        let address: IpAddr = address.parse().expect("an address");
        SoftBrowser::from_address(&self.house.bank, identity, address).expect("a browser")
    }
}

/// Starts `HAProxy` on `port` and the one after it.
fn start(bank: &Bank, proxy: &str, port: u16) -> Process {
    let read = |name: &str| std::fs::read_to_string(bank.path(name)).expect("a file");
    let write = |name: &str, text: &str| {
        let path = bank.path(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let server = read("tls/server.pem") + &read("tls/server.key");
    let issuers = read("ceremony/issuing.pem") + &read("ceremony/root.pem");
    let urls = bank.urls();
    let address = |url: &str| url.replace("https://localhost", "127.0.0.1").replace("https://", "");
    let values = [
        ("@login@", format!("127.0.0.1:{port}")),
        ("@www@", format!("127.0.0.1:{}", port + 1)),
        ("@server@", write("haproxy-server.pem", &server)),
        ("@issuers@", write("haproxy-issuers.pem", &issuers)),
        ("@proxy@", write("haproxy-client.pem", proxy)),
        ("@authority@", bank.path("tls/ca.pem").display().to_string()),
        ("@client@", address(&urls.client)),
        ("@public@", address(&urls.public)),
    ];
    let template = include_str!("haproxy.cfg").to_owned();
    let text = values.iter().fold(template, |text, (name, value)| text.replace(name, value));
    let configuration = write("haproxy.cfg", &text);
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", &configuration]);
    let mut process = Process::spawn("haproxy", &mut command, &bank.path("logs")).expect("HAProxy");
    for port in [port, port + 1] {
        process.wait_for_listener(([127, 0, 0, 1], port).into(), DEADLINE).expect("HAProxy's listener");
    }
    process
}

/// An agent that guesses.
pub(crate) fn enrol_with_a_wrong_password(browser: &SoftBrowser, login: &str) -> Response {
    let body = json!({
        "user_id": login,
        "password": "a-password-of-nobody",
        "device": { "kind": "yubikey-piv", "serial": "52000099", "firmware": "5.7.2" },
        "agent_version": "0.1.0",
    });
    let request = browser.request("POST", "/api/v1/enrolments").expect("a request");
    let request = request.header("idempotency-key", "a-guess-that-is-repeated").json(&body);
    SoftBrowser::response(request).expect("an answer")
}
