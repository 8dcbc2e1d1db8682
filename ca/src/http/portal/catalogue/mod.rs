//! Every sentence that a person reads on the pages, once per language. A string that is missing in one of them
//! doesn't compile.

mod en;
mod ja;

use jiff::{Timestamp, tz::TimeZone};

pub(crate) use en::EN;
pub(crate) use ja::JA;

/// The language of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// 日本語
    #[default]
    Japanese,
    /// English
    English,
}

impl Language {
    /// Reads the language tag of the switch and its cookie.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        match tag {
            "ja" => Some(Self::Japanese),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// The language's sentences.
    pub(crate) fn catalogue(self) -> &'static Catalogue {
        match self {
            Self::Japanese => &JA,
            Self::English => &EN,
        }
    }
}

/// Defines a part of the catalogue, so that a test can walk through all of it.
macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($text:ident,)* } lists { $($list:ident,)* } $(parts { $($part:ident: $kind:ty,)* })?) => {
        $(#[$doc])*
        pub(crate) struct $name {
            $(pub(crate) $text: &'static str,)*
            $(pub(crate) $list: &'static [&'static str],)*
            $($(pub(crate) $part: $kind,)*)?
        }

        impl $name {
            /// Every sentence with the name of its place.
            #[cfg(test)]
            pub(crate) fn sentences(&self) -> Vec<(String, &'static str)> {
                let texts: Vec<(&str, &'static str)> = vec![$((stringify!($text), self.$text)),*];
                let lists: Vec<(&str, &'static [&'static str])> = vec![$((stringify!($list), self.$list)),*];
                let parts: Vec<(&'static str, Vec<(String, &'static str)>)> =
                    vec![$($((stringify!($part), self.$part.sentences())),*)?];
                let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), text));
                let of_list = |(name, list): (&str, &'static [&'static str])| {
                    let name = name.to_owned();
                    list.iter().enumerate().map(move |(n, text)| (format!("{name}[{n}]"), *text))
                };
                let of_part = |(part, sentences): (&'static str, Vec<(String, &'static str)>)| {
                    sentences.into_iter().map(move |(name, text)| (format!("{part}.{name}"), text))
                };
                texts.chain(lists.into_iter().flat_map(of_list)).chain(parts.into_iter().flat_map(of_part)).collect()
            }
        }
    };
}

mod sections;

texts! {
    /// The sentences of a language. `{}` stands for a value.
    Catalogue {
        lang,
        other_lang,
        other_language,
        time_format,
        service,
        skip_to_content,
        language,
        menu,
        you_are_here,
        mail_warning,
        support_id,
        back,
        top_title,
        certificate_login,
        certificate_login_text,
        obtain,
        obtain_text,
        obtain_step_install,
        obtain_step_connect,
        obtain_step_run,
        hours_bank,
        hours_always,
        download_agent,
        user_id,
        user_id_from_certificate,
        login_password,
        login,
        logout,
        login_failed,
        form_expired,
        home,
        your_certificate,
        role,
        role_master,
        role_general,
        contract_number,
        subject,
        issuer,
        serial,
        valid_from,
        valid_until,
        days_left,
        device,
        device_kind,
        device_yubikey_piv,
        device_tpm,
        device_piv,
        device_pkcs11,
        device_serial,
        assurance,
        assurance_asserted,
        assurance_attested,
        assurance_attested_pin,
        last_logins,
        no_logins,
        when,
        with_certificate,
        unknown_login,
        manage,
        manage_users,
        revoke_certificates,
        revoke_certificates_text,
        revoke_select_text,
        no_general_users,
        choose,
        name,
        certificate_state,
        state_none,
        state_valid,
        state_expired,
        state_revoked,
        state_being_issued,
        state_unconfirmed,
        revoke,
        choose_someone,
        choose_from_list,
        revoke_confirm_title,
        revoke_confirm_text,
        revoke_final,
        reason,
        reason_unspecified,
        reason_key_compromise,
        reason_affiliation_changed,
        reason_cessation,
        confirmation_password,
        confirmation_wrong,
        execute,
        revoke_result_title,
        revoke_result_text,
        result,
        particulars,
        result_ok,
        result_failed,
        revoked_at,
        revoked_at_branch,
        has_no_certificate,
        still_stands,
        not_yours,
        no_certificate_title,
        expired_title,
        revoked_title,
        superseded_title,
        unusable_title,
        suspended_title,
        session_ended_title,
        logged_out_title,
        not_permitted_title,
        not_found_title,
        not_understood_title,
        too_often_title,
        unavailable_title,
        to_login,
        to_top,
        to_home,
    }
    lists {
        no_certificate_text,
        expired_text,
        revoked_text,
        superseded_text,
        unusable_text,
        suspended_text,
        session_ended_text,
        logged_out_text,
        not_permitted_text,
        not_found_text,
        not_understood_text,
        too_often_text,
        unavailable_text,
    }
    parts {
        public: sections::Public,
        help: sections::Help,
        own: sections::Own,
        email: sections::Email,
        renewal: sections::Renewal,
        users: sections::Users,
    }
}

impl Catalogue {
    /// A moment in Japan time, to the minute.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        // Japan has had no summer time since 1951, so a fixed offset says the same without a time zone database.
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        at.to_zoned(zone).strftime(self.time_format).to_string()
    }

    /// Puts a value in the place of `{}`.
    pub(crate) fn fill(sentence: &str, value: &str) -> String {
        sentence.replacen("{}", value, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_japan_time_in_either_language() {
        let at = "2027-11-22T14:59:59Z".parse().expect("a time");
        assert_eq!(JA.time(at), "2027年11月22日 23:59");
        assert_eq!(EN.time(at), "22 November 2027, 23:59 (Japan time)");
    }

    /// "all strings in one catalogue per language, none missing": what is missing doesn't compile; here, that nothing is
    /// empty, left in the other language, or lacks a value's place.
    #[test]
    fn both_languages_say_everything() {
        let (ja, en) = (JA.sentences(), EN.sentences());
        assert!(ja.len() > 200, "{}", ja.len());
        let japanese = |text: &str| {
            text.chars()
                .any(|c| ('\u{3040}'..='\u{30ff}').contains(&c) || ('\u{4e00}'..='\u{9fff}').contains(&c))
        };
        // Tags, formats, names of languages and things.
        let technical =
            ["lang", "other_lang", "other_language", "time_format", "own.welcome", "device_yubikey_piv"];
        for ((name, ja), (other, en)) in ja.iter().zip(&en) {
            assert_eq!(name, other, "a list is longer in one language");
            assert!(!ja.trim().is_empty() && !en.trim().is_empty(), "{name} is empty");
            assert_eq!(ja.matches("{}").count(), en.matches("{}").count(), "{name}: places for values");
            if !technical.contains(&&**name) {
                assert!(!japanese(en), "{name} has Japanese in English: {en}");
                assert!(japanese(ja) || ja.is_ascii(), "{name} isn't Japanese: {ja}");
                assert_ne!(ja, en, "{name} isn't translated");
            }
        }
        assert_eq!(ja.len(), en.len());
    }
}
