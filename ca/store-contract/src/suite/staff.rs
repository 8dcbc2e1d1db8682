//! Staff, what takes two of them, and their searches.

use std::sync::Arc;

use ca_core::{
    domain::{
        approval::{Approval, Barred, Outcome, Proposal},
        contract::Plan,
        enrolment::AcquisitionCode,
        ids::{ContractNumber, StaffId, TokenSerial},
        revocation::RevocationReason,
        staff::{Member, MemberState, Roles},
        user::{Role, User},
    },
    ports::{
        search::AuditFilter,
        staff::{Effect, StaffSession},
        store::{Conflict, StoreError},
    },
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::samples::{
    Ledger, at, contract, customers, device, digest, event, issue, issuer, number, refused, serial, user,
    user_id, verified_actions,
};

fn staff_id(n: u32) -> StaffId {
    StaffId::parse(&format!("staff-{n}")).expect("a staff ID")
}

fn member(n: u32) -> Member {
    Member {
        id: staff_id(n),
        name: format!("行員 {n}"),
        roles: Roles::parse("clerk administrator").expect("roles"),
        state: MemberState::Active,
        key_sha256: digest(20, n),
        certificate: vec![0x30, 0],
        admitted_at: at(0),
    }
}

fn session(n: u32, key: u32) -> StaffSession {
    StaffSession {
        token_sha256: digest(21, n),
        csrf_sha256: digest(22, n),
        member: staff_id(n),
        key_sha256: digest(20, key),
        opened_at: at(0),
        last_used_at: at(0),
    }
}

fn request(n: u32, by: u32) -> Approval {
    Approval {
        id: Uuid::from_u128(u128::from(n)),
        proposal: Proposal::ReobtainByCode { user: user_id(n) },
        reason: "PC の入れ替え <b>".to_owned(),
        asked_by: staff_id(by),
        asked_at: at(10),
        expires_at: at(100),
        end: None,
    }
}

async fn put(store: &impl Ledger, members: std::ops::RangeInclusive<u32>) {
    for n in members {
        store.put_member(&member(n), event("staff.admitted")).await.expect("a member");
    }
}

fn code() -> AcquisitionCode {
    AcquisitionCode { sha256: digest(23, 1), expires_at: at(1000), attempts_left: 5 }
}

pub async fn a_key_is_one_active_members(store: impl Ledger) {
    put(&store, 1..=2).await;
    let twin = Member { key_sha256: digest(20, 1), ..member(3) };
    refused(store.put_member(&twin, event("staff.admitted")).await, Conflict::Taken);
    assert_eq!(store.member(&staff_id(1)).await.expect("a query"), Some(member(1)));
    assert_eq!(store.member_by_key(&digest(20, 2)).await.expect("a query"), Some(member(2)));
    assert_eq!(store.member_by_key(&digest(20, 9)).await.expect("a query"), None);

    store.withdraw_member(&staff_id(1), event("staff.withdrawn")).await.expect("withdrawn");
    refused(store.withdraw_member(&staff_id(1), event("staff.withdrawn")).await, Conflict::Missing);
    refused(store.withdraw_member(&staff_id(8), event("staff.withdrawn")).await, Conflict::Missing);
    let gone = Member { state: MemberState::Withdrawn, ..member(1) };
    assert_eq!(store.member_by_key(&digest(20, 1)).await.expect("a query"), Some(gone));
    store.put_member(&twin, event("staff.admitted")).await.expect("the key is free");
    assert_eq!(store.member_by_key(&digest(20, 1)).await.expect("a query"), Some(twin.clone()));
    refused(store.put_member(&member(1), event("staff.admitted")).await, Conflict::Taken);
    let changed = Member { roles: Roles::parse("auditor").expect("roles"), ..member(2) };
    store.put_member(&changed, event("staff.admitted")).await.expect("changed");
    let ids: Vec<_> = store.members().await.expect("a query").into_iter().map(|member| member.id).collect();
    assert_eq!(ids, [staff_id(1), staff_id(2), staff_id(3)]);
    assert_eq!(store.member(&staff_id(2)).await.expect("a query"), Some(changed));
}

pub async fn a_staff_session_ends_with_its_member(store: impl Ledger) {
    put(&store, 1..=2).await;
    refused(store.open_staff_session(&session(1, 2), event("staff.login")).await, Conflict::Missing);
    refused(store.open_staff_session(&session(3, 3), event("staff.login")).await, Conflict::Missing);
    for n in 1..=2 {
        store.open_staff_session(&session(n, n), event("staff.login")).await.expect("a session");
    }
    store.touch_staff_session(&digest(21, 1), at(50)).await.expect("touched");
    store.touch_staff_session(&digest(21, 1), at(40)).await.expect("never back");
    let touched = StaffSession { last_used_at: at(50), ..session(1, 1) };
    assert_eq!(store.staff_session(&digest(21, 1)).await.expect("a query"), Some(touched));
    assert_eq!(store.purge_staff_sessions(at(10), at(0)).await.expect("purged"), 1);
    assert_eq!(store.staff_session(&digest(21, 2)).await.expect("a query"), None);

    store.withdraw_member(&staff_id(1), event("staff.withdrawn")).await.expect("withdrawn");
    assert_eq!(store.staff_session(&digest(21, 1)).await.expect("a query"), None);
    store.open_staff_session(&session(2, 2), event("staff.login")).await.expect("a session");
    store.put_member(&member(2), event("staff.admitted")).await.expect("changed");
    assert_eq!(store.staff_session(&digest(21, 2)).await.expect("a query"), None, "new roles, new session");
    store.open_staff_session(&session(2, 2), event("staff.login")).await.expect("a session");
    for _ in 0..2 {
        store.close_staff_session(&digest(21, 2), event("staff.logout")).await.expect("closed");
    }
    let actions = verified_actions(&store).await;
    assert_eq!(actions.iter().filter(|action| *action == "staff.logout").count(), 1);
}

/// "permitting the re-obtaining … takes a second member of staff."
pub async fn a_request_takes_another_member(store: impl Ledger) {
    customers(&store, 3).await;
    put(&store, 1..=3).await;
    store.ask(&request(1, 1), event("approval.asked")).await.expect("asked");
    assert_eq!(store.approval(request(1, 1).id).await.expect("a query"), Some(request(1, 1)));
    let again = Approval { id: Uuid::from_u128(99), ..request(1, 2) };
    refused(store.ask(&again, event("approval.asked")).await, Conflict::Taken);
    store.ask(&request(2, 2), event("approval.asked")).await.expect("another subject");
    let open = store.open_approvals(at(20), 10).await.expect("a query");
    assert_eq!(open, [request(1, 1), request(2, 2)]);

    let id = request(1, 1).id;
    let effect = Effect::Code(user_id(1), code());
    let execute = |by: u32, seconds: i64| {
        let (store, effect) = (&store, &effect);
        async move {
            store.execute_approval(id, &staff_id(by), at(seconds), effect, event("approval.executed")).await
        }
    };
    refused(execute(1, 20).await, Conflict::Barred(Barred::OwnRequest));
    refused(execute(2, 100).await, Conflict::Barred(Barred::NotOpen));
    assert_eq!(store.acquisition_code(&user_id(1)).await.expect("a query"), None);
    execute(2, 20).await.expect("approved by another");
    refused(execute(3, 21).await, Conflict::Barred(Barred::NotOpen));
    assert_eq!(store.acquisition_code(&user_id(1)).await.expect("a query"), Some(code()));

    let end = |outcome, by: u32| {
        let store = &store;
        async move {
            let id = request(2, 2).id;
            store.end_approval(id, outcome, &staff_id(by), at(20), event("approval.ended")).await
        }
    };
    refused(end(Outcome::Refused, 2).await, Conflict::Barred(Barred::OwnRequest));
    refused(end(Outcome::Withdrawn, 1).await, Conflict::Barred(Barred::NotYours));
    end(Outcome::Withdrawn, 2).await.expect("withdrawn");
    refused(end(Outcome::Refused, 1).await, Conflict::Barred(Barred::NotOpen));
    assert_eq!(store.open_approvals(at(20), 10).await.expect("a query"), []);
    store.ask(&again, event("approval.asked")).await.expect("the first one ended");
    let recent = store.recent_approvals(2).await.expect("a query");
    assert_eq!(recent[0], again);
    assert_eq!(recent[1].end.as_ref().map(|end| end.outcome), Some(Outcome::Withdrawn));
}

/// Whoever was withdrawn, or works as something else, is no pair of eyes: also when that came between a look and the
/// commit.
pub async fn both_may_still_when_it_is_done(store: impl Ledger) {
    customers(&store, 1).await;
    put(&store, 1..=2).await;
    store.ask(&request(1, 1), event("approval.asked")).await.expect("asked");
    let (id, effect) = (request(1, 1).id, Effect::Code(user_id(1), code()));
    let second = staff_id(2);
    let execute = || store.execute_approval(id, &second, at(20), &effect, event("approval.executed"));
    for (n, barred) in [(1, Barred::AskerLeft), (2, Barred::DeciderLeft)] {
        let operator = Member { roles: Roles::parse("hsm-operations").expect("roles"), ..member(n) };
        store.put_member(&operator, event("staff.admitted")).await.expect("other roles");
        refused(execute().await, Conflict::Barred(barred));
        store.withdraw_member(&staff_id(n), event("staff.withdrawn")).await.expect("withdrawn");
        refused(execute().await, Conflict::Barred(barred));
        store.put_member(&member(n), event("staff.admitted")).await.expect("admitted again");
    }
    assert_eq!(store.acquisition_code(&user_id(1)).await.expect("a query"), None);
    assert_eq!(store.approval(id).await.expect("a query"), Some(request(1, 1)), "it is open still");

    store.withdraw_member(&staff_id(1), event("staff.withdrawn")).await.expect("withdrawn");
    store
        .end_approval(id, Outcome::Refused, &staff_id(2), at(20), event("approval.ended"))
        .await
        .expect("refusing takes one");
}

/// What can't be done isn't approved either.
pub async fn an_effect_that_fails_leaves_the_request_open(store: impl Ledger) {
    customers(&store, 2).await;
    put(&store, 1..=2).await;
    store.assign_device(&user_id(2), Some(&device(7)), event("token.assigned")).await.expect("assigned");
    let proposal = Proposal::ReobtainWithToken { user: user_id(1), device: device(7) };
    let asked = Approval { proposal, ..request(1, 1) };
    store.ask(&asked, event("approval.asked")).await.expect("asked");
    let effect = Effect::Device(user_id(1), device(7));
    let second = request(1, 2).asked_by;
    let execute = || store.execute_approval(asked.id, &second, at(20), &effect, event("approval.executed"));
    refused(execute().await, Conflict::DeviceInUse);
    assert_eq!(store.approval(asked.id).await.expect("a query"), Some(asked.clone()));
    store.assign_device(&user_id(2), None, event("token.taken")).await.expect("free");
    execute().await.expect("now");
    let assigned = store.user(&user_id(1)).await.expect("a query").expect("the user").assigned_device;
    assert_eq!(assigned, Some(device(7)));

    let admit = Proposal::Admit {
        id: staff_id(3),
        name: member(3).name,
        roles: member(3).roles,
        certificate: member(3).certificate,
    };
    let asked = Approval { id: Uuid::from_u128(50), proposal: admit, ..request(1, 1) };
    store.ask(&asked, event("approval.asked")).await.expect("asked");
    let effect = Effect::Member(member(3));
    store
        .execute_approval(asked.id, &staff_id(2), at(20), &effect, event("approval.executed"))
        .await
        .expect("admitted");
    assert_eq!(store.member(&staff_id(3)).await.expect("a query"), Some(member(3)));
}

/// Rule 1: "At most 1 master + 9 general per contract", also when the plan changes under the users.
pub async fn a_plan_is_changed_when_the_users_fit(store: impl Ledger) {
    customers(&store, 3).await;
    put(&store, 1..=2).await;
    let number = user(1, Role::General).contract;
    let users = store.users_of(&number).await.expect("a query");
    let general = users.iter().filter(|user| user.role == Role::General).count();
    let general = u16::try_from(general).expect("few");
    let propose = async |n: u128, general_users: u16| {
        let proposal = Proposal::ChangePlan { contract: number.clone(), plan: Plan { general_users } };
        let asked = Approval { id: Uuid::from_u128(n), proposal, ..request(1, 1) };
        store.ask(&asked, event("approval.asked")).await.expect("asked");
        let (effect, by) = (Effect::Plan(number.clone(), Plan { general_users }), staff_id(2));
        let done = store.execute_approval(asked.id, &by, at(20), &effect, event("approval.executed")).await;
        if done.is_err() {
            store
                .end_approval(asked.id, Outcome::Refused, &by, at(20), event("approval.declined"))
                .await
                .expect("the request is open still");
        }
        done
    };
    let plan = async || store.contract(&number).await.expect("a query").expect("the contract").plan;
    let before = plan().await;
    refused(propose(71, general - 1).await, Conflict::Quota);
    assert_eq!(plan().await, before);
    propose(72, general).await.expect("as many as there are");
    assert_eq!(plan().await, Plan { general_users: general });
    refused(store.register_user(&user(77, Role::General), event("user.registered")).await, Conflict::Quota);
    propose(73, 49).await.expect("a larger plan");
    store.register_user(&user(77, Role::General), event("user.registered")).await.expect("room");
}

pub async fn of_many_approvals_at_once_one_counts(store: impl Ledger) {
    customers(&store, 1).await;
    put(&store, 1..=9).await;
    store.ask(&request(1, 1), event("approval.asked")).await.expect("asked");
    let store = Arc::new(store);
    let mut tasks = JoinSet::new();
    for n in 1..=9 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let effect = Effect::Code(user_id(1), AcquisitionCode { sha256: digest(23, n), ..code() });
            let id = request(1, 1).id;
            let done = if n % 3 == 0 {
                store.end_approval(id, Outcome::Refused, &staff_id(n), at(20), event("approval.ended")).await
            } else {
                store.execute_approval(id, &staff_id(n), at(20), &effect, event("approval.ended")).await
            };
            (n, done)
        });
    }
    let results = tasks.join_all().await;
    let winners: Vec<u32> = results.iter().filter(|(_, done)| done.is_ok()).map(|(n, _)| *n).collect();
    let [winner] = winners[..] else { panic!("{winners:?}") };
    for (n, done) in &results {
        match done {
            Err(StoreError::Conflict(Conflict::Barred(Barred::OwnRequest))) => assert_eq!(*n, 1),
            Err(StoreError::Conflict(Conflict::Barred(Barred::NotOpen))) | Ok(()) => {}
            Err(error) => panic!("{n}: {error:?}"),
        }
    }
    let ended = store.approval(request(1, 1).id).await.expect("a query").expect("the request").end;
    assert_eq!(ended.map(|end| end.by), Some(staff_id(winner)));
    let code = store.acquisition_code(&user_id(1)).await.expect("a query").map(|code| code.sha256);
    assert_eq!(code, (winner % 3 != 0).then(|| digest(23, winner)), "the winner's, or none");
    let actions = verified_actions(&*store).await;
    assert_eq!(actions.iter().filter(|action| *action == "approval.ended").count(), 1);
}

pub async fn searches_find_by_beginning_and_go_on(store: impl Ledger) {
    customers(&store, 0).await;
    let other = ContractNumber::parse("7654321").expect("a number");
    let named = |n: u32, name: &str| User { display_name: name.to_owned(), ..user(n, Role::General) };
    let contract = ca_core::domain::contract::Contract {
        number: other.clone(),
        name: "北海運輸株式会社".to_owned(),
        ..contract(9)
    };
    store.register_contract(&contract, event("contract.registered")).await.expect("a contract");
    let people = ["山田 一郎", "山田 一郎", "山田 二郎", "山本 三郎", "%山田"];
    for (n, name) in (1..).zip(people) {
        let user = User { contract: other.clone(), ..named(n, name) };
        store.register_user(&user, event("user.registered")).await.expect("a user");
    }
    let found = store.contracts_by_name("北海", None, 10).await.expect("a query");
    assert_eq!(found.len(), 2);
    let after = Some((found[0].name.as_str(), &found[0].number));
    assert_eq!(store.contracts_by_name("北海", after, 10).await.expect("a query"), found[1..]);
    assert_eq!(store.contracts_by_name("北海商", None, 10).await.expect("a query")[0].number, number());

    let ids = |users: Vec<User>| users.into_iter().map(|user| user.id).collect::<Vec<_>>();
    let found = store.users_by_name("山田", None, 2).await.expect("a query");
    let after = found.last().map(|user| (user.display_name.clone(), user.id.clone())).expect("two users");
    assert_eq!(ids(found), [user_id(1), user_id(2)], "of one name, by ID");
    let rest = store.users_by_name("山田", Some((&after.0, &after.1)), 2).await.expect("a query");
    assert_eq!(ids(rest), [user_id(3)]);
    for none in ["%", "_", "山田%", "' OR 1=1 --"] {
        let found = ids(store.users_by_name(none, None, 10).await.expect("a query"));
        assert_eq!(found, if none == "%" { vec![user_id(5)] } else { vec![] }, "{none}");
    }
    let found = ids(store.users_by_id("user-00000", None, 2).await.expect("a query"));
    let rest = ids(store.users_by_id("user-00000", found.last(), 10).await.expect("a query"));
    assert_eq!((found.len(), rest.first()), (2, Some(&user_id(2))));
    assert_eq!(store.users_by_id("nobody", None, 2).await.expect("a query"), []);
}

pub async fn a_token_is_found_by_its_serial(store: impl Ledger) {
    customers(&store, 2).await;
    let token = |n: u32| TokenSerial::parse(device(n).serial.as_str()).expect("a serial");
    store.assign_device(&user_id(2), Some(&device(7)), event("token.assigned")).await.expect("assigned");
    issue(&store, 1).await;
    let of = async |n| {
        let users = store.users_by_token(&token(n)).await.expect("a query");
        users.into_iter().map(|user| user.id).collect::<Vec<_>>()
    };
    assert_eq!(of(7).await, [user_id(2)]);
    assert_eq!(of(1).await, [user_id(1)]);
    store
        .revoke(&issuer(), &serial(1), RevocationReason::Unspecified, at(5), event("certificate.revoked"))
        .await
        .expect("revoked");
    assert_eq!(of(1).await, []);
}

pub async fn the_trail_is_read_backwards(store: impl Ledger) {
    let row = |n: i64, action: &'static str, subject: &str| {
        let event = event(action);
        ca_core::domain::audit::AuditEvent { at: at(n), subject: subject.to_owned(), ..event }
    };
    for n in 1..=6 {
        store.append(row(n, "user.unlocked", "user-1")).await.expect("a row");
        store.append(row(n, "certificate.issued", "user-1")).await.expect("a row");
        store.append(row(n, "user.registered", "user-2")).await.expect("a row");
    }
    let sequences = |rows: Vec<ca_core::domain::audit::AuditRow>| {
        rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>()
    };
    let about = store.audit_about("user-1", u64::MAX, 2).await.expect("a query");
    assert_eq!(sequences(about), [16, 13]);
    let about = store.audit_about("user-1", 13, 10).await.expect("a query");
    assert_eq!(sequences(about), [10, 7, 4, 1]);

    let all = AuditFilter::default();
    let before = |filter: AuditFilter, before: u64, window: u64| {
        let store = &store;
        async move { sequences(store.audit_before(&filter, before, window, 4).await.expect("a query")) }
    };
    assert_eq!(before(all.clone(), u64::MAX, u64::MAX).await, [18, 17, 16, 15]);
    assert_eq!(before(all.clone(), 15, 2).await, [14, 13]);
    let users = AuditFilter { action: Some("user.".to_owned()), ..all.clone() };
    assert_eq!(before(users, 19, 19).await, [18, 16, 15, 13]);
    let exact = AuditFilter { action: Some("user.unlocked".to_owned()), ..all.clone() };
    assert_eq!(before(exact, 19, 19).await, [16, 13, 10, 7]);
    let partly = AuditFilter { action: Some("user".to_owned()), ..all.clone() };
    assert_eq!(before(partly, 19, 19).await, [0; 0]);
    let timed = AuditFilter { from: Some(at(2)), until: Some(at(3)), ..all.clone() };
    assert_eq!(before(timed, 19, 19).await, [6, 5, 4]);
    let whose =
        AuditFilter { actor: Some("operator:tester".to_owned()), subject: Some("user-2".to_owned()), ..all };
    assert_eq!(before(whose, 10, 9).await, [9, 6, 3]);
}

/// A row in each of these tables, for tests that need them all filled.
pub async fn keep_some(store: &impl Ledger) {
    put(store, 1..=2).await;
    store.open_staff_session(&session(1, 1), event("staff.login")).await.expect("a session");
    store.ask(&request(1, 1), event("approval.asked")).await.expect("asked");
    let (id, by) = (request(1, 1).id, staff_id(2));
    store.end_approval(id, Outcome::Refused, &by, at(20), event("approval.declined")).await.expect("refused");
}
