//! `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or not, as curl reads them.

use std::env;

use super::{Origin, Setting};

pub(super) fn setting() -> Option<Setting> {
    setting_of(|name| env::var(name).ok())
}

pub(super) fn exceptions() -> String {
    exceptions_of(|name| env::var(name).ok())
}

fn setting_of(variable: impl Fn(&str) -> Option<String>) -> Option<Setting> {
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let said = |name: &'static str| {
        let value = variable(name).map(|value| value.trim().to_owned());
        value.filter(|value| !value.is_empty()).map(|value| (name, value))
    };
    let (name, address) = names.into_iter().find_map(said)?;
    let exceptions = exceptions_of(variable);
    Some(Setting { origin: Origin::Environment(name), address: Some(address), exceptions, script: None })
}

fn exceptions_of(variable: impl Fn(&str) -> Option<String>) -> String {
    ["NO_PROXY", "no_proxy"].into_iter().find_map(variable).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_says_something_counts() {
        let setting = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            setting_of(value).map(|found| (found.origin, found.address.unwrap_or_default(), found.exceptions))
        };
        assert_eq!(setting(&[("HTTP_PROXY", "http://other:1"), ("HTTPS_PROXY", " ")]), None);
        let found = setting(&[("all_proxy", "all:1"), ("https_proxy", "own:2"), ("no_proxy", "a,b")]);
        assert_eq!(found, Some((Origin::Environment("https_proxy"), "own:2".into(), "a,b".into())));
        let found = setting(&[("ALL_PROXY", "all:1"), ("NO_PROXY", "c"), ("no_proxy", "d")]);
        assert_eq!(found, Some((Origin::Environment("ALL_PROXY"), "all:1".into(), "c".into())));
    }
}
