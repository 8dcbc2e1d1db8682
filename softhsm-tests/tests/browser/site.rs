//! A bank with a desk where customers sit at browsers.

use std::cell::Cell;

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use softhsm_tests::{
    bank::{Bank, Desk, LOGIN_PASSWORD, NewUser, Officer, Options},
    browser::Browser,
    faults::Faults,
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

pub(crate) const CONTRACT: &str = "1234567";
pub(crate) const COMPANY: &str = "北海産業ホールディングス株式会社";

/// A bank, its clock, and a desk with YubiKeys.
pub(crate) struct Site {
    // Browsers end before the desk, the desk before the directory.
    pub(crate) bank: Bank,
    pub(crate) clock: Faults,
    pub(crate) desk: Desk,
    scratch: Scratch,
    name: &'static str,
    browsers: Cell<u32>,
}

impl Site {
    /// With a token for each of these serial numbers.
    pub(crate) fn open(name: &'static str, tokens: &[u32]) -> Result<Self> {
        Self::with_staff(name, tokens, &[])
    }

    /// The same with members of staff, each with a token.
    pub(crate) fn with_staff(name: &'static str, tokens: &[u32], staff: &[Officer]) -> Result<Self> {
        let customers = tokens.iter().map(|token| Profile::new(*token, Firmware(5, 7, 2)));
        Self::founded(name, customers.collect(), staff, SignedDuration::ZERO)
    }

    /// A bank that was founded so long ago and lives there still; a token for each profile.
    pub(crate) fn founded(
        name: &'static str,
        mut profiles: Vec<Profile>,
        staff: &[Officer],
        ago: SignedDuration,
    ) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let clock = Faults::new(&scratch.join("clock"), &[])?;
        clock.clock(-ago)?;
        let mut bank = Bank::prepare(&scratch.join("bank"), &Options::default())?;
        bank.authority_extra = clock.environment()?;
        if !ago.is_zero() {
            bank.signer_extra = clock.environment()?;
        }
        bank.hold_ceremony()?;
        bank.migrate()?;
        bank.start_signer()?;
        bank.start_authority()?;
        bank.register_contract(CONTRACT, COMPANY)?;
        let staffs = staff.iter().map(|officer| Profile::new(officer.token, Firmware(5, 4, 3)));
        profiles.extend(staffs);
        let desk = Desk::new(&scratch.directory("desk")?, bank.attestation(), profiles)?;
        if !staff.is_empty() {
            bank.certify_staff(&desk, staff)?;
            bank.admit_staff(&desk, staff)?;
        }
        Ok(Self { bank, clock, desk, scratch, name, browsers: Cell::new(0) })
    }

    /// A bank that was founded long ago is here now. A signer follows no jump of its clock, so another one begins.
    pub(crate) fn today(&mut self) -> Result<()> {
        self.clock.clock(SignedDuration::ZERO)?;
        (self.bank.authority, self.bank.signer) = (None, None);
        self.bank.start_signer()?;
        self.bank.start_authority()
    }

    /// Registers a user and, at the agent, obtains a certificate.
    pub(crate) fn customer(&self, id: &str, role: &str, name: &str, token: u32) -> Result<()> {
        self.bank.register_user(&NewUser { id, contract: CONTRACT, role, name, token: Some(token) })?;
        self.desk.enroll(&self.bank, id, token).map(drop)
    }

    /// A browser with this token, or without any.
    pub(crate) fn browser(&self, token: Option<u32>) -> Result<Browser> {
        let number = self.browsers.replace(self.browsers.get() + 1);
        let directory = self.scratch.directory(&format!("chromium-{number}"))?;
        Browser::open(&self.bank, token.map(|token| (&self.desk, token)), &directory, self.name)
    }

    /// The public top page in this language.
    pub(crate) fn top(&self, browser: &Browser, language: &str) -> Result<()> {
        browser.goto(&format!("{}/?lang={language}", self.bank.urls().public))
    }

    /// From the top page to the home page: certificate login, password, and what comes first.
    pub(crate) fn log_in(&self, browser: &Browser, words: &Words) -> Result<()> {
        self.top(browser, words.language)?;
        browser.follow(words.certificate_login)?;
        browser.goto(&format!("{}/login?lang={}", self.bank.urls().client, words.language))?;
        browser.fill("#password", LOGIN_PASSWORD)?;
        browser.follow(words.login)?;
        ensure!(
            browser.url()?.contains("/home") || browser.url()?.contains("/renewal"),
            "not in: {}",
            browser.text()?
        );
        Ok(())
    }

    pub(crate) fn client(&self, path: &str) -> String {
        format!("{}{path}", self.bank.urls().client)
    }
}

/// What people click on.
pub(crate) struct Words {
    pub(crate) language: &'static str,
    pub(crate) certificate_login: &'static str,
    pub(crate) obtain: &'static str,
    pub(crate) download: &'static str,
    pub(crate) login: &'static str,
    pub(crate) logout: &'static str,
    pub(crate) certificate: &'static str,
    pub(crate) history: &'static str,
    pub(crate) settings: &'static str,
    pub(crate) manage: &'static str,
    pub(crate) users: &'static str,
    pub(crate) register: &'static str,
    pub(crate) revoke: &'static str,
    pub(crate) revoke_button: &'static str,
    pub(crate) revoked: &'static str,
    pub(crate) execute: &'static str,
    pub(crate) assign: &'static str,
    pub(crate) change_password: &'static str,
    pub(crate) change: &'static str,
    pub(crate) stop: &'static str,
    pub(crate) stop_button: &'static str,
    pub(crate) stopped: &'static str,
    pub(crate) later: &'static str,
    pub(crate) now: &'static str,
}

pub(crate) const JAPANESE: Words = Words {
    language: "ja",
    certificate_login: "電子証明書ログイン",
    obtain: "電子証明書発行",
    download: "証明書発行アプリダウンロード",
    login: "ログイン",
    logout: "ログアウト",
    certificate: "電子証明書",
    history: "利用履歴照会",
    settings: "設定",
    manage: "管理",
    users: "利用者管理",
    register: "利用者登録",
    revoke: "証明書失効",
    revoke_button: "失効",
    revoked: "失効しました",
    execute: "実行",
    assign: "トークンの割り当て",
    change_password: "ログインパスワード変更",
    change: "変更",
    stop: "緊急停止",
    stop_button: "このIDの利用を停止する",
    stopped: "利用を停止しました",
    later: "更新しない",
    now: "更新する",
};

pub(crate) const ENGLISH: Words = Words {
    language: "en",
    certificate_login: "Certificate login",
    obtain: "Obtain a certificate",
    download: "Download the certificate agent",
    login: "Log in",
    logout: "Log out",
    certificate: "Certificate",
    history: "Login history",
    settings: "Settings",
    manage: "Management",
    users: "Users",
    register: "Register a user",
    revoke: "Revoke certificates",
    revoke_button: "Revoke",
    revoked: "Revoked",
    execute: "Execute",
    assign: "Assign a token",
    change_password: "Change login password",
    change: "Change",
    stop: "Emergency stop",
    stop_button: "Stop this ID",
    stopped: "Your ID is stopped",
    later: "Not now",
    now: "Renew now",
};
