//! The contract of the store ports, run over the model in memory and over SQLite alike.

mod support;

mod contract {
    pub(crate) mod certificates;
    pub(crate) mod customers;
    pub(crate) mod enrolments;
    pub(crate) mod login;
    pub(crate) mod parallel;
    pub(crate) mod revocations;
    pub(crate) mod signers;
}

use ca_core::testing::MemoryStore;
use store_sqlite::{Options, SqliteStore, migrate};

macro_rules! contract {
    ($($module:ident: $($case:ident),+;)+) => {
        mod memory {
            $($(#[tokio::test]
            async fn $case() {
                crate::contract::$module::$case(crate::MemoryStore::default()).await;
            })+)+
        }
        mod sqlite {
            $($(#[tokio::test]
            async fn $case() {
                let folder = tempfile::tempdir().expect("a folder");
                crate::contract::$module::$case(crate::fresh(folder.path()).await).await;
            })+)+
        }
    };
}

async fn fresh(folder: &std::path::Path) -> SqliteStore {
    let path = folder.join("ledger.db");
    migrate(&path).await.expect("a new database");
    SqliteStore::open(&path, &Options::default()).await.expect("the store")
}

contract! {
    customers: a_contract_is_registered_once, the_plan_bounds_the_users,
        a_removed_user_leaves_the_place_but_keeps_the_id, a_token_serves_one_user, attempts_burn_a_code;
    login: passwords_are_apart_by_kind, wrong_passwords_lock_and_the_branch_unlocks,
        a_right_password_forgets_only_wrong_ones_of_its_kind,
        a_session_needs_a_standing_certificate, sessions_are_touched_closed_and_purged;
    enrolments: a_repeat_finds_the_first_enrolment, an_acquisition_code_is_used_up, a_challenge_is_renewed_by_one,
        a_refusal_is_for_good_and_keeps_the_evidence;
    certificates: a_certificate_goes_from_intent_to_confirmed, an_intent_needs_a_free_user_key_and_token,
        issuing_is_idempotent_for_the_same_bytes, an_abandoned_intent_frees_everything, lists_are_in_order,
        orphans_are_kept_once_in_the_journals_order;
    revocations: nothing_unrevokes, an_orphan_can_be_revoked, each_journal_is_told_in_order_of_entry,
        a_revocation_comes_back_from_a_journal, a_crl_holds_what_has_not_expired, crl_numbers_rise;
    signers: a_signer_keeps_its_journal, reconciliation_goes_forward_only,
        the_furthest_journaled_certificate_is_known, a_lease_has_one_holder;
    parallel: one_idempotency_key_opens_one_enrolment, one_user_gets_one_intent,
        losers_never_take_others_with_them, crl_numbers_are_given_once;
}
