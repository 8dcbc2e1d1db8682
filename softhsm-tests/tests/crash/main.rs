//! Processes killed, disks full and broken, power cut, clocks wrong, load beyond measure: what must hold all the same.
//! Small here; `make soak` runs the same at full size.

mod tools;

use softhsm_tests::{
    scratch::Scratch,
    soak::{self, Size},
};

fn survives(fault: &str) {
    let scratch = Scratch::new(&fault.to_lowercase()).expect("scratch");
    let scenario = soak::scenario(fault).expect("a scenario");
    scenario(&scratch.join(fault), &Size::small()).expect("it ran").assert_sound();
}

#[test]
fn r1_kills_lose_nothing() {
    survives("R1");
}

#[test]
fn r2_a_final_insert_that_fails_leaves_no_orphan() {
    survives("R2");
}

#[test]
fn r3_a_full_or_broken_disk_signs_nothing_without_an_intent_and_heals() {
    survives("R3");
}

#[test]
fn r4_a_power_cut_loses_nothing_acknowledged() {
    survives("R4");
}

/// The proof that the test before sees anything: nothing is durable, and it says so.
#[test]
fn r4_on_a_disk_that_lies_about_syncs_loses_what_was_acknowledged() {
    let scratch = Scratch::new("r4-lies").expect("scratch");
    let size = Size { power_cuts: 1, ..Size::small() };
    let outcome = soak::power_cuts_on_a_lying_disk(&scratch.join("R4"), &size).expect("it ran");
    let lost = |violation: &String| violation.contains("and the ledger says None");
    assert!(outcome.violations.iter().any(lost), "{outcome:#?}");
}

#[test]
fn r10_one_idempotency_key_is_one_certificate() {
    survives("R10");
}

#[test]
fn r12_serial_numbers() {
    survives("R12");
}

#[test]
fn r16_a_clock_that_jumps_is_refused() {
    survives("R16");
}

#[test]
fn r17_every_change_to_ledger_and_journal_is_named() {
    survives("R17");
}

#[test]
fn r18_a_restored_ledger_issues_nothing_until_a_person_has_decided_and_un_revokes_nothing() {
    survives("R18");
}

#[test]
fn r20_overload_is_answered_and_forgotten() {
    survives("R20");
}
