//! The company's proxy: the one that was given, else that of the environment, else that of the desktop's or Windows'
//! settings. Nothing is asked of the network here.

mod bypass;
mod environment;
#[cfg(target_os = "linux")]
mod gnome;
#[cfg(any(windows, test))]
mod windows;

use std::fmt;

use reqwest::Url;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Instead of an address: no proxy at all, whatever the system's settings say.
pub(crate) const DIRECT: &str = "direct";

/// Where a proxy, or the wish for none, comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line, `agent.toml`, the administrator's policy or the window.
    Given,
    /// A variable of the environment.
    Environment(&'static str),
    /// The desktop's settings (GNOME's and those that share them).
    #[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "of Linux alone"))]
    Desktop,
    /// Windows' Internet settings.
    #[cfg_attr(not(any(windows, test)), expect(dead_code, reason = "of Windows alone"))]
    Windows,
}

/// A proxy.
pub(crate) struct Proxy {
    /// `http://host:port/`, without user and password.
    pub(crate) address: Url,
    pub(crate) origin: Origin,
    /// User name and password that stood in the environment's address.
    pub(crate) credentials: Option<(String, Secret)>,
}

/// The way to a server.
#[derive(Default)]
pub(crate) struct Way {
    /// `None`: directly.
    pub(crate) proxy: Option<Proxy>,
    /// Whose list of exceptions names the server, where one does.
    pub(crate) excepted: Option<Origin>,
    /// A script that would choose the proxy (PAC). It isn't run: somebody has to say what it would answer.
    pub(crate) script: Option<String>,
}

/// What is known before the server is.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// An address, or [`DIRECT`]; `None` for the system's settings.
    pub(crate) proxy: Option<&'a str>,
    /// Hosts that are reached directly; `None` for `NO_PROXY` or the system's own list.
    pub(crate) exceptions: Option<&'a str>,
}

/// A text that is no proxy's address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a proxy's address")]
pub(crate) struct BadAddress(pub(crate) String);

/// What one place says.
struct Setting {
    origin: Origin,
    address: Option<String>,
    exceptions: String,
    script: Option<String>,
}

/// The way to `server`.
///
/// # Errors
/// When the address that counts isn't one of an HTTP proxy, or holds a password where others could read it.
pub(crate) fn way_to(server: &Url, wanted: Wanted<'_>) -> Result<Way, BadAddress> {
    let setting = match wanted.proxy {
        Some(DIRECT) => return Ok(Way::default()),
        Some(address) => Setting {
            origin: Origin::Given,
            address: Some(address.to_owned()),
            exceptions: environment::exceptions(),
            script: None,
        },
        None => match environment::setting().or_else(of_system) {
            Some(setting) => setting,
            None => return Ok(Way::default()),
        },
    };
    resolve(server, setting, wanted.exceptions)
}

#[cfg(target_os = "linux")]
fn of_system() -> Option<Setting> {
    gnome::setting()
}

#[cfg(windows)]
fn of_system() -> Option<Setting> {
    windows::setting()
}

#[cfg(not(any(target_os = "linux", windows)))]
fn of_system() -> Option<Setting> {
    None
}

fn resolve(server: &Url, setting: Setting, exceptions: Option<&str>) -> Result<Way, BadAddress> {
    let Some(address) = setting.address else {
        return Ok(Way { script: setting.script, ..Way::default() });
    };
    let host = server.host_str().unwrap_or_default();
    let port = server.port_or_known_default().unwrap_or(443);
    if bypass::covers(exceptions.unwrap_or(&setting.exceptions), host, port) {
        return Ok(Way { excepted: Some(setting.origin), ..Way::default() });
    }
    Ok(Way { proxy: Some(parse(&address, setting.origin)?), ..Way::default() })
}

/// An address without a scheme is one of an HTTP proxy, as other programs take it. A password may stand in one of the
/// environment alone: an argument can be read by others, and a configuration has a key for a file.
fn parse(address: &str, origin: Origin) -> Result<Proxy, BadAddress> {
    let wrong = || BadAddress(without_password(address));
    let text = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let mut url = Url::parse(&text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong());
    }
    let inherited = matches!(origin, Origin::Environment(_));
    let credentials = match url.password() {
        None => None,
        Some(_) if !inherited => return Err(wrong()),
        Some(password) => Some((decoded(url.username()), Secret::new(Zeroizing::new(decoded(password))))),
    };
    let cleared = url.set_password(None).and_then(|()| url.set_username(""));
    cleared.map_err(|()| wrong())?;
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    Ok(Proxy { address: url, origin, credentials })
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What may be shown of an address that can't be used.
fn without_password(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://…@{host}"),
            None => format!("…@{host}"),
        },
        None => address.to_owned(),
    }
}

impl Proxy {
    pub(crate) fn host(&self) -> &str {
        self.address.host_str().unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port_or_known_default().unwrap_or(80)
    }
}

/// `host:port`
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Url {
        Url::parse("https://www.bank.example").expect("an address")
    }

    fn setting(address: &str, exceptions: &str) -> Setting {
        Setting {
            origin: Origin::Desktop,
            address: Some(address.to_owned()),
            exceptions: exceptions.to_owned(),
            script: None,
        }
    }

    #[test]
    fn addresses_are_taken_as_other_programs_take_them() {
        for (text, shown) in [
            ("http://proxy.example:3128", "proxy.example:3128"),
            ("proxy.example:8080", "proxy.example:8080"),
            ("http://proxy.example/", "proxy.example:80"),
            ("https://proxy.example", "proxy.example:443"),
            ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128"),
        ] {
            assert_eq!(parse(text, Origin::Given).expect("a proxy").to_string(), shown, "{text}");
        }
        for bad in ["socks5://proxy.example", "http://", "http://u:p@proxy.example", "ftp://x"] {
            let error = parse(bad, Origin::Given).err().expect(bad).to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn a_password_stands_in_the_environment_s_address_alone() {
        let proxy = parse("http://office:p%40ss@proxy:3128", Origin::Environment("HTTPS_PROXY"));
        let proxy = proxy.expect("a proxy");
        let (user, password) = proxy.credentials.as_ref().expect("credentials");
        assert_eq!((user.as_str(), password.expose()), ("office", "p@ss"));
        assert_eq!(proxy.address.as_str(), "http://proxy:3128/");
        for origin in [Origin::Given, Origin::Desktop, Origin::Windows] {
            assert!(parse("http://office:pass@proxy:3128", origin).is_err());
        }
    }

    #[test]
    fn exceptions_lead_past_the_proxy_and_given_ones_come_first() {
        let way = |exceptions: &str, given: Option<&str>| {
            resolve(&server(), setting("http://proxy:3128", exceptions), given).expect("a way")
        };
        assert!(way("", None).proxy.is_some());
        let direct = way(".bank.example", None);
        assert!(direct.proxy.is_none() && direct.excepted == Some(Origin::Desktop));
        assert!(way(".bank.example", Some("")).proxy.is_some());
        assert!(way("", Some("www.bank.example")).proxy.is_none());
        let direct = way_to(&server(), Wanted { proxy: Some(DIRECT), exceptions: None }).expect("a way");
        assert!(direct.proxy.is_none() && direct.excepted.is_none());
    }

    #[test]
    fn a_script_is_told_not_run() {
        let setting = Setting {
            origin: Origin::Windows,
            address: None,
            exceptions: String::new(),
            script: Some("http://wpad.example/proxy.pac".into()),
        };
        let way = resolve(&server(), setting, None).expect("a way");
        assert!(way.proxy.is_none());
        assert_eq!(way.script.as_deref(), Some("http://wpad.example/proxy.pac"));
    }
}
