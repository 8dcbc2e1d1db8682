//! What goes wrong behind PKCS#11: errors, lost logins, hangs, crashes, refused PINs, lies. Small here; `make soak` runs
//! the same at full size.

mod idle;
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
fn r5_every_error_of_the_module_is_told_and_gone_soon_after_it_clears() {
    survives("R5");
}

#[test]
fn r6_a_token_that_forgot_us_while_idle_serves_the_next_request() {
    survives("R6");
}

#[test]
fn r7_a_module_that_hangs_or_dies_costs_a_clear_answer_and_no_second_certificate() {
    survives("R7");
}

#[test]
fn r8_a_wrong_pin_is_tried_once() {
    survives("R8");
}

#[test]
fn r9_no_wrong_signature_is_journaled_or_leaves() {
    survives("R9");
}
