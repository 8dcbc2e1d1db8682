//! Rules 7, 8 and 14 at the login.

use super::*;
use crate::domain::{
    fixtures::{at, now, record, user},
    revocation::RevocationReason,
    user::Role,
};

const DER: &[u8] = b"the certificate";

fn issued(confirmed_at: Option<Timestamp>) -> CertificateRecord {
    let state = CertificateState::Issued { der: DER.to_vec(), at: now(), confirmed_at };
    record(1, "2027-06-30T14:59:59Z", state)
}

fn attempt<'a>(certificate: &'a CertificateRecord, user: &'a User) -> Attempt<'a> {
    Attempt {
        presented: Some(DER),
        certificate: Some(certificate),
        user: Some(user),
        login_id: None,
        password_is_right: true,
    }
}

/// Rule 7: "Login needs certificate **and** login password". Rule 1: "(or the first login with it) activates".
#[test]
fn rule_7_certificate_and_password_log_in() {
    let owner = user("hokkai-01", Role::General);
    let confirms = |certificate: &CertificateRecord| decide(&attempt(certificate, &owner), now());
    assert_eq!(confirms(&issued(None)), Outcome::Admitted { confirms: true });
    assert_eq!(confirms(&issued(Some(now()))), Outcome::Admitted { confirms: false });
}

/// Rule 7: "Stolen ID + password without the token: refused. Token without password: refused. Another user's
/// certificate with my password: refused."
#[test]
fn rule_7_each_half_alone_is_refused() {
    let (owner, certificate) = (user("hokkai-01", Role::General), issued(None));
    let other = user("hokkai-02", Role::General);
    let honest = attempt(&certificate, &owner);
    let cases = [
        (Attempt { presented: None, ..honest }, Reason::NoCertificate),
        (Attempt { password_is_right: false, ..honest }, Reason::WrongPassword),
        (Attempt { login_id: Some(&other.id), ..honest }, Reason::OtherUser),
        (Attempt { user: Some(&other), ..honest }, Reason::OtherUser),
        (Attempt { certificate: None, ..honest }, Reason::UnknownCertificate),
        (Attempt { presented: Some(b"same names, another CA"), ..honest }, Reason::UnknownCertificate),
    ];
    for (attempt, reason) in cases {
        assert_eq!(decide(&attempt, now()), Outcome::Refused(reason));
        assert_eq!(reason.counts_as_wrong_password(), reason == Reason::WrongPassword);
    }
    assert_eq!(
        decide(&Attempt { login_id: Some(&owner.id), ..honest }, now()),
        Outcome::Admitted { confirms: true }
    );
}

/// Without the right certificate the password isn't judged, so nothing can be counted against its owner.
#[test]
fn a_wrong_password_with_a_bad_certificate_counts_for_nothing() {
    let owner = user("hokkai-01", Role::General);
    let reason = RevocationReason::KeyCompromise;
    let revoked = CertificateRecord {
        state: CertificateState::Revoked { der: Some(DER.to_vec()), at: now(), reason },
        ..issued(None)
    };
    let attempt = Attempt { password_is_right: false, ..attempt(&revoked, &owner) };
    assert_eq!(decide(&attempt, now()), Outcome::Refused(Reason::Revoked));
}

#[test]
fn the_ledger_decides_what_a_certificate_is_worth() {
    let owner = user("hokkai-01", Role::General);
    let good = issued(None);
    let reason = RevocationReason::Unspecified;
    let revoked = CertificateState::Revoked { der: Some(DER.to_vec()), at: now(), reason };
    let with = |state| CertificateRecord { state, ..good.clone() };
    assert_eq!(still_good(&with(revoked), &owner, now()), Err(Reason::Revoked));
    for state in [CertificateState::Intended, CertificateState::Abandoned] {
        assert_eq!(still_good(&with(state), &owner, now()), Err(Reason::UnknownCertificate));
    }
    for (moment, expected) in [
        ("2025-12-31T23:59:59Z", Err(Reason::NotYetValid)),
        ("2026-01-01T00:00:00Z", Ok(())),
        ("2027-06-30T14:59:59Z", Ok(())),
        ("2027-06-30T15:00:00Z", Err(Reason::Expired)),
    ] {
        assert_eq!(still_good(&good, &owner, at(moment)), expected, "at {moment}");
    }
}

/// Rule 1: "unconfirmed after 72 hours it is revoked", whether or not that has been entered yet.
#[test]
fn rule_1_a_lapsed_renewal_confirms_nothing() {
    let owner = user("hokkai-01", Role::General);
    let first = issued(None);
    let renewal = CertificateRecord { renews: Some(first.intent), ..issued(None) };
    let confirmed = CertificateRecord { renews: Some(first.intent), ..issued(Some(now())) };
    let last = renewal.not_before + jiff::SignedDuration::from_hours(72);
    let after = last + jiff::SignedDuration::from_secs(1);
    assert_eq!(decide(&attempt(&renewal, &owner), last), Outcome::Admitted { confirms: true });
    assert_eq!(decide(&attempt(&renewal, &owner), after), Outcome::Refused(Reason::Revoked));
    for lasting in [confirmed, first] {
        assert!(matches!(decide(&attempt(&lasting, &owner), after), Outcome::Admitted { .. }));
    }
}

/// Rule 14: "Suspension (利用停止) is a state of the account, never certificateHold."
#[test]
fn rule_14_a_suspended_account_keeps_its_certificate_and_may_not_use_it() {
    let certificate = issued(None);
    let suspended = User { state: UserState::Suspended, ..user("hokkai-01", Role::General) };
    assert_eq!(decide(&attempt(&certificate, &suspended), now()), Outcome::Refused(Reason::AccountClosed));
    let locked = User { locked_at: Some(now()), ..user("hokkai-01", Role::General) };
    assert_eq!(decide(&attempt(&certificate, &locked), now()), Outcome::Refused(Reason::Locked));
}

/// Rule 8: "An expired master certificate does not stop general users from logging in": nothing about the master is
/// among what a general user's login is decided on; the master's own is refused.
#[test]
fn rule_8_an_expired_master_stops_only_the_master() {
    let general = user("hokkai-01", Role::General);
    assert_eq!(decide(&attempt(&issued(None), &general), now()), Outcome::Admitted { confirms: true });
    let master = User {
        id: crate::domain::ids::UserId::parse("hokkai-master").expect("an ID"),
        role: Role::Master,
        ..general
    };
    let expired =
        CertificateRecord { user: master.id.clone(), not_after: at("2026-06-30T14:59:59Z"), ..issued(None) };
    assert_eq!(decide(&attempt(&expired, &master), now()), Outcome::Refused(Reason::Expired));
}
