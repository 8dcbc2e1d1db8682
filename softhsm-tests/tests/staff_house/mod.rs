//! A bank whose staff CA is in the test: members of staff with keys in this process, and real TLS to the console.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::fs;

use der::DecodePem as _;
use rcgen::DnType;
use softhsm_tests::{
    bank::{Bank, Options, SoftBrowser, hidden},
    card_client::Response,
    scratch::Scratch,
    soft_pki::{Identity, KeyKind, SoftAuthority},
};
use x509_cert::Certificate;

use crate::customers::House;

/// The bank, its customers, and its staff.
pub(crate) struct StaffHouse {
    pub(crate) house: House,
    pub(crate) authority: SoftAuthority,
}

/// Roles of the members that [`StaffHouse::open`] brings, with their IDs: two of each that decide.
pub(crate) const MEMBERS: [(&str, &str); 6] = [
    ("admin-1", "administrator"),
    ("admin-2", "administrator"),
    ("clerk-1", "clerk"),
    ("clerk-2", "clerk"),
    ("auditor", "auditor"),
    ("operations", "hsm-operations"),
];

impl StaffHouse {
    /// A bank with two administrators, who are imported as after a ceremony.
    pub(crate) fn bare(name: &str) -> (Self, [Member; 2]) {
        Self::bare_with(name, &Options::default())
    }

    fn bare_with(name: &str, options: &Options) -> (Self, [Member; 2]) {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let mut bank = Bank::prepare(&scratch.join("bank"), options).expect("a bank");
        let authority = SoftAuthority::new("Example Staff CA").expect("an authority");
        fs::create_dir_all(bank.path("staff")).expect("a folder");
        fs::write(bank.path("staff/ca.pem"), authority.certificate()).expect("a file");
        let crl = authority.revocation_list(1, &[]).expect("a CRL");
        fs::write(bank.path("staff/ca.crl"), crl).expect("a file");
        bank.reconfigure(|table| {
            let staff = table.get_mut("staff").and_then(toml::Value::as_table_mut).expect("a section");
            staff.insert("issuer_certificate".to_owned(), "staff/ca.pem".into());
            staff.insert("crl".to_owned(), "staff/ca.crl".into());
        })
        .expect("a configuration");
        bank.begin().expect("a bank");
        let house = Self { house: House::of(bank, scratch), authority };
        let admins = ["admin-1", "admin-2"].map(|id| {
            let identity = house.identity(id);
            house.import(id, "administrator", &identity, &[]).expect("an administrator");
            house.member(id, identity)
        });
        (house, admins)
    }

    /// The same with everybody in [`MEMBERS`], admitted by the two administrators.
    pub(crate) fn open(name: &str) -> (Self, Vec<Member>) {
        Self::open_with(name, &Options::default())
    }

    /// The same at a bank with these options.
    pub(crate) fn open_with(name: &str, options: &Options) -> (Self, Vec<Member>) {
        let (house, [first, second]) = Self::bare_with(name, options);
        first.login();
        second.login();
        let mut members = vec![first, second];
        for (id, role) in &MEMBERS[2..] {
            let identity = house.identity(id);
            admit(&members[0], &members[1], id, role, &identity);
            let member = house.member(id, identity);
            member.login();
            members.push(member);
        }
        (house, members)
    }

    pub(crate) fn bank(&self) -> &Bank {
        &self.house.bank
    }

    /// A certificate of the staff CA.
    pub(crate) fn identity(&self, id: &str) -> Identity {
        let subject = [(DnType::CountryName, "JP"), (DnType::CommonName, id)];
        self.authority.client(&subject, KeyKind::P256).expect("a certificate")
    }

    /// The staff CA's next CRL, with these certificates; the console takes it up within moments.
    pub(crate) fn revoke_certificates(&self, number: u64, identities: &[&Identity]) {
        let serial = |identity: &&Identity| {
            let certificate = Certificate::from_pem(identity.certificate.as_bytes()).expect("a certificate");
            certificate.tbs_certificate().serial_number().as_bytes().to_vec()
        };
        let serials: Vec<Vec<u8>> = identities.iter().map(serial).collect();
        let crl = self.authority.revocation_list(number, &serials).expect("a CRL");
        fs::write(self.bank().path("staff/ca.crl"), crl).expect("a file");
    }

    /// `inro-ca staff import`.
    pub(crate) fn import(
        &self,
        id: &str,
        roles: &str,
        identity: &Identity,
        more: &[&str],
    ) -> Result<(), String> {
        let file = self.bank().path(format!("staff/{id}.pem"));
        fs::write(&file, &identity.certificate).expect("a file");
        let path = file.to_string_lossy();
        let arguments =
            ["staff", "import", id, "--name", "行員 花子", "--roles", roles, "--certificate", &path];
        let done = self.bank().operator(&[&arguments[..], more].concat());
        done.map(drop).map_err(|error| format!("{error:#}"))
    }

    /// A browser with a member's token.
    pub(crate) fn member(&self, id: &str, identity: Identity) -> Member {
        let pem = identity.key.clone() + &identity.certificate;
        let browser = SoftBrowser::staff(self.bank(), Some(&pem)).expect("a browser");
        Member { id: id.to_owned(), identity, browser }
    }
}

/// A member of staff at a browser.
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) identity: Identity,
    pub(crate) browser: SoftBrowser,
}

impl Member {
    /// Presses the button; the answer.
    pub(crate) fn try_login(&self) -> Response {
        let front = self.browser.get("/").expect("an answer");
        let csrf = hidden(&front, "csrf").unwrap_or_default();
        self.browser.post("/login", &[("csrf", &csrf)]).expect("an answer")
    }

    pub(crate) fn login(&self) {
        let answer = self.try_login();
        assert_eq!(answer.status, 303, "{} can't log in: {}", self.id, answer.text());
    }

    /// A page that must be there.
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.browser.get(path).expect("an answer");
        assert_eq!(answer.status, 200, "{} at {path}: {}", self.id, answer.text());
        answer.text()
    }

    /// Sends a form with the session's token; the answer itself.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let home = self.browser.get("/home").expect("an answer");
        let csrf = hidden(&home, "csrf").unwrap_or_default();
        let fields = [&[("csrf", &*csrf)][..], fields].concat();
        self.browser.post(path, &fields).expect("an answer")
    }

    /// The same where it must be done; where it leads.
    pub(crate) fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields);
        assert_eq!(answer.status, 303, "{} at {path}: {}", self.id, answer.text());
        answer.header("location").expect("a location").to_owned()
    }
}

/// The path of a request, without what the page says.
pub(crate) fn request_of(location: &str) -> String {
    location.split('?').next().unwrap_or_default().to_owned()
}

/// One administrator proposes, the other approves.
pub(crate) fn admit(first: &Member, second: &Member, id: &str, role: &str, identity: &Identity) {
    let mut fields = vec![
        ("id", id),
        ("name", "行員 次郎"),
        ("certificate", identity.certificate.as_str()),
        ("reason", "着任"),
    ];
    fields.extend(role.split(' ').map(|role| ("role", role)));
    let request = request_of(&first.done("/staff", &fields));
    second.done(&format!("{request}/approve"), &[]);
}
