//! What can be found, with its code for the help desk. The words stand in `messages`.

use agent_tpm::Health;
use jiff::{SignedDuration, Timestamp};

#[cfg(target_os = "linux")]
use crate::browser::{BrowserError, Good, Trouble};
use crate::{
    certificate::CertificateDetails,
    enrol::EnrolError,
    proxy::Origin,
    route::RouteError,
    server::ServerError,
    token::{TokenError, TokenIdentity},
};

/// What a finding is about, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    Reader,
    Token,
    Pin,
    Certificate,
    Tpm,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "browsers are looked at on Linux"))]
    Browser,
    Clock,
    Network,
    Proxy,
    Server,
    Version,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    Good,
    /// Worth knowing; nothing is in the way.
    Note,
    Wrong,
}

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Direct,
    /// A list of exceptions names the server.
    Excepted(Origin),
    Through {
        /// `host:port`
        proxy: String,
        origin: Origin,
        user: Option<String>,
    },
    /// A script would say; it isn't run.
    Script(String),
}

/// How a certificate's issuers are.
#[derive(Debug)]
pub(crate) enum Chain {
    /// Subjects from the issuer to the root, and the root's SHA-256.
    Good { issuers: Vec<String>, root_sha256: String },
    /// An issuer's certificate could not be fetched from there.
    Unknown { url: Option<String> },
    /// It doesn't hold together.
    Broken { subject: String },
}

/// Where the bank publishes what it says about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A responder (RFC 6960).
    Ocsp,
    /// A revocation list (RFC 5280, 5).
    Crl,
}

/// What came from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Good,
    Revoked {
        at: Timestamp,
        /// Because it was renewed.
        superseded: bool,
    },
    /// The bank's, and too old.
    Outdated,
    /// Something that the certificate's issuer didn't sign.
    NotTheBanks,
    /// No answer.
    Nothing,
}

/// What is published about a certificate, as it arrives at this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) place: Place,
    pub(crate) url: String,
    pub(crate) word: Word,
}

/// A finding.
#[derive(Debug)]
pub(crate) enum Fact {
    /// The smart-card service answers, with so many readers.
    Readers(usize),
    NoService(TokenError),
    /// The service shows no reader; names of USB devices that look like one.
    NoReader {
        usb: Vec<String>,
    },
    ReaderEmpty {
        name: String,
    },
    ReaderForeign {
        name: String,
    },
    ReaderBusy {
        name: String,
    },
    ReaderMute {
        name: String,
    },
    NoToken {
        needed: bool,
    },
    Token(TokenIdentity),
    TokenNotPermitted {
        kind: &'static str,
    },
    TokenFails {
        serial: String,
        error: TokenError,
    },
    PinGood {
        tries_left: u8,
    },
    PinFactory,
    PinLow {
        tries_left: u8,
    },
    PinBlocked,
    Certificate {
        details: Box<CertificateDetails>,
        days: i64,
    },
    CertificateExpiring {
        details: Box<CertificateDetails>,
        days: i64,
    },
    CertificateExpired {
        details: Box<CertificateDetails>,
    },
    CertificateNotYetValid {
        details: Box<CertificateDetails>,
    },
    CertificateUnreadable {
        slot: String,
    },
    CertificateMissing {
        serial: String,
    },
    KeyWithoutCertificate {
        slot: String,
    },
    Chain(Chain),
    Published(Published),
    TpmKey {
        user_id: String,
    },
    TpmLost {
        user_id: String,
        health: Health,
    },
    TpmFails(EnrolError),
    #[cfg(target_os = "linux")]
    Browser(Good),
    #[cfg(target_os = "linux")]
    BrowserTrouble(Trouble),
    #[cfg(target_os = "linux")]
    BrowserError(BrowserError),
    Clock {
        differs: SignedDuration,
    },
    ClockWrong {
        here: Timestamp,
        there: Timestamp,
    },
    ClockUnknown {
        here: Timestamp,
    },
    Way(Route),
    /// The first machine on the way answers, at this address.
    Connected {
        hop: String,
        addresses: Vec<String>,
    },
    ProxyLetsThrough {
        proxy: String,
    },
    /// The server is the bank's, by the word of this issuer.
    Server {
        origin: String,
        issuer: String,
    },
    NoRoute(RouteError),
    ServerFails(ServerError),
    VersionCurrent,
    VersionNewer {
        newest: String,
        download: String,
    },
    VersionTooOld {
        lowest: String,
        download: String,
    },
}

impl Fact {
    pub(crate) fn area(&self) -> Area {
        match self {
            Self::Readers(_)
            | Self::NoService(_)
            | Self::NoReader { .. }
            | Self::ReaderEmpty { .. }
            | Self::ReaderForeign { .. }
            | Self::ReaderBusy { .. }
            | Self::ReaderMute { .. } => Area::Reader,
            Self::NoToken { .. }
            | Self::Token(_)
            | Self::TokenNotPermitted { .. }
            | Self::TokenFails { .. } => Area::Token,
            Self::PinGood { .. } | Self::PinFactory | Self::PinLow { .. } | Self::PinBlocked => Area::Pin,
            Self::Certificate { .. }
            | Self::CertificateExpiring { .. }
            | Self::CertificateExpired { .. }
            | Self::CertificateNotYetValid { .. }
            | Self::CertificateUnreadable { .. }
            | Self::CertificateMissing { .. }
            | Self::KeyWithoutCertificate { .. }
            | Self::Chain(_)
            | Self::Published(_) => Area::Certificate,
            Self::TpmKey { .. } | Self::TpmLost { .. } | Self::TpmFails(_) => Area::Tpm,
            #[cfg(target_os = "linux")]
            Self::Browser(_) | Self::BrowserTrouble(_) | Self::BrowserError(_) => Area::Browser,
            Self::Clock { .. } | Self::ClockWrong { .. } | Self::ClockUnknown { .. } => Area::Clock,
            Self::Connected { .. } => Area::Network,
            Self::Way(_) | Self::ProxyLetsThrough { .. } => Area::Proxy,
            Self::Server { .. } | Self::NoRoute(_) => Area::Server,
            Self::ServerFails(error) => area_of(error),
            Self::VersionCurrent | Self::VersionNewer { .. } | Self::VersionTooOld { .. } => Area::Version,
        }
    }

    pub(crate) fn grade(&self) -> Grade {
        match self {
            Self::Published(published) => grade_of(published.word),
            Self::NoService(_)
            | Self::NoReader { .. }
            | Self::ReaderBusy { .. }
            | Self::ReaderMute { .. }
            | Self::NoToken { needed: true }
            | Self::TokenNotPermitted { .. }
            | Self::TokenFails { .. }
            | Self::PinBlocked
            | Self::CertificateExpired { .. }
            | Self::CertificateNotYetValid { .. }
            | Self::CertificateUnreadable { .. }
            | Self::Chain(Chain::Broken { .. })
            | Self::TpmLost { .. }
            | Self::TpmFails(_)
            | Self::ClockWrong { .. }
            | Self::NoRoute(_)
            | Self::ServerFails(_)
            | Self::VersionTooOld { .. } => Grade::Wrong,
            Self::ReaderEmpty { .. }
            | Self::ReaderForeign { .. }
            | Self::NoToken { needed: false }
            | Self::PinFactory
            | Self::PinLow { .. }
            | Self::CertificateExpiring { .. }
            | Self::CertificateMissing { .. }
            | Self::KeyWithoutCertificate { .. }
            | Self::Chain(Chain::Unknown { .. })
            | Self::ClockUnknown { .. }
            | Self::Way(Route::Script(_))
            | Self::VersionNewer { .. } => Grade::Note,
            #[cfg(target_os = "linux")]
            Self::BrowserTrouble(_) | Self::BrowserError(_) => Grade::Note,
            #[cfg(target_os = "linux")]
            Self::Browser(_) => Grade::Good,
            Self::Readers(_)
            | Self::Token(_)
            | Self::PinGood { .. }
            | Self::Certificate { .. }
            | Self::Chain(Chain::Good { .. })
            | Self::TpmKey { .. }
            | Self::Clock { .. }
            | Self::Way(_)
            | Self::Connected { .. }
            | Self::ProxyLetsThrough { .. }
            | Self::Server { .. }
            | Self::VersionCurrent => Grade::Good,
        }
    }

    /// Stays the same in all languages and versions.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Readers(_) => "reader.service",
            Self::NoService(_) => "reader.no-service",
            Self::NoReader { .. } => "reader.none",
            Self::ReaderEmpty { .. } => "reader.empty",
            Self::ReaderForeign { .. } => "reader.foreign-card",
            Self::ReaderBusy { .. } => "reader.busy",
            Self::ReaderMute { .. } => "reader.mute",
            Self::NoToken { .. } => "token.none",
            Self::Token(_) => "token.found",
            Self::TokenNotPermitted { .. } => "token.not-permitted",
            Self::TokenFails { .. } => "token.fails",
            Self::PinGood { .. } => "pin.good",
            Self::PinFactory => "pin.factory",
            Self::PinLow { .. } => "pin.low",
            Self::PinBlocked => "pin.blocked",
            Self::Certificate { .. } => "certificate.valid",
            Self::CertificateExpiring { .. } => "certificate.expiring",
            Self::CertificateExpired { .. } => "certificate.expired",
            Self::CertificateNotYetValid { .. } => "certificate.not-yet-valid",
            Self::CertificateUnreadable { .. } => "certificate.unreadable",
            Self::CertificateMissing { .. } => "certificate.none",
            Self::KeyWithoutCertificate { .. } => "certificate.only-key",
            Self::Chain(Chain::Good { .. }) => "chain.good",
            Self::Chain(Chain::Unknown { .. }) => "chain.unknown",
            Self::Chain(Chain::Broken { .. }) => "chain.broken",
            Self::Published(published) => published.code(),
            Self::TpmKey { .. } => "tpm.key",
            Self::TpmLost { .. } => "tpm.key-lost",
            Self::TpmFails(_) => "tpm.fails",
            #[cfg(target_os = "linux")]
            Self::Browser(_) => "browser.set-up",
            #[cfg(target_os = "linux")]
            Self::BrowserTrouble(_) | Self::BrowserError(_) => "browser.trouble",
            Self::Clock { .. } => "clock.right",
            Self::ClockWrong { .. } => "clock.wrong",
            Self::ClockUnknown { .. } => "clock.unknown",
            Self::Way(Route::Script(_)) => "proxy.script",
            Self::Way(_) => "proxy.way",
            Self::Connected { .. } => "network.connected",
            Self::ProxyLetsThrough { .. } => "proxy.lets-through",
            Self::Server { .. } => "server.genuine",
            Self::NoRoute(_) => "server.not-configured",
            Self::ServerFails(error) => code_of(error),
            Self::VersionCurrent => "version.current",
            Self::VersionNewer { .. } => "version.newer",
            Self::VersionTooOld { .. } => "version.too-old",
        }
    }
}

/// The bank asks its own records at a login, so what doesn't arrive here is in nobody's way but other programs'.
fn grade_of(word: Word) -> Grade {
    match word {
        Word::Good => Grade::Good,
        Word::Revoked { superseded: false, .. } => Grade::Wrong,
        Word::Revoked { .. } | Word::Outdated | Word::NotTheBanks | Word::Nothing => Grade::Note,
    }
}

impl Published {
    fn code(&self) -> &'static str {
        match (self.place, self.word) {
            (_, Word::Revoked { superseded: false, .. }) => "certificate.revoked",
            (_, Word::Revoked { superseded: true, .. }) => "certificate.superseded",
            (Place::Ocsp, Word::Good) => "ocsp.good",
            (Place::Ocsp, Word::Outdated) => "ocsp.outdated",
            (Place::Ocsp, Word::NotTheBanks) => "ocsp.not-the-banks",
            (Place::Ocsp, Word::Nothing) => "ocsp.unreachable",
            (Place::Crl, Word::Good) => "crl.good",
            (Place::Crl, Word::Outdated) => "crl.outdated",
            (Place::Crl, Word::NotTheBanks) => "crl.not-the-banks",
            (Place::Crl, Word::Nothing) => "crl.unreachable",
        }
    }
}

fn area_of(error: &ServerError) -> Area {
    match error {
        ServerError::NameUnknown { .. }
        | ServerError::ConnectionRefused { .. }
        | ServerError::Silent { .. }
        | ServerError::Unreachable { .. } => Area::Network,
        ServerError::Proxy(_)
        | ServerError::ProxyAuthentication { .. }
        | ServerError::ProxyRefused { .. } => Area::Proxy,
        ServerError::Clock { .. } => Area::Clock,
        _ => Area::Server,
    }
}

fn code_of(error: &ServerError) -> &'static str {
    match error {
        ServerError::NameUnknown { .. } => "network.name-unknown",
        ServerError::ConnectionRefused { .. } => "network.refused",
        ServerError::Silent { .. } => "network.silent",
        ServerError::Unreachable { .. } => "network.unreachable",
        ServerError::Proxy(_) => "proxy.address",
        ServerError::ProxyAuthentication { .. } => "proxy.authentication",
        ServerError::ProxyRefused { .. } => "proxy.refused",
        ServerError::Clock { .. } => "clock.wrong",
        ServerError::Certificate(..) => "server.certificate",
        ServerError::NotTls { .. } => "server.not-tls",
        ServerError::Redirected(_) | ServerError::WebPage(_) => "server.web-page",
        ServerError::Timeout(_) => "server.timeout",
        ServerError::Broken(_) => "server.broken",
        ServerError::TooLarge(_) | ServerError::NotUnderstood(_) => "server.not-understood",
        ServerError::Refused(_) => "server.refused",
        ServerError::NotHttps(_)
        | ServerError::Authorities(_)
        | ServerError::Setup(_)
        | ServerError::SetupTls(_) => "server.not-configured",
    }
}
