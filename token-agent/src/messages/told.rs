//! A sentence in both languages, where it is made before anybody knows who will read it.

use super::Lang;

/// The sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// In English.
    pub(crate) english: String,
    /// 日本語.
    pub(crate) japanese: String,
}

impl Told {
    /// In one of them.
    pub(crate) fn in_lang(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.english,
            Lang::Ja => &self.japanese,
        }
    }
}

/// `told!("English {x}", "日本語 {x}")`.
macro_rules! told {
    ($english:literal, $japanese:literal $(,)?) => {
        $crate::messages::Told { english: format!($english), japanese: format!($japanese) }
    };
}
pub(crate) use told;
