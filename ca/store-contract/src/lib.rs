//! The contract of the store ports as tests, for the model in memory and for every engine alike.
//!
//! [`contract!`] makes a module with a test for each case. A case gets a store of its own with an empty ledger.
#![expect(
    clippy::missing_panics_doc,
    reason = "every function here is part of a test: it panics where the test fails"
)]

pub mod rate;
pub mod samples;
#[expect(missing_docs, reason = "a case's name says what it holds a store to")]
pub mod suite {
    pub mod books;
    pub mod census;
    pub mod certificates;
    pub mod custody;
    pub mod customers;
    pub mod enrolments;
    pub mod login;
    pub mod mail;
    pub mod parallel;
    pub mod policies;
    pub mod renewals;
    pub mod responders;
    pub mod retention;
    pub mod revocations;
    pub mod signers;
    pub mod staff;
    pub mod tokens;
    pub mod trust;
}

/// Makes the module `$engine` with every case as a test. `$fresh` is an async function that returns a store with an
/// empty ledger, and what must live as long as the store.
#[macro_export]
macro_rules! contract {
    ($engine:ident, $fresh:path) => {
        $crate::contract! { @cases $engine, $fresh,
            customers: a_contract_is_registered_once, the_plan_bounds_the_users,
                a_removed_user_leaves_the_place_but_keeps_the_id, a_token_serves_one_user, attempts_burn_a_code;
            login: passwords_are_apart_by_kind, initial_passwords_are_known_until_they_are_changed,
                wrong_passwords_lock_and_the_branch_unlocks,
                a_right_password_forgets_only_wrong_ones_of_its_kind,
                a_session_needs_a_standing_certificate, sessions_are_touched_closed_and_purged,
                a_new_password_ends_sessions;
            enrolments: a_repeat_finds_the_first_enrolment, the_name_of_a_tpms_attestation_key_is_kept,
                an_acquisition_code_is_used_up,
                a_challenge_is_renewed_by_one, a_refusal_is_for_good_and_keeps_the_evidence;
            certificates: a_certificate_goes_from_intent_to_confirmed, an_intent_needs_a_free_user_key_and_token,
                issuing_is_idempotent_for_the_same_bytes, an_abandoned_intent_frees_everything, lists_are_in_order,
                orphans_are_kept_once_in_the_journals_order;
            revocations: nothing_unrevokes, the_head_rises_with_each_revocation_at_once, an_orphan_can_be_revoked, each_journal_is_told_in_order_of_entry,
                a_revocation_comes_back_from_a_journal, a_revocation_only_moves_back, a_crl_holds_what_has_not_expired, crl_numbers_rise,
                a_crl_lists_what_was_revoked_when_it_got_its_number;
            renewals: a_confirmed_renewal_supersedes_in_one_commit, the_first_login_confirms_a_renewal,
                a_user_has_one_unconfirmed_renewal, only_what_stands_on_the_token_is_renewed,
                an_unconfirmed_renewal_lapses_once, a_lapsed_renewal_is_not_confirmed, a_renewal_falls_with_its_predecessor,
                a_confirmation_and_a_lapse_at_once_leave_one_certificate, of_many_renewals_at_once_one_is_intended;
            responders: a_renewal_goes_from_intent_to_certificate, a_renewal_that_was_given_up_is_never_issued,
                a_revoked_responder_is_not_listed_for_use;
            policies: each_version_of_a_policy_is_set_once, the_last_assignment_of_a_contract_counts,
                the_fleet_is_what_lives_with_its_evidence;
            tokens: a_list_of_tokens_is_registered_whole_or_not_at_all, a_token_moves_from_the_state_that_was_seen,
                tokens_are_listed_by_state_and_contract,
                assignments_and_inventory_agree;
            custody: of_a_token_two_puks_are_kept_at_the_most, a_new_custody_key_takes_over_row_by_row,
                a_puk_is_released_once_after_an_approval_in_time, a_user_has_one_open_request_and_a_few_in_a_day;
            retention: old_logins_go_and_young_ones_stay, settled_mail_goes_and_what_was_told_stays,
                an_enrolment_without_certificate_goes_with_its_evidence,
                evidence_goes_after_its_certificate, a_removed_user_leaves_an_id,
                what_somebody_else_erased_is_not_erased_again;
            books: a_page_of_the_journal_is_looked_up_at_once;
            signers: a_signer_keeps_its_journal, reconciliation_goes_forward_only,
                the_furthest_journaled_entry_is_known, a_lease_has_one_holder;
            staff: a_key_is_one_active_members, a_staff_session_ends_with_its_member, a_request_takes_another_member,
                both_may_still_when_it_is_done,
                an_effect_that_fails_leaves_the_request_open, a_plan_is_changed_when_the_users_fit,
                of_many_approvals_at_once_one_counts,
                searches_find_by_beginning_and_go_on, a_token_is_found_by_its_serial, the_trail_is_read_backwards;
            mail: what_is_told_is_queued_with_its_cause, a_notice_is_queued_once_per_certificate_and_kind,
                a_mail_is_claimed_by_one_and_settled_by_its_attempt,
                a_bounced_mail_is_tried_again_at_the_present_address,
                an_address_is_changed_by_the_code_that_it_got;
            trust: a_trust_bundle_takes_two_steps, a_rejudgement_is_planned_and_ends_once,
                a_plan_revokes_whom_it_names_while_it_stands,
                a_plan_is_told_to_who_has_a_living_certificate, each_change_of_a_plan_is_told_once,
                a_change_overtakes_what_waits;
            parallel: one_idempotency_key_opens_one_enrolment, one_user_gets_one_intent,
                losers_never_take_others_with_them, crl_numbers_are_given_once_and_heads_rise_with_them;
            census: what_is_unfinished_is_counted, open_renewals_of_responders_are_counted,
                certificates_that_expire_soon_are_counted,
                a_crl_says_what_it_is_without_its_entries, a_probe_writes_and_changes_nothing;
        }
    };
    (@cases $engine:ident, $fresh:path, $($module:ident: $($case:ident),+;)+) => {
        mod $engine {
            $($(#[tokio::test]
            async fn $case() {
                let (store, _kept) = $fresh().await;
                $crate::suite::$module::$case(store).await;
            })+)+
        }
    };
}
