//! Every sentence that people read, in Japanese and English. A failure says what happened and what to do next.

#[cfg(target_os = "linux")]
mod browser;
mod certificate;
mod doctor;
mod done;
mod failure;
mod label;
mod renewal;
mod step;
mod told;
mod unblocked;
#[cfg(feature = "window")]
pub(crate) mod window;

#[cfg(target_os = "linux")]
pub(crate) use browser::{change, explain_browser, good, trouble};
pub(crate) use certificate::{as_text, rows, table};
pub(crate) use doctor::{diagnosis, finding, summary};
pub(crate) use done::erased;
pub(crate) use failure::explain_server;
pub(crate) use failure::{
    Explanation, approver, explain, explain_lost, explain_token, explain_tpm, pin_length,
};
pub(crate) use label::Label;
pub(crate) use renewal::{candidate_state, candidate_title, fate, renewed};
pub(crate) use step::{question, step};
pub(crate) use told::{Told, told};
pub(crate) use unblocked::unblocked;

/// The language of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Lang {
    /// 日本語
    Ja,
    /// English
    En,
}

impl Lang {
    /// From `LC_ALL`, `LC_MESSAGES` or `LANG`, the first that is set: Japanese for `ja…`, else English.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale =
            ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|l| !l.is_empty());
        Self::of_locale(locale.as_deref())
    }

    /// The language of whoever is logged in; Windows keeps it outside the environment.
    pub(crate) fn of_system() -> Self {
        if cfg!(windows) {
            return Self::of_locale(sys_locale::get_locale().as_deref());
        }
        Self::of_environment(|name| std::env::var(name).ok())
    }

    fn of_locale(locale: Option<&str>) -> Self {
        if locale.is_some_and(|locale| locale.starts_with("ja")) { Self::Ja } else { Self::En }
    }
}

/// `say!(lang, "English {x}", "日本語 {x}")`: the sentence in the language, as a `String`.
macro_rules! say {
    ($lang:expr, $english:literal, $japanese:literal $(,)?) => {
        match $lang {
            $crate::messages::Lang::En => format!($english),
            $crate::messages::Lang::Ja => format!($japanese),
        }
    };
}
pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_locale_s() {
        let lang = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Lang::of_environment(move |name| {
                set.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(lang(&[("LANG", "ja_JP.UTF-8")]), Lang::Ja);
        assert_eq!(lang(&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(lang(&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "")]), Lang::Ja);
        assert_eq!(lang(&[]), Lang::En);
    }
}
