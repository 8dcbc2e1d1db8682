//! Every sentence that a member of staff reads, once per language. A string that is missing in one of them doesn't
//! compile.

mod acts;
mod en;
mod ja;

use ca_core::domain::{
    device::{Assurance, DeviceKind},
    revocation::RevocationReason,
    staff::StaffRole,
    standing::Standing,
    user::Role,
};

pub(super) use self::acts::in_words;
use crate::http::portal::catalogue::Language;

/// Defines the catalogue, so that a test can walk through all of it.
macro_rules! texts {
    ($($text:ident)* ; $($list:ident)*) => {
        /// The sentences of a language.
        pub(crate) struct Catalogue {
            $(pub(super) $text: &'static str,)*
            $(pub(super) $list: &'static [&'static str],)*
        }

        impl Catalogue {
            /// Every sentence with its name.
            #[cfg(test)]
            fn sentences(&self) -> Vec<(&'static str, &'static str)> {
                let texts = [$((stringify!($text), self.$text),)*];
                let lists = [$((stringify!($list), self.$list),)*];
                let lists = lists.into_iter().flat_map(|(name, list)| list.iter().map(move |text| (name, *text)));
                texts.into_iter().chain(lists).collect()
            }
        }
    };
}

texts! {
    tokens token_list token_any token_unknown token_in_stock token_handed_out token_assigned token_in_use
    token_lost token_broken token_replaced token_returned token_retired token_state_title token_state
    token_state_text token_state_final token_contract_hint token_contract_bad token_note token_note_hint
    token_not_possible assigned_to puk_kept yes no unblockings unblocking unblock_number unblock_approve_title
    unblock_approve_text unblock_decline_title unblock_decline_text unblock_not_waiting done_token_state
    done_unblocking_approved done_unblocking_declined
    service skip_to_content language other_language menu you_are_here footer support_id back logout
    list_separator login_title login login_text your_certificate to_login form_expired home customers
    approvals staff health calendar audit staff_id name roles role role_master role_general state when what
    by_whom about particulars reason number none nothing_yet nothing_found registered register ask history
    clerk hsm_operations auditor administrator search search_by search_for search_hint search_malformed
    by_user by_user_name by_contract by_contract_name by_token by_certificate results more register_contract
    contract_number contract_number_hint contract_number_bad contract_name name_hint plan general_users
    general_users_hint general_users_bad policy bank_policy ask_policy ask_policy_text unknown_policy terms ask_plan ask_plan_text same_plan same_policy plan_too_small
    users
    register_user user_id user_id_hint user_id_bad email assigned_token code_out certificates
    no_certificates serial token valid_from valid_until last_logins state_active state_locked
    state_suspended state_removed erased kind_yubikey kind_tpm kind_piv kind_pkcs11 unlock_title unlock unlock_text
    resume_title resume resume_text token_title token_text assign token_kind token_serial token_bad
    letter_title letter_text make_letter reobtain_title reobtain_text reobtain_reason_hint way way_code
    way_token way_token_hint choose_way release_title release release_text password_title password_text
    confirmation_title confirmation_text suspend_title suspend suspend_text remove_title remove remove_text
    remove_sure tick_first acts certificate assurance assurance_asserted assurance_attested
    assurance_attested_pin standing_intended standing_abandoned standing_not_yet_valid standing_unconfirmed standing_active
    standing_expired standing_superseded standing_revoked revoked_at confirmed not_yet evidence verdict
    judged_at decoded orphan signer revoke_title revoke revoke_text revoke_final identity identity_hint
    identity_missing choose_reason reason_unspecified reason_key_compromise reason_affiliation_changed
    reason_superseded reason_cessation reason_privilege_withdrawn request waiting nothing_waits recent
    asked_by decide_until decided_by decided_at ask_reobtain_code ask_reobtain_token ask_admit approval_open
    approval_expired approval_executed approval_refused approval_withdrawn approve_title approve
    approve_text refuse_title refuse refuse_text withdraw_title withdraw admitted admit_title admit_text
    staff_id_hint staff_id_bad certificate_pem certificate_pem_hint certificate_unfit subject fingerprint
    change_member member_active member_withdrawn withdraw_member withdraw_button withdraw_member_text
    unknown_member auditor_alone choose_role key_taken overall as_of all_well not_well well ill components
    part issuer trouble crls this_update next_update entries responders unfinished open_intents orphans
    unjournaled part_serving part_ledger part_schema part_reconciled part_signer part_crl obtaining open_now
    closed_now opens_next always_open hours_text calendar_text calendar_source calendar_by_law calendar_written calendar_taken_up calendar_trouble business_days week_of monday tuesday
    wednesday thursday friday saturday sunday open_day closed_day filter show actor_hint action_hint
    from_day until_day day_bad rows nothing_here older export_csv export_json done_contract done_user
    done_token done_released done_unlocked done_suspended done_resumed done_removed done_revoked done_asked
    done_executed done_refused done_withdrawn done_withdrawn_member letter_once letter_dear
    code_letter_title acquisition_code deadline password_letter_title confirmation_letter_title
    login_password confirmation_password not_done_title not_permitted not_found_title not_found text_empty
    text_too_long text_forbidden email_invalid taken plan_exhausted device_in_use device_refused
    not_a_master try_again takes_two not_revoked first_time asked_already own_request not_yours not_open
    asker_left
    no_certificate_title unknown_title withdrawn_title revoked_title expired_title session_over_title logged_out_title
    not_understood_title unavailable_title
    mail mail_number mail_queued mail_oldest mail_bounced mail_answer mail_state_queued mail_state_delivered
    mail_state_bounced mail_state_withdrawn mail_kind_40 mail_kind_10 mail_kind_today mail_kind_issued
    mail_kind_renewed mail_kind_to_be_revoked mail_kind_not_to_be_revoked mail_kind_revoked mail_kind_locked mail_kind_changed mail_kind_code
    mail_retry_title mail_retry
    mail_retry_text mail_retry_hint mail_gone done_mail
    ;
    code_letter_text code_letter_closing password_letter_text password_letter_closing no_certificate_text
    unknown_text withdrawn_text revoked_text expired_text session_over_text logged_out_text not_understood_text
    unavailable_text
}

impl Catalogue {
    /// A language's sentences.
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::Japanese => &ja::JA,
            Language::English => &en::EN,
        }
    }
}

/// A role of staff in words.
pub(super) fn role(t: &'static Catalogue, role: StaffRole) -> &'static str {
    match role {
        StaffRole::Clerk => t.clerk,
        StaffRole::HsmOperations => t.hsm_operations,
        StaffRole::Auditor => t.auditor,
        StaffRole::Administrator => t.administrator,
    }
}

/// A customer's role in words.
pub(super) fn user_role(t: &'static Catalogue, role: Role) -> &'static str {
    match role {
        Role::Master => t.role_master,
        Role::General => t.role_general,
    }
}

/// A certificate's state in words.
pub(super) fn standing_word(t: &'static Catalogue, standing: Standing) -> &'static str {
    match standing {
        Standing::Intended => t.standing_intended,
        Standing::Abandoned => t.standing_abandoned,
        Standing::NotYetValid => t.standing_not_yet_valid,
        Standing::Unconfirmed => t.standing_unconfirmed,
        Standing::Active => t.standing_active,
        Standing::Expired => t.standing_expired,
        Standing::Superseded { .. } => t.standing_superseded,
        Standing::Revoked { .. } => t.standing_revoked,
    }
}

/// A kind of token in words.
pub(super) fn device_kind(t: &'static Catalogue, kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::YubiKeyPiv => t.kind_yubikey,
        DeviceKind::Tpm => t.kind_tpm,
        DeviceKind::Piv => t.kind_piv,
        DeviceKind::Pkcs11 => t.kind_pkcs11,
    }
}

/// What was proven, in words.
pub(super) fn assurance(t: &'static Catalogue, assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::Asserted => t.assurance_asserted,
        Assurance::Attested => t.assurance_attested,
        Assurance::AttestedWithPin => t.assurance_attested_pin,
    }
}

/// A reason of revocation in words.
pub(super) fn reason(t: &'static Catalogue, reason: RevocationReason) -> &'static str {
    match reason {
        RevocationReason::Unspecified => t.reason_unspecified,
        RevocationReason::KeyCompromise => t.reason_key_compromise,
        RevocationReason::AffiliationChanged => t.reason_affiliation_changed,
        RevocationReason::Superseded => t.reason_superseded,
        RevocationReason::CessationOfOperation => t.reason_cessation,
        RevocationReason::PrivilegeWithdrawn => t.reason_privilege_withdrawn,
    }
}

/// What was just done, by the word in the address.
pub(super) fn done(t: &'static Catalogue, word: &str) -> Option<&'static str> {
    Some(match word {
        "contract" => t.done_contract,
        "user" => t.done_user,
        "token" => t.done_token,
        "released" => t.done_released,
        "unlocked" => t.done_unlocked,
        "suspended" => t.done_suspended,
        "resumed" => t.done_resumed,
        "removed" => t.done_removed,
        "revoked" => t.done_revoked,
        "asked" => t.done_asked,
        "token-state" => t.done_token_state,
        "unblocking-approved" => t.done_unblocking_approved,
        "unblocking-declined" => t.done_unblocking_declined,
        "executed" => t.done_executed,
        "refused" => t.done_refused,
        "withdrawn" => t.done_withdrawn,
        "mail" => t.done_mail,
        "withdrawn-member" => t.done_withdrawn_member,
        _ => return None,
    })
}

/// A part of the node in words; one that is new goes by its name.
pub(super) fn component(t: &'static Catalogue, name: &'static str) -> &'static str {
    match name {
        "serving" => t.part_serving,
        "ledger" => t.part_ledger,
        "schema" => t.part_schema,
        "reconciled" => t.part_reconciled,
        "signer" => t.part_signer,
        "crl" => t.part_crl,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_everything() {
        let (ja, en) = (ja::JA.sentences(), en::EN.sentences());
        assert_eq!(ja.len(), en.len(), "a list is longer in one language");
        for ((name, japanese), (_, english)) in ja.into_iter().zip(en) {
            assert!(!japanese.is_empty(), "{name} is missing in Japanese");
            assert!(!english.is_empty() || name == "letter_dear", "{name} is missing in English");
            let foreign = |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}');
            assert!(!english.chars().any(foreign) || name == "other_language", "{name}: {english}");
        }
    }
}
