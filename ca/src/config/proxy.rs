//! `[[proxy]]`: reverse proxies in front of this server, each known by its own client certificate.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: String,
    certificate: String,
    #[serde(default)]
    address_header: AddressHeader,
}

/// In which header a proxy says where a request came from. The other one isn't read: clients can send it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AddressHeader {
    /// `X-Forwarded-For`, whose last address is the proxy's own word.
    #[default]
    XForwardedFor,
    /// RFC 7239; the last element is the proxy's own word.
    Forwarded,
}

/// A reverse proxy whose word about its clients counts.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Its name in logs and audit rows.
    pub(crate) name: String,
    /// The certificate that it shows here, PEM.
    pub(crate) certificate: PathBuf,
    pub(crate) address_header: AddressHeader,
}

pub(super) fn validate(raw: Vec<Raw>, base: &Path) -> ConfigResult<Vec<Proxy>> {
    let mut proxies: Vec<Proxy> = Vec::with_capacity(raw.len());
    for entry in raw {
        let proxy = entry.validate(base)?;
        if proxies.iter().any(|other| other.name == proxy.name) {
            return Err(ConfigError::value(
                "proxy.name",
                format_args!("{:?} stands there twice", proxy.name),
                "give each [[proxy]] its own name",
            ));
        }
        proxies.push(proxy);
    }
    Ok(proxies)
}

impl Raw {
    fn validate(self, base: &Path) -> ConfigResult<Proxy> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.bytes().all(plain) {
            return Err(ConfigError::value(
                "proxy.name",
                format_args!("{:?} isn't a proxy's name", self.name),
                "use 1 to 32 of a-z, 0-9 and '-'",
            ));
        }
        let key = format!("proxy.{}.certificate", self.name);
        Ok(Proxy {
            certificate: value::path(&key, &self.certificate, base)?,
            address_header: self.address_header,
            name: self.name,
        })
    }
}
