//! Labels. Every value is from the program, the configuration or a fixed list, never from a request: what strangers
//! send must not make series.

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;

/// Labels of requests that were answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// `public`, `client`, `validation`, `ops`.
    pub(crate) listener: &'static str,
    /// The route's template, such as `/crl/{name}`; `unmatched` when there is none.
    pub(crate) route: String,
    /// See [`method`].
    pub(crate) method: &'static str,
    /// `2xx` and so on; `gone` when the client went away before the answer.
    pub(crate) class: &'static str,
}

/// Labels of the time that requests took.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    /// As in [`RequestLabels`].
    pub(crate) listener: &'static str,
    /// As in [`RequestLabels`].
    pub(crate) route: String,
    /// As in [`RequestLabels`].
    pub(crate) method: &'static str,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ListenerLabels {
    /// As in [`RequestLabels`].
    pub(crate) listener: &'static str,
}

/// Something that was decided or done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    /// What, such as `certify`, `login`, `ocsp`, `publish_crl`.
    pub(crate) what: &'static str,
    /// How it ended, a stable code.
    pub(crate) outcome: &'static str,
}

/// None, of a gauge that isn't there before it is set.
pub(crate) type NoLabels = [(&'static str, &'static str); 0];

/// An issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct IssuerLabels {
    /// The issuer's ID.
    pub(crate) issuer: String,
}

/// A registered machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MachineLabels {
    /// The name that the configuration gives it.
    pub(crate) machine: String,
}

/// One of the tokens behind an issuer's signer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TokenLabels {
    /// The issuer's ID.
    pub(crate) issuer: String,
    /// The name that the signer's configuration gives it.
    pub(crate) token: String,
}

/// What an issuer's signer is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SigningLabels {
    /// The issuer's ID.
    pub(crate) issuer: String,
    /// `certificate`, `crl`, `ocsp`, `revocation`.
    pub(crate) what: &'static str,
}

/// A request to a signer that had no result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SigningFailureLabels {
    /// The issuer's ID.
    pub(crate) issuer: String,
    /// As in [`SigningLabels`].
    pub(crate) what: &'static str,
    /// `refused`, `unavailable`, `locked-out`.
    pub(crate) kind: &'static str,
}

/// Certificates that expire soon.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ExpiryLabels {
    /// The issuer's ID.
    pub(crate) issuer: String,
    /// `10d`, `40d`.
    pub(crate) within: &'static str,
}

/// A pool of password hashing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PoolLabels {
    /// `portal`, `enrolment`.
    pub(crate) pool: &'static str,
}

/// A job that one node does for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct JobLabels {
    /// Its lease's name, such as `crl-customer`.
    pub(crate) job: String,
}

/// An attempt to deliver a mail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MailLabels {
    /// How it ended.
    pub(crate) outcome: &'static str,
}

/// A kind of personal data.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PersonalDataLabels {
    /// As in `[retention]`, with hyphens.
    pub(crate) kind: &'static str,
}

/// A part of readiness.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ComponentLabels {
    /// As in `/readyz`.
    pub(crate) component: &'static str,
    /// The issuer's ID, empty for what concerns all.
    pub(crate) issuer: String,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BuildLabels {
    /// Its version.
    pub(crate) version: &'static str,
}

/// A method by its name; what isn't of RFC 9110 or RFC 5789 is `other`, for clients can make up names.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

/// The class of an HTTP status.
pub(crate) fn class(status: u16) -> &'static str {
    match status {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
