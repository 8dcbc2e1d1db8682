//! The desktop's settings on Linux: `org.gnome.system.proxy`, which GNOME, Cinnamon, MATE, Budgie and others share. They
//! are asked of `gsettings`, where a desktop is running; an unattended machine has its environment.

use std::{env, process::Command, time::Duration};

use super::{Origin, Setting};
use crate::program;

const SCHEMA: &str = "org.gnome.system.proxy";
/// A desktop that doesn't answer is as good as none.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn setting() -> Option<Setting> {
    let desktop = ["XDG_CURRENT_DESKTOP", "WAYLAND_DISPLAY", "DISPLAY"];
    desktop.into_iter().find(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))?;
    let mut gsettings = Command::new("gsettings");
    let asked = program::run(gsettings.args(["list-recursively", SCHEMA]), PATIENCE);
    // A desktop without these settings has no such program or no such schema.
    let done = asked.ok().filter(|done| done.status.success())?;
    read(&done.stdout)
}

/// Lines such as `org.gnome.system.proxy.https host 'proxy.example'`.
fn read(list: &str) -> Option<Setting> {
    let value = |schema: &str, key: &str| {
        list.lines().find_map(|line| {
            let (named, rest) = line.split_once(' ')?;
            let (name, value) = rest.split_once(' ')?;
            (named == schema && name == key).then(|| value.trim().to_owned())
        })
    };
    let text = |schema: &str, key: &str| value(schema, key).map(|value| unquoted(&value)).unwrap_or_default();
    let setting =
        |address, exceptions, script| Setting { origin: Origin::Desktop, address, exceptions, script };
    match text(SCHEMA, "mode").as_str() {
        "manual" => {
            let of = |kind: &str| {
                let schema = format!("{SCHEMA}.{kind}");
                let host = text(&schema, "host");
                let port: u16 = value(&schema, "port").and_then(|port| port.parse().ok()).unwrap_or(0);
                (!host.is_empty() && port > 0).then(|| format!("http://{host}:{port}"))
            };
            // Desktops that have one field for all protocols fill in the first.
            let same = value(SCHEMA, "use-same-proxy").is_some_and(|same| same == "true");
            let address = of("https").or_else(|| of("http").filter(|_| same))?;
            let exceptions = value(SCHEMA, "ignore-hosts").unwrap_or_default();
            Some(setting(Some(address), entries(&exceptions), None))
        }
        "auto" => {
            let script = text(SCHEMA, "autoconfig-url");
            let found = if script.is_empty() { "WPAD".to_owned() } else { script };
            Some(setting(None, String::new(), Some(found)))
        }
        _ => None,
    }
}

/// A string of `GVariant`'s text format, which quotes with ' or, around one of those, with ".
fn unquoted(text: &str) -> String {
    let inner = ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    inner.unwrap_or(text).to_owned()
}

/// An array of strings, as a list with commas.
fn entries(array: &str) -> String {
    let inner = array.trim_start_matches("@as").trim().trim_start_matches('[').trim_end_matches(']');
    let entries: Vec<String> = inner.split(',').map(|entry| unquoted(entry.trim())).collect();
    entries.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "org.gnome.system.proxy autoconfig-url ''
org.gnome.system.proxy ignore-hosts ['localhost', '127.0.0.0/8', '*.corp.example']
org.gnome.system.proxy mode 'manual'
org.gnome.system.proxy use-same-proxy true
org.gnome.system.proxy.http host 'web.example'
org.gnome.system.proxy.http port 8080
org.gnome.system.proxy.https host 'proxy.example'
org.gnome.system.proxy.https port 3128
";

    #[test]
    fn the_proxy_for_https_is_found_with_its_exceptions() {
        let setting = read(LIST).expect("a setting");
        assert_eq!(setting.address.as_deref(), Some("http://proxy.example:3128"));
        assert_eq!(setting.exceptions, "localhost,127.0.0.0/8,*.corp.example");
        let same = LIST.replace("proxy.https port 3128", "proxy.https port 0");
        let setting = read(&same).expect("a setting");
        assert_eq!(setting.address.as_deref(), Some("http://web.example:8080"));
    }

    #[test]
    fn other_modes_say_none_or_a_script() {
        assert!(read(&LIST.replace("'manual'", "'none'")).is_none());
        assert!(read("No such schema").is_none());
        let auto = LIST.replace("'manual'", "'auto'");
        assert_eq!(read(&auto).expect("a setting").script.as_deref(), Some("WPAD"));
        let auto = auto.replace("autoconfig-url ''", "autoconfig-url 'http://wpad/p.pac'");
        let setting = read(&auto).expect("a setting");
        assert_eq!((setting.address, setting.script.as_deref()), (None, Some("http://wpad/p.pac")));
        assert_eq!(entries("@as []"), "");
    }
}
