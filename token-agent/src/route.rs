//! The way to the bank's server: its address, who may certify it, and the company's proxy.

use std::{fs, io, path::PathBuf};

use crate::{
    config::Config,
    secret::{Secret, SecretError, SecretSource},
    server::{
        ServerError,
        https::{Connection, HttpsApi},
    },
};

/// What the configuration presets, the command line says or a person fills in.
#[derive(Default)]
pub(crate) struct Route {
    /// `https://host[:port]`
    pub(crate) server: Option<String>,
    /// PEM of the only authorities that may certify the server; without it, the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// `http://host:port`; without it, what `HTTPS_PROXY` says.
    pub(crate) proxy: Option<String>,
    pub(crate) proxy_user: Option<String>,
    pub(crate) proxy_password: Option<ProxyPassword>,
}

/// The password at the proxy.
pub(crate) enum ProxyPassword {
    File(PathBuf),
    #[cfg_attr(not(feature = "window"), expect(dead_code, reason = "only a window asks for it"))]
    Typed(Secret),
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("no server is named")]
    NoServer,
    #[error("{} can't be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl Route {
    pub(crate) fn of_config(config: &Config) -> Self {
        Self {
            server: config.server.clone(),
            ca_file: config.ca_file.clone(),
            proxy: config.proxy.clone(),
            proxy_user: config.proxy_user.clone(),
            proxy_password: config.proxy_password_file.clone().map(ProxyPassword::File),
        }
    }

    /// A client for this way. Nothing is sent yet.
    pub(crate) fn connect(&self) -> Result<HttpsApi, RouteError> {
        let server = self.server.as_deref().ok_or(RouteError::NoServer)?;
        let authorities = self.ca_file.as_ref().map(|path| {
            let read = fs::read(path).map_err(|source| RouteError::Unreadable { path: path.clone(), source });
            read.map(|pem| (path.display().to_string(), pem))
        });
        let authorities = authorities.transpose()?;
        let read = match &self.proxy_password {
            Some(ProxyPassword::File(path)) => Some(SecretSource::File(path.clone()).read()?),
            _ => None,
        };
        let password = match &self.proxy_password {
            Some(ProxyPassword::Typed(password)) => Some(password),
            _ => read.as_ref(),
        };
        Ok(HttpsApi::new(&Connection {
            server,
            authorities: authorities.as_ref().map(|(path, pem)| (path.as_str(), pem.as_slice())),
            proxy: self.proxy.as_deref(),
            proxy_credentials: self.proxy_user.as_deref().zip(password),
        })?)
    }
}
