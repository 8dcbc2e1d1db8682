//! The bank's service, the way to it, and where is recorded what is under way with it.

use std::path::PathBuf;

use clap::Args;

use crate::{
    certificate::printable,
    cli::exit::CliError,
    config::Config,
    messages::{Lang, say},
    paths,
    route::{ProxyPassword, Route, RouteError},
    secret::terminal,
    server::https::HttpsApi,
};

/// The bank's service, and the way to it.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServiceArgs {
    /// The bank's enrolment service; otherwise that of the configuration
    #[arg(long, value_name = "https://HOST[:PORT]")]
    server: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
struct ConnectionArgs {
    /// PEM file of the only authorities that may certify the server; otherwise those of the public web
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The company's proxy, or none; otherwise what `HTTPS_PROXY` or the system's settings say
    #[arg(long, value_name = "http://HOST:PORT|direct")]
    proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas; otherwise `NO_PROXY` or the system's list
    #[arg(long, value_name = "HOSTS")]
    no_proxy: Option<String>,
    /// User name at the proxy; not the login ID. Its password is asked for, unless a file holds it
    #[arg(long, value_name = "NAME")]
    proxy_user: Option<String>,
    /// File with the password at the proxy; not the login password
    #[arg(long, value_name = "FILE")]
    proxy_password_file: Option<PathBuf>,
}

/// Where this computer remembers.
#[derive(Debug, Args)]
pub(in crate::cli) struct StateArgs {
    /// Where is recorded what is under way, and what the bank has to be told; otherwise the user's own folder
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
}

impl ServiceArgs {
    /// What these options say, and the configuration where they say nothing.
    pub(in crate::cli) fn route(&self, config: &Config) -> Route {
        let preset = Route::of_config(config);
        let options = &self.connection;
        let password = options.proxy_password_file.clone().map(ProxyPassword::File);
        Route {
            against_policy: self.against_policy(config),
            server: self.server.clone().or(preset.server),
            ca_file: options.ca_file.clone().or(preset.ca_file),
            proxy: options.proxy.clone().or(preset.proxy),
            no_proxy: options.no_proxy.clone().or(preset.no_proxy),
            proxy_user: options.proxy_user.clone().or(preset.proxy_user),
            proxy_password: password.or(preset.proxy_password),
            patience: preset.patience,
            ..preset
        }
    }

    fn against_policy(&self, config: &Config) -> Option<&'static str> {
        let (fixed, options) = (config.fixed, &self.connection);
        let differs = |given: Option<&String>, own: Option<&String>| given.is_some_and(|_| given != own);
        if fixed.server && differs(self.server.as_ref(), config.server.as_ref()) {
            Some("--server")
        } else if fixed.ca_file && options.ca_file.is_some() && options.ca_file != config.ca_file {
            Some("--ca-file")
        } else if fixed.proxy && differs(options.proxy.as_ref(), config.proxy.as_ref()) {
            Some("--proxy")
        } else if fixed.proxy && options.no_proxy.is_some() {
            Some("--no-proxy")
        } else {
            None
        }
    }

    /// A client for the server.
    pub(in crate::cli) fn connect(&self, config: &Config, lang: Lang) -> Result<HttpsApi, CliError> {
        Ok(self.route_with_password(config, lang)?.connect()?)
    }

    /// [`Self::route`]. The proxy's password is asked for where its user is named and no file holds it.
    pub(in crate::cli) fn route_with_password(
        &self,
        config: &Config,
        lang: Lang,
    ) -> Result<Route, RouteError> {
        let route = self.route(config);
        route.ask_for_password(|user| {
            let user = printable(user);
            terminal::ask_secret(&say!(
                lang,
                "Password of {user} at the company's proxy (not the login password): ",
                "社内プロキシのユーザ {user} のパスワード(ログインパスワードではありません): "
            ))
        })?;
        Ok(route)
    }
}

impl StateArgs {
    /// The folder: what was given, what is configured, the user's own.
    pub(in crate::cli) fn folder(&self, config: &Config) -> Result<PathBuf, CliError> {
        let given = self.state_dir.clone().or_else(|| config.state_dir.clone());
        given.or_else(paths::state_directory).ok_or(CliError::NoStateDirectory)
    }
}
