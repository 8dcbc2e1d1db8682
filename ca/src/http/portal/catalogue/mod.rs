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

/// The sentences of a language. `{}` stands for a value.
pub(crate) struct Catalogue {
    pub(crate) lang: &'static str,
    pub(crate) other_lang: &'static str,
    pub(crate) other_language: &'static str,
    pub(crate) time_format: &'static str,

    pub(crate) service: &'static str,
    pub(crate) skip_to_content: &'static str,
    pub(crate) language: &'static str,
    pub(crate) menu: &'static str,
    pub(crate) you_are_here: &'static str,
    pub(crate) mail_warning: &'static str,
    pub(crate) support_id: &'static str,
    pub(crate) back: &'static str,

    pub(crate) top_title: &'static str,
    pub(crate) certificate_login: &'static str,
    pub(crate) certificate_login_text: &'static str,
    pub(crate) obtain: &'static str,
    pub(crate) obtain_text: &'static str,
    pub(crate) obtain_step_install: &'static str,
    pub(crate) obtain_step_connect: &'static str,
    pub(crate) obtain_step_run: &'static str,
    pub(crate) hours_bank: &'static str,
    pub(crate) hours_always: &'static str,
    pub(crate) download_agent: &'static str,
    pub(crate) download_elsewhere: &'static str,

    pub(crate) user_id: &'static str,
    pub(crate) user_id_from_certificate: &'static str,
    pub(crate) login_password: &'static str,
    pub(crate) login: &'static str,
    pub(crate) logout: &'static str,
    pub(crate) login_failed: &'static str,
    pub(crate) form_expired: &'static str,

    pub(crate) home: &'static str,
    pub(crate) your_certificate: &'static str,
    pub(crate) role: &'static str,
    pub(crate) role_master: &'static str,
    pub(crate) role_general: &'static str,
    pub(crate) contract_number: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) issuer: &'static str,
    pub(crate) serial: &'static str,
    pub(crate) valid_from: &'static str,
    pub(crate) valid_until: &'static str,
    pub(crate) days_left: &'static str,
    pub(crate) device: &'static str,
    pub(crate) device_kind: &'static str,
    pub(crate) device_yubikey_piv: &'static str,
    pub(crate) device_tpm: &'static str,
    pub(crate) device_piv: &'static str,
    pub(crate) device_pkcs11: &'static str,
    pub(crate) device_serial: &'static str,
    pub(crate) assurance: &'static str,
    pub(crate) assurance_asserted: &'static str,
    pub(crate) assurance_attested: &'static str,
    pub(crate) assurance_attested_pin: &'static str,
    pub(crate) last_logins: &'static str,
    pub(crate) no_logins: &'static str,
    pub(crate) when: &'static str,
    pub(crate) with_certificate: &'static str,
    pub(crate) unknown_login: &'static str,

    pub(crate) manage: &'static str,
    pub(crate) manage_users: &'static str,
    pub(crate) revoke_certificates: &'static str,
    pub(crate) revoke_certificates_text: &'static str,
    pub(crate) revoke_select_text: &'static str,
    pub(crate) no_general_users: &'static str,
    pub(crate) choose: &'static str,
    pub(crate) name: &'static str,
    pub(crate) certificate_state: &'static str,
    pub(crate) state_none: &'static str,
    pub(crate) state_valid: &'static str,
    pub(crate) state_expired: &'static str,
    pub(crate) state_revoked: &'static str,
    pub(crate) state_being_issued: &'static str,
    pub(crate) revoke: &'static str,
    pub(crate) choose_someone: &'static str,
    pub(crate) revoke_confirm_title: &'static str,
    pub(crate) revoke_confirm_text: &'static str,
    pub(crate) revoke_final: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) reason_unspecified: &'static str,
    pub(crate) reason_key_compromise: &'static str,
    pub(crate) reason_affiliation_changed: &'static str,
    pub(crate) reason_cessation: &'static str,
    pub(crate) confirmation_password: &'static str,
    pub(crate) confirmation_wrong: &'static str,
    pub(crate) execute: &'static str,
    pub(crate) revoke_result_title: &'static str,
    pub(crate) revoke_result_text: &'static str,
    pub(crate) result: &'static str,
    pub(crate) particulars: &'static str,
    pub(crate) result_ok: &'static str,
    pub(crate) result_failed: &'static str,
    pub(crate) revoked_at: &'static str,
    pub(crate) revoked_at_branch: &'static str,
    pub(crate) has_no_certificate: &'static str,
    pub(crate) not_yours: &'static str,

    pub(crate) no_certificate_title: &'static str,
    pub(crate) no_certificate_text: &'static [&'static str],
    pub(crate) expired_title: &'static str,
    pub(crate) expired_text: &'static [&'static str],
    pub(crate) revoked_title: &'static str,
    pub(crate) revoked_text: &'static [&'static str],
    pub(crate) unusable_title: &'static str,
    pub(crate) unusable_text: &'static [&'static str],
    pub(crate) suspended_title: &'static str,
    pub(crate) suspended_text: &'static [&'static str],
    pub(crate) session_ended_title: &'static str,
    pub(crate) session_ended_text: &'static [&'static str],
    pub(crate) logged_out_title: &'static str,
    pub(crate) logged_out_text: &'static [&'static str],
    pub(crate) not_permitted_title: &'static str,
    pub(crate) not_permitted_text: &'static [&'static str],
    pub(crate) not_found_title: &'static str,
    pub(crate) not_found_text: &'static [&'static str],
    pub(crate) not_understood_title: &'static str,
    pub(crate) not_understood_text: &'static [&'static str],
    pub(crate) unavailable_title: &'static str,
    pub(crate) unavailable_text: &'static [&'static str],
    pub(crate) to_login: &'static str,
    pub(crate) to_top: &'static str,
    pub(crate) to_home: &'static str,
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

    #[test]
    fn both_languages_have_the_same_places_for_values() {
        for (ja, en) in [(JA.days_left, EN.days_left), (JA.revoked_at, EN.revoked_at)] {
            assert_eq!((ja.matches("{}").count(), en.matches("{}").count()), (1, 1), "{ja} / {en}");
        }
    }
}
