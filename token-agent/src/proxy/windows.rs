//! Windows' Internet settings (`WinINET`'s), which Edge and Chrome use as well. They lie in the registry: the user's own,
//! or, where an administrator has decided so, the computer's.

use super::{Origin, Setting};

#[cfg(windows)]
pub(super) fn setting() -> Option<Setting> {
    use windows_registry::{CURRENT_USER, LOCAL_MACHINE};

    const SETTINGS: &str = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings";
    const POLICY: &str = r"Software\Policies\Microsoft\Windows\CurrentVersion\Internet Settings";

    let policy = LOCAL_MACHINE.open(POLICY);
    let per_user = policy.and_then(|key| key.get_u32("ProxySettingsPerUser")).unwrap_or(1) != 0;
    let root = if per_user { CURRENT_USER } else { LOCAL_MACHINE };
    let key = root.open(SETTINGS).ok()?;
    let text = |name| key.get_string(name).unwrap_or_default();
    read(
        key.get_u32("ProxyEnable").unwrap_or(0) != 0,
        &text("ProxyServer"),
        &text("ProxyOverride"),
        &text("AutoConfigURL"),
    )
}

/// `ProxyServer` is one address for all protocols, or `http=host:port;https=host:port;…`.
fn read(enabled: bool, server: &str, exceptions: &str, script: &str) -> Option<Setting> {
    let setting = |address, script| Setting {
        origin: Origin::Windows,
        address,
        exceptions: exceptions.to_owned(),
        script,
    };
    let entries = || server.split(';').map(str::trim).filter(|entry| !entry.is_empty());
    let own = entries().find_map(|entry| entry.strip_prefix("https="));
    let address = own.or_else(|| entries().find(|entry| !entry.contains('=')));
    match address.filter(|_| enabled) {
        Some(address) => Some(setting(Some(address.to_owned()), None)),
        None if !script.trim().is_empty() => Some(setting(None, Some(script.trim().to_owned()))),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_s_forms_are_read() {
        let address = |server: &str| read(true, server, "", "").and_then(|setting| setting.address);
        assert_eq!(address("proxy.example:8080").as_deref(), Some("proxy.example:8080"));
        assert_eq!(address("http=a:1;https=b:2;ftp=c:3").as_deref(), Some("b:2"));
        assert_eq!(address("https=http://b:2").as_deref(), Some("http://b:2"));
        assert_eq!(address("http=a:1;socks=c:3"), None);
        assert!(read(false, "proxy.example:8080", "", "").is_none());
        let setting = read(false, "proxy:1", "<local>", "http://wpad/p.pac").expect("a setting");
        assert_eq!((setting.address, setting.script.as_deref()), (None, Some("http://wpad/p.pac")));
        let setting =
            read(true, "proxy:1", "*.corp.example;<local>", "http://wpad/p.pac").expect("a setting");
        assert_eq!(setting.exceptions, "*.corp.example;<local>");
        assert!(setting.script.is_none());
    }
}
