//! 利用者管理: what a master may do to general users, with the 確認用パスワード and never beyond the own contract.

use ca_core::{
    app::{
        customers::{CustomerError, NewContract, NewUser},
        manage_users::{Change, ManageError, NewGeneralUser},
        password_policy::WeakPassword,
        session::SessionError,
    },
    domain::{
        certificate::CertificateState,
        contract::Plan,
        ids::ContractNumber,
        management::Denied,
        user::{Role, User, UserState},
    },
    ports::store::{CertificateStore, CustomerStore},
    testing::Fault,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    device::device,
    pki::issuer_id,
    world::{CONFIRMATION, GENERAL, MASTER, PASSWORD, World, clerk, user},
};

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

async fn change(world: &World, target: &str, change: Change) -> Result<(), ManageError> {
    world.manage.change(&user(MASTER), secret(CONFIRMATION), &user(target), change).await
}

async fn found(world: &World, id: &str) -> User {
    world.store.user(&user(id)).await.expect("the store").expect("a user")
}

fn newcomer(id: &str) -> NewGeneralUser {
    NewGeneralUser {
        id: user(id),
        display_name: "山田 花子".to_owned(),
        email: Some("hanako@hokkai.example".to_owned()),
        password: secret(PASSWORD),
    }
}

/// Rule 14: "Suspension (利用停止) is a state of the account"; "only the branch (or the master, for a general user) lifts it."
#[tokio::test]
async fn rule_14_a_master_suspends_lifts_and_unlocks_general_users() {
    let world = World::new().await;
    let der = world.enrol(GENERAL, 1_000_001).await.der().expect("a certificate").to_vec();
    let opened = world.logged_in(&der, PASSWORD).await.expect("a login");
    for _ in 0..2 {
        change(&world, GENERAL, Change::Suspend).await.expect("suspended, once or twice");
    }
    let ended = world.sessions.run(opened.session_token.expose_secret(), Some(&der)).await;
    assert!(matches!(ended, Err(SessionError::Ended(_))), "{ended:?}");
    change(&world, GENERAL, Change::Resume).await.expect("lifted");
    for _ in 0..3 {
        world.logged_in(&der, "wrong").await.expect_err("wrong");
    }
    assert!(found(&world, GENERAL).await.locked_at.is_some());
    change(&world, GENERAL, Change::Unlock).await.expect("unlocked");
    change(&world, GENERAL, Change::SetPassword(secret("a fresh start for you"))).await.expect("set");
    world.logged_in(&der, "a fresh start for you").await.expect("a login");
    for action in ["user.suspended", "user.resumed", "user.unlocked", "user.password-set"] {
        let rows = world.store.audit_rows();
        let by_master = rows.iter().any(|row| row.action == action && row.actor == format!("user:{MASTER}"));
        assert!(by_master, "{action} isn't in the trail");
    }
}

/// Rule 12: "a token serial that the bank (or the master) assigned to that user".
#[tokio::test]
async fn rule_12_a_master_assigns_token_serials() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, None).await;
    change(&world, "hokkai-02", Change::Assign(Some(device(1_000_002)))).await.expect("assigned");
    assert_eq!(found(&world, "hokkai-02").await.assigned_device, Some(device(1_000_002)));
    let taken = change(&world, "hokkai-02", Change::Assign(Some(device(1_000_001)))).await;
    assert!(matches!(taken, Err(ManageError::Customer(CustomerError::DeviceInUse))), "{taken:?}");
    change(&world, "hokkai-02", Change::Assign(None)).await.expect("taken away");
    assert_eq!(found(&world, "hokkai-02").await.assigned_device, None);
}

/// Rule 1: "At most 1 master + 9 general per contract"; rule 7: an ID is "never reused".
#[tokio::test]
async fn rule_1_a_master_registers_within_the_plan() {
    let world = World::new().await;
    let register = |id: &'static str, new: NewGeneralUser| {
        let world = &world;
        async move {
            assert_eq!(new.id, user(id));
            world.manage.register(&user(MASTER), secret(CONFIRMATION), new).await
        }
    };
    let new = register("hokkai-02", newcomer("hokkai-02")).await.expect("a user");
    assert_eq!((new.role, new.contract), (Role::General, found(&world, MASTER).await.contract));
    let again = register("hokkai-02", newcomer("hokkai-02")).await;
    assert!(matches!(again, Err(ManageError::Customer(CustomerError::Taken))), "{again:?}");
    let weak =
        register("hokkai-03", NewGeneralUser { password: secret("short"), ..newcomer("hokkai-03") }).await;
    assert!(
        matches!(weak, Err(ManageError::Customer(CustomerError::Password(WeakPassword::Length)))),
        "{weak:?}"
    );
    assert!(world.store.user(&user("hokkai-03")).await.expect("the store").is_none(), "half a user is left");
    for number in 3..=9 {
        let id = format!("hokkai-{number:02}");
        let new = world.manage.register(&user(MASTER), secret(CONFIRMATION), newcomer(&id)).await;
        new.expect("room for nine");
    }
    let full = register("hokkai-10", newcomer("hokkai-10")).await;
    assert!(matches!(full, Err(ManageError::Customer(CustomerError::PlanExhausted))), "{full:?}");
    change(&world, "hokkai-09", Change::Remove).await.expect("removed");
    register("hokkai-10", newcomer("hokkai-10")).await.expect("the place is free");
    let reused = register("hokkai-09", newcomer("hokkai-09")).await;
    assert!(matches!(reused, Err(ManageError::Customer(_))), "{reused:?}");
}

#[tokio::test]
async fn a_removed_user_leaves_no_certificate_that_works() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    change(&world, GENERAL, Change::Remove).await.expect("removed");
    let state =
        world.store.certificate(&issuer_id(), &record.serial).await.expect("the store").expect("a row").state;
    assert!(matches!(state, CertificateState::Revoked { .. }), "{state:?}");
    let removed = found(&world, GENERAL).await;
    assert_eq!((removed.state, removed.assigned_device, removed.email), (UserState::Removed, None, None));
    let again = change(&world, GENERAL, Change::Remove).await;
    assert!(matches!(again, Err(ManageError::Denied(Denied::NotYours))), "{again:?}");

    // When the revocation can't be written, the user isn't gone either.
    let world = World::new().await;
    world.enrol(GENERAL, 1_000_001).await;
    world.store.faults().order("revoke", Fault::Before);
    let failed = change(&world, GENERAL, Change::Remove).await;
    assert!(matches!(failed, Err(ManageError::Failure(_))), "{failed:?}");
    assert_eq!(found(&world, GENERAL).await.state, UserState::Active);
    change(&world, GENERAL, Change::Remove).await.expect("removed");
}

/// Rule 10: "a second password of the master".
#[tokio::test]
async fn rule_10_without_the_confirmation_password_nothing_changes() {
    let world = World::new().await;
    for _ in 0..2 {
        let wrong =
            world.manage.change(&user(MASTER), secret("wrong"), &user(GENERAL), Change::Suspend).await;
        assert!(matches!(wrong, Err(ManageError::Confirmation)), "{wrong:?}");
    }
    let wrong = world.manage.register(&user(MASTER), secret("wrong"), newcomer("hokkai-02")).await;
    assert!(matches!(wrong, Err(ManageError::Confirmation)), "{wrong:?}");
    assert_eq!((world.rows("user.change-refused"), world.rows("user.locked")), (3, 1));
    let locked = change(&world, GENERAL, Change::Suspend).await;
    assert!(matches!(locked, Err(ManageError::Denied(Denied::NotAMaster))), "{locked:?}");
    assert_eq!(found(&world, GENERAL).await.state, UserState::Active);
    assert!(world.store.user(&user("hokkai-02")).await.expect("the store").is_none());
}

#[tokio::test]
async fn nobody_manages_another_contract_a_master_or_without_being_one() {
    let world = World::new().await;
    let number = ContractNumber::parse("7654321").expect("a number");
    let new = NewContract { number: number.clone(), name: "他社".to_owned(), plan: Plan::default() };
    world.customers.register_contract(clerk(), new).await.expect("a contract");
    let stranger = NewUser {
        id: user("stranger-1"),
        contract: number,
        role: Role::General,
        display_name: "他人".to_owned(),
        email: None,
    };
    world.customers.register_user(clerk(), stranger).await.expect("a user");
    for (target, denied) in
        [("stranger-1", Denied::NotYours), ("nobody-00", Denied::NotYours), (MASTER, Denied::Master)]
    {
        for asked in [Change::Suspend, Change::Unlock, Change::Remove, Change::Assign(None)] {
            let name = asked.as_str();
            let error = change(&world, target, asked).await;
            assert!(matches!(error, Err(ManageError::Denied(found)) if found == denied), "{name}: {error:?}");
        }
    }
    let general = world.manage.change(&user(GENERAL), secret(PASSWORD), &user(GENERAL), Change::Unlock).await;
    assert!(matches!(general, Err(ManageError::Denied(Denied::NotAMaster))), "{general:?}");
    let general = world.manage.register(&user(GENERAL), secret(PASSWORD), newcomer("hokkai-02")).await;
    assert!(matches!(general, Err(ManageError::Denied(Denied::NotAMaster))), "{general:?}");
    assert_eq!(world.rows("user.change-refused"), 14);
    assert_eq!(found(&world, "stranger-1").await.state, UserState::Active);
}
