//! Contracts and users: the plan, names, passwords, tokens; each refusal with its row.

use ca_core::{
    app::{
        audit_verify::AuditVerifyError,
        customers::{CustomerError, NewContract, NewUser},
        password_policy::WeakPassword,
    },
    domain::{
        contract::Plan,
        revocation::RevocationReason,
        user::{PasswordKind, Role, UserState},
    },
};

use crate::{
    device::device,
    world::{CONFIRMATION, GENERAL, MASTER, PASSWORD, World, clerk, contract, user},
};

fn new_user(id: &str, role: Role) -> NewUser {
    NewUser { id: user(id), contract: contract(), role, display_name: "山田".to_owned(), email: None }
}

/// Rule 1, 発行数: "At most 1 master + 9 general per contract".
#[tokio::test]
async fn rule_1_a_contract_has_one_master_and_its_plans_general_users() {
    let world = World::new().await;
    for number in 2..=9 {
        let new = new_user(&format!("hokkai-{number:02}"), Role::General);
        world.customers.register_user(clerk(), new).await.expect("room for nine");
    }
    for (id, role) in [("hokkai-10", Role::General), ("hokkai-m2", Role::Master)] {
        let error = world.customers.register_user(clerk(), new_user(id, role)).await;
        assert!(matches!(error, Err(CustomerError::PlanExhausted)), "{error:?}");
        assert!(world.last_row().contains("reason=plan-exhausted"), "{}", world.last_row());
    }
}

/// Rule 7: "A user has one user ID (ログインID), unique in the bank, never changed, never reused."
#[tokio::test]
async fn rule_7_ids_are_never_used_again() {
    let world = World::new().await;
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Removed).await.expect("removed");
    let error = world.customers.register_user(clerk(), new_user(GENERAL, Role::General)).await;
    assert!(matches!(error, Err(CustomerError::Taken)), "{error:?}");
    let error = world.customers.set_state(clerk(), &user(GENERAL), UserState::Active).await;
    assert!(matches!(error, Err(CustomerError::UnknownUser)), "removed for good: {error:?}");
}

#[tokio::test]
async fn names_and_addresses_are_checked_before_they_reach_a_certificate() {
    let world = World::new().await;
    let name = "北海\u{202e}商事".to_owned();
    let number = ca_core::domain::ids::ContractNumber::parse("9999").expect("a number");
    let new = NewContract { number, name, plan: Plan::default() };
    let error = world.customers.register_contract(clerk(), new).await;
    assert!(matches!(error, Err(CustomerError::Name(_))), "{error:?}");
    let new = NewUser { display_name: "a\nb".to_owned(), ..new_user("hokkai-02", Role::General) };
    let error = world.customers.register_user(clerk(), new).await;
    assert!(matches!(error, Err(CustomerError::Name(_))), "{error:?}");
    for bad in ["", "a", "a@b", "a@b.", "@b.jp", "a b@c.jp", "a@b@c.jp", "a@c.jp\r\nBcc: x"] {
        let new = NewUser { email: Some(bad.to_owned()), ..new_user("hokkai-02", Role::General) };
        let error = world.customers.register_user(clerk(), new).await;
        assert!(matches!(error, Err(CustomerError::Email(_))), "{bad:?}: {error:?}");
    }
    let new =
        NewUser { email: Some("yamada@hokkai.example".to_owned()), ..new_user("hokkai-02", Role::General) };
    world.customers.register_user(clerk(), new).await.expect("a user");
    assert_eq!(world.rows("user.refused"), 9);
    assert_eq!(world.rows("contract.refused"), 1);
}

#[tokio::test]
async fn weak_passwords_are_refused_and_the_two_of_a_master_differ() {
    let world = World::new().await;
    let set = |id, kind, text: &str| world.customers.set_password(clerk(), id, kind, text.to_owned().into());
    let (master, general) = (user(MASTER), user(GENERAL));
    let weak = set(&general, PasswordKind::Login, "short").await;
    assert!(matches!(weak, Err(CustomerError::Password(WeakPassword::Length))), "{weak:?}");
    let same = set(&master, PasswordKind::Confirmation, PASSWORD).await;
    assert!(matches!(same, Err(CustomerError::Password(WeakPassword::SameAsOther))), "{same:?}");
    let same = set(&master, PasswordKind::Login, CONFIRMATION).await;
    assert!(matches!(same, Err(CustomerError::Password(WeakPassword::SameAsOther))), "{same:?}");
    let none = set(&general, PasswordKind::Confirmation, CONFIRMATION).await;
    assert!(matches!(none, Err(CustomerError::NotAMaster)), "{none:?}");
    assert_eq!(world.rows("user.password-refused"), 4);
    let rows = world.store.audit_rows();
    assert!(rows.iter().all(|row| !row.details.contains(PASSWORD) && !row.details.contains(CONFIRMATION)));
}

/// Rule 12: a serial belongs to at most one user.
#[tokio::test]
async fn rule_12_a_token_is_assigned_to_one_user() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, None).await;
    let (first, second) = (user(GENERAL), user("hokkai-02"));
    let token = device(1_000_001);
    let error = world.customers.assign_device(clerk(), &second, Some(&token)).await;
    assert!(matches!(error, Err(CustomerError::DeviceInUse)), "{error:?}");
    assert_eq!(world.rows("user.device-refused"), 1);
    world.enrol(GENERAL, 1_000_001).await;
    world.customers.assign_device(clerk(), &first, None).await.expect("released");
    let error = world.customers.assign_device(clerk(), &second, Some(&token)).await;
    assert!(matches!(error, Err(CustomerError::DeviceInUse)), "its certificate still lives: {error:?}");
    world.revoke_user(GENERAL, RevocationReason::CessationOfOperation).await;
    world.customers.assign_device(clerk(), &second, Some(&token)).await.expect("free again");
}

#[tokio::test]
async fn the_whole_trail_verifies_and_holds_no_secret() {
    let world = World::new().await;
    let code = world.issue_code(GENERAL).await;
    world.enrol(GENERAL, 1_000_001).await;
    let chain = world.audit.run().await.expect("a whole chain");
    assert_eq!(chain.rows, world.store.audit_rows().len() as u64);
    let code = secrecy::ExposeSecret::expose_secret(&code).to_owned();
    assert!(world.store.audit_rows().iter().all(|row| !row.details.contains(&code)));
    world.store.faults().order("rows_after", ca_core::testing::Fault::Before);
    assert!(matches!(world.audit.run().await, Err(AuditVerifyError::Failure(_))));
}
