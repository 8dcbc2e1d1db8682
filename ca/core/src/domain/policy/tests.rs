//! The rules of issuance, by number.

use std::sync::Arc;

use ca_x509::KeyKind;
use jiff::SignedDuration;

use super::*;
use crate::domain::{
    attestation::yubikey::Firmware,
    business_hours::IssuingHours,
    certificate::{CertificateRecord, CertificateState},
    contract::Plan,
    device::{Assurance, Device, DeviceKind},
    enrolment::{AcquisitionCode, Binding},
    fixtures::{at, attested, contract, device, now, record, user},
    user::{Role, User, UserState},
};

const MASTER: Role = Role::Master;
const GENERAL: Role = Role::General;

fn issued() -> CertificateState {
    CertificateState::Issued { der: vec![1], at: now(), confirmed_at: None }
}

fn revoked() -> CertificateState {
    let reason = crate::domain::revocation::RevocationReason::Superseded;
    CertificateState::Revoked { der: None, at: now(), reason }
}

/// A new certificate.
fn first(device: &Device) -> Purpose<'_> {
    Purpose { device, renews: None }
}

fn newcomer() -> Applicant {
    let user = user("hokkai-01", GENERAL);
    Applicant { contract: contract(), user, certificates: Vec::new(), other_holders: 0 }
}

fn decision(user: &User, certificates: &[CertificateRecord], other_holders: usize) -> Decision {
    let applicant = Applicant {
        contract: contract(),
        user: user.clone(),
        certificates: certificates.to_vec(),
        other_holders,
    };
    let policy = IssuancePolicy::default();
    let opened = may_open(&policy, &applicant, first(&device("33064031")), now());
    let decided = decide(&policy, &applicant, (&attested(Assurance::AttestedWithPin), None), now());
    assert_eq!(opened, decided, "what may open an enrolment is what gets a certificate");
    decided
}

/// Rule 1, 発行数: "At most 1 master + 9 general per contract" where the plan says nothing else.
#[test]
fn rule_1_the_plan_limits_certificates() {
    for (role, others, room) in
        [(MASTER, 0, true), (MASTER, 1, false), (GENERAL, 8, true), (GENERAL, 9, false)]
    {
        let expected = if room { Decision::Approve } else { Decision::Refuse(Reason::Quota) };
        assert_eq!(decision(&user("hokkai-01", role), &[], others), expected, "{role:?} beside {others}");
    }
    assert!(plan_admits(Plan { general_users: 49 }, GENERAL, 48));
    assert!(!plan_admits(Plan { general_users: 0 }, GENERAL, 0));
}

/// Rule 1, 発行数: "per user ID one *active* certificate". Rule 4, 失効 then re-obtain: "No second certificate while
/// one is valid; an expired one is revoked first".
#[test]
fn rules_1_and_4_there_is_no_second_certificate() {
    let general = user("hokkai-01", GENERAL);
    let valid = record(1, "2027-06-30T14:59:59Z", issued());
    let serial = valid.serial.clone();
    let already = Decision::Refuse(Reason::AlreadyCertified { serial: serial.clone() });
    assert_eq!(decision(&general, std::slice::from_ref(&valid), 0), already);

    let intended = CertificateRecord { state: CertificateState::Intended, ..valid.clone() };
    assert_eq!(decision(&general, &[intended], 0), already, "an open intent may be signed any moment");

    let expired = record(1, "2026-06-30T14:59:59Z", issued());
    assert_eq!(decision(&general, &[expired], 0), Decision::Refuse(Reason::ExpiredNotRevoked { serial }));

    let gone = [
        record(1, "2027-06-30T14:59:59Z", revoked()),
        record(2, "2027-06-30T14:59:59Z", CertificateState::Abandoned),
    ];
    assert_eq!(decision(&general, &gone, 0), Decision::Approve);
}

/// Rule 3, 取得できる時間帯: "Outside these hours the refusal says when it opens next."
#[test]
fn rule_3_outside_the_hours_the_refusal_says_when() {
    let applicant = newcomer();
    let evening = at("2026-11-20T21:00:00+09:00");
    let closed = Decision::Refuse(Reason::OutsideHours { opens_at: Some(at("2026-11-24T09:00:00+09:00")) });
    assert_eq!(may_open(&IssuancePolicy::default(), &applicant, first(&device("33064031")), evening), closed);
    let demonstration =
        IssuancePolicy { hours: Arc::new(IssuingHours::AlwaysOpenForDemonstration), ..Default::default() };
    assert_eq!(may_open(&demonstration, &applicant, first(&device("33064031")), evening), Decision::Approve);
}

/// Rule 14: "Suspension (利用停止) is a state of the account".
#[test]
fn rule_14_only_active_users_obtain() {
    let active = user("hokkai-01", GENERAL);
    for (state, reason) in
        [(UserState::Suspended, Reason::UserSuspended), (UserState::Removed, Reason::UserRemoved)]
    {
        assert_eq!(decision(&User { state, ..active.clone() }, &[], 0), Decision::Refuse(reason));
    }
    let locked = User { locked_at: Some(now()), ..active.clone() };
    assert_eq!(decision(&locked, &[], 0), Decision::Refuse(Reason::UserLocked));
    let contract = crate::domain::ids::ContractNumber::parse("7654321").expect("a number");
    assert_eq!(decision(&User { contract, ..active }, &[], 0), Decision::Refuse(Reason::OtherContract));
}

#[test]
fn assurance_decides_between_approval_hold_and_refusal() {
    let applicant = newcomer();
    let strict = IssuancePolicy::default();
    let holding = IssuancePolicy { hold_from: Some(Assurance::Attested), ..strict.clone() };
    let found = Assurance::Attested;
    let refused = Decision::Refuse(Reason::Assurance { found });
    assert_eq!(decide(&strict, &applicant, (&attested(found), None), now()), refused);
    assert_eq!(decide(&holding, &applicant, (&attested(found), None), now()), Decision::Hold);
    assert_eq!(
        decide(&holding, &applicant, (&attested(Assurance::AttestedWithPin), None), now()),
        Decision::Approve
    );
    let refused = Decision::Refuse(Reason::Assurance { found: Assurance::Asserted });
    assert_eq!(decide(&holding, &applicant, (&attested(Assurance::Asserted), None), now()), refused);
}

/// Rule 12, Binding (紐付け): "either a token serial that the bank (or the master) assigned to that user, or a one-time
/// acquisition code". "Assigned serial is the default".
#[test]
fn rule_12_a_token_is_assigned_or_a_code_is_given() {
    let rules = BindingRules::default();
    let (mine, other) = (device("111"), device("222"));
    let unassigned = user("hokkai-01", GENERAL);
    let assigned = User { assigned_device: Some(mine.clone()), ..unassigned.clone() };

    assert_eq!(bind(&rules, &assigned, &mine, CodeCheck::NotPresented), Ok(Binding::AssignedSerial));
    for code in [CodeCheck::NotPresented, CodeCheck::Right, CodeCheck::Wrong] {
        let refused = Err(BindingRefusal::OtherDeviceAssigned);
        assert_eq!(bind(&rules, &assigned, &other, code), refused, "{code:?}");
    }
    assert_eq!(bind(&rules, &unassigned, &mine, CodeCheck::Right), Ok(Binding::AcquisitionCode));
    let nothing = Err(BindingRefusal::NothingAssigned);
    assert_eq!(bind(&rules, &unassigned, &mine, CodeCheck::NotPresented), nothing);
    for code in [CodeCheck::Wrong, CodeCheck::Expired, CodeCheck::Burnt] {
        assert_eq!(bind(&rules, &unassigned, &mine, code), Err(BindingRefusal::Code(code)));
    }
}

/// Rule 12, 先着 (first come): "First-come binding exists, per contract, off by default."
#[test]
fn rule_12_the_first_token_to_come_binds_only_where_the_contract_allows_it() {
    let everything = [Binding::AssignedSerial, Binding::AcquisitionCode, Binding::FirstCome];
    let open = BindingRules::of(everything.to_vec()).expect("rules");
    let (mine, other) = (device("111"), device("222"));
    let unassigned = user("hokkai-01", GENERAL);
    let assigned = User { assigned_device: Some(mine.clone()), ..unassigned.clone() };

    assert!(!BindingRules::default().accept(Binding::FirstCome), "off by default");
    assert_eq!(bind(&open, &unassigned, &mine, CodeCheck::NotPresented), Ok(Binding::FirstCome));
    assert_eq!(bind(&open, &unassigned, &mine, CodeCheck::Right), Ok(Binding::AcquisitionCode));
    let wrong = Err(BindingRefusal::Code(CodeCheck::Wrong));
    assert_eq!(bind(&open, &unassigned, &mine, CodeCheck::Wrong), wrong, "a wrong code isn't passed over");
    let refused = Err(BindingRefusal::OtherDeviceAssigned);
    assert_eq!(bind(&open, &assigned, &other, CodeCheck::NotPresented), refused, "an assignment stands");
    let for_machines = open.without_people();
    let nothing = Err(BindingRefusal::NothingAssigned);
    assert_eq!(bind(&for_machines, &unassigned, &mine, CodeCheck::NotPresented), nothing);
}

/// Rule 12 with 失効: whoever had a certificate needs more than a password for the next one.
#[test]
fn rule_12_first_come_is_for_the_first_certificate() {
    assert!(is_first(&[]));
    assert!(is_first(&[record(1, "2027-06-30T14:59:59Z", CertificateState::Abandoned)]));
    for state in [issued(), revoked(), CertificateState::Intended] {
        assert!(!is_first(&[record(1, "2027-06-30T14:59:59Z", state)]));
    }
}

/// Rule 12: a contract's policy may accept less than the rule does, and that counts for enrolments under way.
#[test]
fn rule_12_what_the_contracts_policy_does_not_accept_does_not_bind() {
    let codes = BindingRules::of(vec![Binding::AcquisitionCode]).expect("rules");
    let serials = BindingRules::of(vec![Binding::AssignedSerial]).expect("rules");
    let (mine, other) = (device("111"), device("222"));
    let unassigned = user("hokkai-01", GENERAL);
    let assigned = User { assigned_device: Some(mine.clone()), ..unassigned.clone() };
    let not_accepted = Err(BindingRefusal::NotAccepted);

    assert_eq!(bind(&codes, &assigned, &mine, CodeCheck::NotPresented), not_accepted);
    assert_eq!(bind(&codes, &assigned, &mine, CodeCheck::Right), Ok(Binding::AcquisitionCode));
    assert_eq!(bind(&serials, &unassigned, &mine, CodeCheck::Right), not_accepted);

    let all = BindingRules::default();
    assert!(is_still_bound(&all, &unassigned, &mine, Binding::AcquisitionCode));
    assert!(!is_still_bound(&serials, &unassigned, &mine, Binding::AcquisitionCode), "taken out since");
    assert!(!is_still_bound(&all, &unassigned, &mine, Binding::FirstCome), "taken out since");
    assert!(is_still_bound(&all, &assigned, &mine, Binding::FirstCome), "assigned since");
    assert!(!is_still_bound(&all, &assigned, &other, Binding::AcquisitionCode), "another was assigned");
    assert!(!is_still_bound(&all, &unassigned, &mine, Binding::AssignedSerial), "taken away");
}

/// Rules 12 and 13: the code has a deadline (取得期限), and failures burn it.
#[test]
fn rules_12_and_13_codes_expire_and_burn() {
    let stored = AcquisitionCode { sha256: [1; 32], expires_at: now(), attempts_left: 1 };
    let before = now() - SignedDuration::from_secs(1);
    let check = |stored: Option<&AcquisitionCode>, presented: Option<[u8; 32]>, at| {
        check_code(stored, presented.as_ref(), at)
    };
    assert_eq!(check(Some(&stored), Some([1; 32]), before), CodeCheck::Right);
    assert_eq!(check(Some(&stored), Some([1; 32]), now()), CodeCheck::Expired);
    assert_eq!(check(Some(&stored), Some([2; 32]), before), CodeCheck::Wrong);
    assert_eq!(check(None, Some([1; 32]), before), CodeCheck::Wrong);
    assert_eq!(check(Some(&stored), None, before), CodeCheck::NotPresented);
    let burnt = AcquisitionCode { attempts_left: 0, ..stored };
    assert_eq!(check(Some(&burnt), Some([1; 32]), before), CodeCheck::Burnt, "even the right one");
}

/// A kind of device that the contract's policy doesn't accept is told before anything happens on the token.
#[test]
fn a_device_of_another_kind_opens_nothing() {
    let found = DeviceKind::Pkcs11;
    let other = Device { kind: found, ..device("33064031") };
    let refused = Decision::Refuse(Reason::DeviceKind { found });
    assert_eq!(may_open(&IssuancePolicy::default(), &newcomer(), first(&other), now()), refused);
}

#[test]
fn an_agent_is_told_only_of_keys_that_its_device_can_have() {
    let policy = DevicePolicy {
        algorithms: vec![KeyKind::Rsa { bits: 4096 }, KeyKind::Rsa { bits: 2048 }, KeyKind::P256],
        ..DevicePolicy::default()
    };
    let keys = |kind, firmware| policy.keys_for(kind, firmware);
    let all = policy.algorithms.clone();
    assert_eq!(keys(DeviceKind::YubiKeyPiv, Some(Firmware::new(5, 7, 1))), all, "in the policy's order");
    let old = keys(DeviceKind::YubiKeyPiv, Some(Firmware::new(5, 4, 3)));
    assert_eq!(old, [KeyKind::Rsa { bits: 2048 }]);
    assert_eq!(keys(DeviceKind::YubiKeyPiv, Some(Firmware::new(4, 3, 5))), []);
    assert_eq!(keys(DeviceKind::Tpm, None), [KeyKind::Rsa { bits: 2048 }, KeyKind::P256]);
    assert_eq!(keys(DeviceKind::Piv, None), all);
}

#[test]
fn the_inventory_admits_what_is_in_stock_or_the_contracts_own() {
    let mine = contract().number;
    let others = crate::domain::ids::ContractNumber::parse("7654321").expect("a number");
    let handed_out =
        |contract: &crate::domain::ids::ContractNumber| TokenState::HandedOut { contract: contract.clone() };
    for (state, optional, required) in [
        (None, Ok(()), Err(UnfitToken::Unknown)),
        (Some(TokenState::InStock), Ok(()), Ok(())),
        (Some(handed_out(&mine)), Ok(()), Ok(())),
        (Some(handed_out(&others)), Err(UnfitToken::OtherContract), Err(UnfitToken::OtherContract)),
        (Some(TokenState::Lost), Err(UnfitToken::OutOfUse), Err(UnfitToken::OutOfUse)),
        (Some(TokenState::Retired), Err(UnfitToken::OutOfUse), Err(UnfitToken::OutOfUse)),
    ] {
        assert_eq!(admit(InventoryRule::Optional, state.as_ref(), &mine), optional, "{state:?}");
        assert_eq!(admit(InventoryRule::Required, state.as_ref(), &mine), required, "{state:?}");
    }
}

#[test]
fn a_token_goes_from_customer_to_customer_by_way_of_the_bank() {
    let handed_out = TokenState::HandedOut { contract: contract().number };
    let every = [
        TokenState::InStock,
        handed_out.clone(),
        TokenState::Lost,
        TokenState::Broken,
        TokenState::Returned,
        TokenState::Retired,
    ];
    for (from, to) in [
        (TokenState::InStock, vec!["handed-out", "lost", "broken", "returned", "retired"]),
        (handed_out, vec!["lost", "broken", "returned", "retired"]),
        (TokenState::Lost, vec!["broken", "returned", "retired"]),
        (TokenState::Broken, vec!["in-stock", "lost", "returned", "retired"]),
        (TokenState::Returned, vec!["in-stock", "handed-out", "lost", "broken", "retired"]),
        (TokenState::Retired, vec![]),
    ] {
        let possible: Vec<&str> =
            every.iter().filter(|next| from.may_become(next)).map(TokenState::as_str).collect();
        assert_eq!(possible, to, "{from:?}");
    }
}
