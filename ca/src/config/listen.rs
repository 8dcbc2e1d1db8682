//! `[listen]` and `[tls]`: where the listeners are, and the operator's server certificate.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::http::Uri;
use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    public: String,
    client: String,
    staff: Option<String>,
    validation: String,
    ops: String,
    public_url: String,
    client_url: String,
    #[serde(default = "default_connections")]
    max_connections: usize,
}

fn default_connections() -> usize {
    1024
}

/// Addresses, and the URLs that customers know.
#[derive(Debug)]
pub(crate) struct Listen {
    /// TLS without client certificates: login top page and enrolment API.
    pub(crate) public: SocketAddr,
    /// TLS 1.3 with client certificates: the portal.
    pub(crate) client: SocketAddr,
    /// TLS 1.3 with staff certificates: the console; `None` where there is none.
    pub(crate) staff: Option<SocketAddr>,
    /// Plain HTTP: OCSP, CRLs, CA certificates.
    pub(crate) validation: SocketAddr,
    /// Plain HTTP on loopback: health and metrics.
    pub(crate) ops: SocketAddr,
    /// Where customers reach `public`, without a slash at the end.
    pub(crate) public_url: String,
    /// Where customers reach `client`, without a slash at the end.
    pub(crate) client_url: String,
    /// Connections at a time, for each listener.
    pub(crate) max_connections: usize,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Listen> {
        let listen = Listen {
            public: address("listen.public", &self.public)?,
            client: address("listen.client", &self.client)?,
            staff: self.staff.map(|text| address("listen.staff", &text)).transpose()?,
            validation: address("listen.validation", &self.validation)?,
            ops: address("listen.ops", &self.ops)?,
            public_url: https_url("listen.public_url", &self.public_url)?,
            client_url: https_url("listen.client_url", &self.client_url)?,
            max_connections: value::within("listen.max_connections", self.max_connections, 16..=65_536)?,
        };
        if !listen.ops.ip().is_loopback() {
            return Err(ConfigError::value(
                "listen.ops",
                format_args!("{} isn't a loopback address", listen.ops),
                "use 127.0.0.1 or [::1]: health and metrics aren't for the network",
            ));
        }
        let mut all = vec![
            ("listen.public", listen.public),
            ("listen.client", listen.client),
            ("listen.validation", listen.validation),
            ("listen.ops", listen.ops),
        ];
        all.extend(listen.staff.map(|staff| ("listen.staff", staff)));
        for (index, (key, address)) in all.iter().enumerate() {
            // Port 0 asks the system for a free one, so it never collides.
            if address.port() != 0 && all[..index].iter().any(|(_, other)| other == address) {
                return Err(ConfigError::value(
                    *key,
                    format_args!("{address} is another listener's address"),
                    "give each listener its own",
                ));
            }
        }
        Ok(listen)
    }
}

fn address(key: &str, text: &str) -> ConfigResult<SocketAddr> {
    text.parse().map_err(|_| {
        ConfigError::value(
            key,
            format_args!("{text:?} isn't an address with a port"),
            "write it like \"127.0.0.1:8443\" or \"[::1]:8443\"",
        )
    })
}

fn https_url(key: &str, text: &str) -> ConfigResult<String> {
    let bad = || {
        ConfigError::value(
            key,
            format_args!("{text:?} isn't an https URL without a path"),
            "write it like \"https://login.bank.example\"",
        )
    };
    origin(text, "https").ok_or_else(bad)
}

/// The scheme and authority of a URL that has nothing else.
pub(super) fn origin(text: &str, scheme: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let bare = uri.scheme_str() == Some(scheme) && uri.path() == "/" && uri.query().is_none();
    let authority = uri.authority().filter(|a| bare && !a.as_str().contains('@') && !a.host().is_empty())?;
    Some(format!("{scheme}://{authority}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate_file: String,
    key_file: String,
}

/// The server certificate for both TLS listeners; it is the operator's, not one of ours.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// PEM, the server's first, then its intermediates.
    pub(crate) certificate_file: PathBuf,
    /// PEM.
    pub(crate) key_file: PathBuf,
}

impl RawTls {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Tls> {
        Ok(Tls {
            certificate_file: value::path("tls.certificate_file", &self.certificate_file, base)?,
            key_file: value::path("tls.key_file", &self.key_file, base)?,
        })
    }
}
