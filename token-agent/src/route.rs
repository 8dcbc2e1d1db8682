//! The way to the bank's server: its address, who may certify it, and the company's proxy.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    config::{Config, Fixed},
    proxy::{self, Wanted, Way},
    secret::{Secret, SecretError, SecretSource},
    server::{
        ServerError,
        https::{Connection, HttpsApi, PATIENCE, server_address},
        trust::{PemFile, Trust},
    },
};

/// What the configuration presets, the command line says or a person fills in.
#[derive(Default)]
pub(crate) struct Route {
    /// `https://host[:port]`
    pub(crate) server: Option<String>,
    /// PEM of the only authorities that may certify the server; without it, those of the public web.
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM of the company's own authorities, whose proxy looks into TLS. Only an administrator's policy names it.
    pub(crate) company_ca_file: Option<PathBuf>,
    /// `http://host:port`, or `direct`; without it, what the system's settings say.
    pub(crate) proxy: Option<String>,
    /// Hosts that are reached without it; `None` for `NO_PROXY` or the system's list.
    pub(crate) no_proxy: Option<String>,
    pub(crate) proxy_user: Option<String>,
    pub(crate) proxy_password: Option<ProxyPassword>,
    /// The same, once somebody was asked for it.
    pub(crate) asked_password: Mutex<Option<Secret>>,
    /// How long an answer may take; `None` for the usual time.
    pub(crate) patience: Option<Duration>,
    /// What the administrator's policy has fixed.
    pub(crate) fixed: Fixed,
    /// An option that contradicts the policy.
    pub(crate) against_policy: Option<&'static str>,
}

/// The password at the proxy.
pub(crate) enum ProxyPassword {
    File(PathBuf),
    Typed(Secret),
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("no server is named")]
    NoServer,
    #[error("the administrator's policy fixes {0}")]
    Fixed(&'static str),
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
            company_ca_file: config.company_ca_file.clone(),
            proxy: config.proxy.clone(),
            no_proxy: config.no_proxy.clone(),
            proxy_user: config.proxy_user.clone(),
            proxy_password: config.proxy_password_file.clone().map(ProxyPassword::File),
            asked_password: Mutex::default(),
            patience: config.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into())),
            fixed: config.fixed,
            against_policy: None,
        }
    }

    fn asked_password(&self) -> MutexGuard<'_, Option<Secret>> {
        self.asked_password.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proxy didn't take it: whoever tries again is asked again.
    pub(crate) fn forget_asked_password(&self) {
        *self.asked_password() = None;
    }

    /// Asks for the proxy's password where its user is named and nothing holds it; once.
    pub(crate) fn ask_for_password(
        &self,
        ask: impl FnOnce(&str) -> Result<Secret, SecretError>,
    ) -> Result<(), RouteError> {
        let held = self.proxy_password.is_some() || self.asked_password().is_some();
        if let Some(user) = self.proxy_user.as_deref().filter(|_| !held && self.against_policy.is_none()) {
            let password = ask(user)?;
            *self.asked_password() = Some(password);
        }
        Ok(())
    }

    /// A client for this way. Nothing is sent yet.
    pub(crate) fn connect(&self) -> Result<HttpsApi, RouteError> {
        if let Some(option) = self.against_policy {
            return Err(RouteError::Fixed(option));
        }
        let server = server_address(self.server.as_deref().ok_or(RouteError::NoServer)?)?;
        let (bank, company) = (pem(self.ca_file.as_ref())?, pem(self.company_ca_file.as_ref())?);
        let trust = Trust::new(bank.as_ref(), company.as_ref())?;
        let wanted = Wanted { proxy: self.proxy.as_deref(), exceptions: self.no_proxy.as_deref() };
        let mut way = proxy::way_to(&server, wanted)
            .map_err(|proxy::BadAddress(address)| ServerError::Proxy(address))?;
        self.authenticate(&mut way)?;
        let patience = self.patience.unwrap_or(PATIENCE);
        Ok(HttpsApi::new(Connection { server, trust, way, patience })?)
    }

    /// Those that are given come before those of the environment.
    fn authenticate(&self, way: &mut Way) -> Result<(), RouteError> {
        if let (Some(proxy), Some(user)) = (&mut way.proxy, &self.proxy_user) {
            let password = match (&self.proxy_password, self.asked_password().as_ref()) {
                (Some(ProxyPassword::File(path)), _) => SecretSource::File(path.clone()).read()?,
                (Some(ProxyPassword::Typed(password)), _) | (None, Some(password)) => {
                    Secret::new(Zeroizing::new(password.expose().to_owned()))
                }
                (None, None) => return Ok(()),
            };
            proxy.credentials = Some((user.clone(), password));
        }
        Ok(())
    }
}

fn pem(path: Option<&PathBuf>) -> Result<Option<PemFile>, RouteError> {
    let Some(path) = path else { return Ok(None) };
    let unreadable = |source| RouteError::Unreadable { path: path.clone(), source };
    Ok(Some((path.display().to_string(), fs::read(path).map_err(unreadable)?)))
}
