//! Why the server didn't do what was asked. The words for people stand in `messages`.

use ca_wire::problem::Code;
use jiff::Timestamp;

/// The server's refusal, read from its problem details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `None` for a code that this agent doesn't know.
    pub(crate) code: Option<Code>,
    /// The code as the server wrote it.
    pub(crate) name: String,
    pub(crate) detail: Option<String>,
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) support_id: Option<String>,
}

impl Refusal {
    /// Whether the same enrolment may succeed later. Any other refusal is its last word: the server gives it again to
    /// every repetition with the same idempotency key.
    pub(crate) fn may_pass_later(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::Throttled
                    | Code::OutsideHours
                    | Code::RenewalPending
                    | Code::IssuingHalted
                    | Code::Unavailable
                    | Code::Internal
                    | Code::BearerInvalid
                    | Code::ChallengeExpired
                    | Code::AuthenticationFailed
                    | Code::AgentTooOld
            )
        )
    }
}

/// A machine on the way to the server, or the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// `host:port`
    pub(crate) name: String,
    /// The company's proxy.
    pub(crate) is_proxy: bool,
    /// A script (PAC) by which the system would have chosen a proxy, where it is connected to without one.
    pub(crate) script: Option<String>,
}

/// What is wrong with the certificate that was presented for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadCertificate {
    /// By this computer's clock.
    Expired {
        not_after: Option<Timestamp>,
    },
    /// By this computer's clock.
    NotYetValid {
        not_before: Option<Timestamp>,
    },
    /// It is for these names: a network's login page, or another server.
    OtherName {
        names: Vec<String>,
    },
    /// Nobody that is trusted has issued it: a proxy that reads along, or a fraud.
    UnknownIssuer {
        issuer: Option<String>,
    },
    Other,
}

/// A failure at the server or on the way to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("{0} is not an https address")]
    NotHttps(String),
    #[error("the file of authorities {0} holds no certificate that can be used")]
    Authorities(String),
    #[error("{0} is not a proxy's address")]
    Proxy(String),
    #[error("the HTTPS client can't be set up")]
    Setup(#[source] reqwest::Error),
    #[error("TLS can't be set up")]
    SetupTls(#[source] rustls::Error),
    #[error("the name of {} is not known", .hop.name)]
    NameUnknown {
        hop: Hop,
        #[source]
        source: reqwest::Error,
    },
    #[error("{} refuses the connection", .hop.name)]
    ConnectionRefused {
        hop: Hop,
        #[source]
        source: reqwest::Error,
    },
    #[error("{} doesn't answer", .hop.name)]
    Silent {
        hop: Hop,
        #[source]
        source: reqwest::Error,
    },
    #[error("{} can't be reached", .hop.name)]
    Unreachable {
        hop: Hop,
        #[source]
        source: reqwest::Error,
    },
    #[error("the server didn't answer in time")]
    Timeout(#[source] Option<reqwest::Error>),
    #[error("what answers for {} doesn't speak TLS", .hop.name)]
    NotTls {
        hop: Hop,
        #[source]
        source: reqwest::Error,
    },
    #[error("the server's certificate is not accepted")]
    Certificate(BadCertificate, #[source] reqwest::Error),
    #[error("by this computer's clock it is {here}, by the server's {there}")]
    Clock { here: Timestamp, there: Timestamp },
    #[error("the proxy {proxy} asks for a user name and password")]
    ProxyAuthentication {
        /// `host:port`
        proxy: String,
        /// Whether some were given, and not accepted.
        given: bool,
        /// The kinds of authentication that it offers, where it could be asked.
        schemes: Vec<String>,
        #[source]
        source: reqwest::Error,
    },
    #[error("the proxy {proxy} doesn't connect to the server")]
    ProxyRefused {
        /// `host:port`
        proxy: String,
        /// Its answer's status, where it could be asked again.
        status: Option<u16>,
        #[source]
        source: reqwest::Error,
    },
    #[error("the connection to the server broke")]
    Broken(#[source] reqwest::Error),
    #[error("the server points elsewhere, with status {0}")]
    Redirected(u16),
    #[error("a web page came instead of an answer, with status {0}")]
    WebPage(u16),
    #[error("the answer is larger than {0} octets")]
    TooLarge(usize),
    #[error("the answer with status {0} is not one of this API")]
    NotUnderstood(u16),
    #[error("the server refuses: {}", .0.name)]
    Refused(Refusal),
}

impl ServerError {
    /// Whether it says nothing about the enrolment: the same request may succeed later.
    pub(crate) fn may_pass_later(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.may_pass_later(),
            _ => true,
        }
    }

    /// Whether the bank takes no certificate for this key, and would for another.
    pub(crate) fn asks_for_another_key(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == Some(Code::DeviceInUse))
    }

    /// Whether opening the enrolment again gives what was missing.
    pub(crate) fn asks_to_open_again(&self) -> bool {
        let code = if let Self::Refused(refusal) = self { refusal.code } else { None };
        matches!(code, Some(Code::BearerInvalid | Code::ChallengeExpired))
    }
}
