//! One bank with its authority: every use case wired to the same fakes.

use std::sync::Arc;

use ca_core::{
    app::{
        accord::{Accord, Accords},
        account::Account,
        answer_ocsp::AnswerOcsp,
        attempts::Attempts,
        audit_verify::VerifyAudit,
        custody::unblock::{DecideUnblocking, UnblockTerms},
        customers::{CodeTerms, Customers, NewContract, NewUser},
        enrol::{
            applicant::{Caller, Credentials, PasswordCredentials},
            bearer::BearerKey,
            certify::{Certified, Certify, CertifyEnrolment, CertifyError},
            confirm::ConfirmEnrolment,
            open::{Open, OpenEnrolment, OpenError, Opened},
        },
        inventory::Inventory,
        issue::Issue,
        login::{LogIn, LoggedIn, Login, LoginError},
        logout::LogOut,
        manage_users::ManageUsers,
        policies::Policies,
        publish_crl::PublishCrl,
        reconcile::{Reconcile, ReconcileTerms},
        revoke::Revoke,
        session::{CheckSession, SessionTerms},
        throttles::Throttles,
        trust::Trusted,
    },
    domain::{
        certificate::CertificateRecord,
        contract::Plan,
        crl::CrlPolicy,
        ids::SerialNumber,
        policy::IssuancePolicy,
        revocation::RevocationReason,
        user::{PasswordKind, Role},
    },
    ports::{
        rng::Rng,
        store::{CertificateStore, RevokeOutcome},
    },
    testing::{CountingRng, ManualClock, MemoryForm, MemorySigner, MemoryStore, PlainPasswords},
};
use jiff::SignedDuration;

pub(crate) use crate::names::{
    ATTEMPTS, CONFIRMATION, GENERAL, MASTER, PASSWORD, SOURCE, at, clerk, contract, key, user,
};
use crate::{
    device::{FIRMWARE, Maker, Statement, Token, device},
    pki::{Authority, issuer_id},
};

pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) signer: Arc<MemorySigner>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) passwords: Arc<PlainPasswords>,
    pub(crate) form: Arc<MemoryForm>,
    pub(crate) authority: Authority,
    pub(crate) maker: Maker,
    pub(crate) customers: Arc<Customers>,
    pub(crate) account: Account,
    pub(crate) manage: ManageUsers,
    pub(crate) open: Arc<OpenEnrolment>,
    pub(crate) certify: Arc<CertifyEnrolment>,
    pub(crate) confirm: ConfirmEnrolment,
    pub(crate) log_in: LogIn,
    pub(crate) log_out: LogOut,
    pub(crate) sessions: CheckSession,
    pub(crate) revoke: Arc<Revoke>,
    pub(crate) reconcile: Reconcile,
    pub(crate) accord: Arc<Accord>,
    pub(crate) publish: PublishCrl,
    pub(crate) ocsp: AnswerOcsp,
    pub(crate) audit: VerifyAudit,
}

/// The fakes behind the use cases.
struct Backstage {
    store: Arc<MemoryStore>,
    signer: Arc<MemorySigner>,
    clock: Arc<ManualClock>,
    passwords: Arc<PlainPasswords>,
    accords: Accords,
    accord: Arc<Accord>,
    attempts: Arc<Attempts>,
}

impl Backstage {
    fn confirm(&self) -> ConfirmEnrolment {
        ConfirmEnrolment {
            certificates: self.store.clone(),
            audit: self.store.clone(),
            clock: self.clock.clone(),
            budget: Arc::default(),
        }
    }

    fn sessions(&self) -> CheckSession {
        CheckSession {
            customers: self.store.clone(),
            logins: self.store.clone(),
            certificates: self.store.clone(),
            audit: self.store.clone(),
            clock: self.clock.clone(),
            terms: SessionTerms::default(),
        }
    }

    fn revoke(&self) -> Revoke {
        Revoke {
            customers: self.store.clone(),
            logins: self.store.clone(),
            certificates: self.store.clone(),
            revocations: self.store.clone(),
            audit: self.store.clone(),
            signer: self.signer.clone(),
            signers: self.store.clone(),
            accords: self.accords.clone(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
            issuer: issuer_id(),
            attempts: self.attempts.clone(),
            lock_at: 3,
        }
    }

    fn account(&self) -> Account {
        Account {
            customers: self.store.clone(),
            logins: self.store.clone(),
            audit: self.store.clone(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
            attempts: self.attempts.clone(),
            lock_at: 3,
        }
    }

    fn inventory(&self, revoke: Arc<Revoke>) -> Inventory {
        Inventory {
            tokens: self.store.clone(),
            custody: self.store.clone(),
            revoke,
            audit: self.store.clone(),
            clock: self.clock.clone(),
        }
    }

    fn manage(&self, customers: Arc<Customers>, revoke: Arc<Revoke>) -> ManageUsers {
        ManageUsers {
            customers,
            inventory: Arc::new(self.inventory(revoke.clone())),
            unblockings: DecideUnblocking {
                custody: self.store.clone(),
                audit: self.store.clone(),
                clock: self.clock.clone(),
                terms: UnblockTerms::default(),
            },
            revoke,
            certificates: self.store.clone(),
            logins: self.store.clone(),
            audit: self.store.clone(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
            attempts: self.attempts.clone(),
            lock_at: 3,
        }
    }

    fn reconcile(&self, authority: &Authority) -> Reconcile {
        Reconcile {
            certificates: self.store.clone(),
            books: self.store.clone(),
            responders: self.store.clone(),
            revocations: self.store.clone(),
            signers: self.store.clone(),
            audit: self.store.clone(),
            signer: self.signer.clone(),
            clock: self.clock.clone(),
            issuer: Arc::new(authority.issuer.clone()),
            accord: self.accord.clone(),
            terms: ReconcileTerms::default(),
        }
    }

    fn publish(&self, authority: &Authority) -> PublishCrl {
        PublishCrl {
            revocations: self.store.clone(),
            audit: self.store.clone(),
            signer: self.signer.clone(),
            signers: self.store.clone(),
            accords: self.accords.clone(),
            clock: self.clock.clone(),
            issuer: Arc::new(authority.issuer.clone()),
            policy: CrlPolicy::default(),
        }
    }

    fn ocsp(&self, authority: &Authority) -> AnswerOcsp {
        AnswerOcsp::new(
            self.store.clone(),
            self.store.clone(),
            self.signer.clone(),
            self.clock.clone(),
            vec![(authority.issuer.clone(), authority.responder.clone())],
        )
    }
}

impl World {
    /// The token inventory.
    pub(crate) fn inventory(&self) -> Inventory {
        Inventory {
            tokens: self.store.clone(),
            custody: self.store.clone(),
            revoke: self.revoke.clone(),
            audit: self.store.clone(),
            clock: self.clock.clone(),
        }
    }

    /// A bank on a Tuesday morning, with a contract, a master and one general user; token 1000001 is assigned to the
    /// general user, 1000000 to the master.
    pub(crate) async fn new() -> Self {
        let world = Self::empty(Authority::until(2036));
        world.reconcile.run().await.expect("ledger and journal agree");
        let new =
            NewContract {
                number: contract(), name: "北海商事株式会社".to_owned(), plan: Plan::default()
            };
        world.customers.register_contract(clerk(), new).await.expect("a contract");
        world.register(MASTER, Role::Master, Some(1_000_000)).await;
        world.register(GENERAL, Role::General, Some(1_000_001)).await;
        world.set_password(MASTER, PasswordKind::Confirmation, CONFIRMATION).await;
        world
    }

    pub(crate) fn empty(authority: Authority) -> Self {
        let signer = Arc::new(MemorySigner::new(
            issuer_id(),
            authority.issuing_key.serialized_der(),
            authority.responder_key.serialized_der(),
        ));
        let clock = Arc::new(ManualClock::at(at("2026-11-24T10:00:00+09:00")));
        let rng = Arc::new(CountingRng::default());
        Self::over(authority, Maker::new(), (Arc::default(), signer, clock, rng))
    }

    /// The authority's process ends and another begins: what isn't in ledger or journal is forgotten.
    pub(crate) fn restarted(self) -> Self {
        Self::over(self.authority, self.maker, (self.store, self.signer, self.clock, self.open.rng.clone()))
    }

    fn over(
        authority: Authority,
        maker: Maker,
        (store, signer, clock, rng): (Arc<MemoryStore>, Arc<MemorySigner>, Arc<ManualClock>, Arc<dyn Rng>),
    ) -> Self {
        let passwords = Arc::new(PlainPasswords::default());
        let form = Arc::<MemoryForm>::default();
        let bank = Arc::new(IssuancePolicy::default());
        let policies = Arc::new(Policies::new(store.clone(), form.clone(), clock.clone(), bank));
        let accords = Accords::new([issuer_id()]);
        let accord = accords.of(&issuer_id()).expect("the issuer's");
        let issue = Arc::new(Issue {
            certificates: store.clone(),
            audit: store.clone(),
            signer: signer.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            profile: Arc::new(authority.profile.clone()),
            accord: accord.clone(),
        });
        let trusted = Arc::new(Trusted::files(maker.anchors()));
        let throttles = Arc::<Throttles>::default();
        let attempts = Arc::new(Attempts::new(ATTEMPTS));
        let open = OpenEnrolment {
            trust: trusted.clone(),
            customers: store.clone(),
            logins: store.clone(),
            certificates: store.clone(),
            audit: store.clone(),
            passwords: passwords.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            throttles: throttles.clone(),
            budget: Arc::default(),
            policies: policies.clone(),
            inventory: store.clone(),
            bearer_key: BearerKey::generate(&*rng),
            challenge_lifetime: SignedDuration::from_mins(15),
            accord: accord.clone(),
        };
        let certify = CertifyEnrolment {
            certificates: store.clone(),
            audit: store.clone(),
            clock: clock.clone(),
            trust: trusted,
            policies: policies.clone(),
            inventory: store.clone(),
            issue,
            budget: Arc::default(),
        };
        let customers = Arc::new(Customers {
            customers: store.clone(),
            logins: store.clone(),
            audit: store.clone(),
            passwords: passwords.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            policies: policies.clone(),
            inventory: store.clone(),
        });
        let log_in = LogIn {
            customers: store.clone(),
            logins: store.clone(),
            certificates: store.clone(),
            audit: store.clone(),
            passwords: passwords.clone(),
            clock: clock.clone(),
            rng,
            issuer: issuer_id(),
            lock_at: 3,
            attempts: attempts.clone(),
            throttles,
            budget: Arc::default(),
        };
        let backstage = Backstage { store, signer, clock, passwords, accords, accord, attempts };
        let revoke = Arc::new(backstage.revoke());
        Self {
            account: backstage.account(),
            manage: backstage.manage(customers.clone(), revoke.clone()),
            customers,
            open: Arc::new(open),
            certify: Arc::new(certify),
            log_in,
            confirm: backstage.confirm(),
            log_out: LogOut { logins: backstage.store.clone(), clock: backstage.clock.clone() },
            sessions: backstage.sessions(),
            revoke,
            reconcile: backstage.reconcile(&authority),
            accord: backstage.accord.clone(),
            publish: backstage.publish(&authority),
            ocsp: backstage.ocsp(&authority),
            audit: VerifyAudit { audit: backstage.store.clone() },
            store: backstage.store,
            signer: backstage.signer,
            clock: backstage.clock,
            passwords: backstage.passwords,
            form,
            authority,
            maker,
        }
    }

    /// Registers a user with the login password and, if given, a token.
    pub(crate) async fn register(&self, id: &str, role: Role, token: Option<u32>) {
        let new = NewUser {
            id: user(id),
            contract: contract(),
            role,
            display_name: format!("山田 {id}"),
            email: None,
        };
        self.customers.register_user(clerk(), new).await.expect("a user");
        self.set_password(id, PasswordKind::Login, PASSWORD).await;
        if let Some(serial) = token {
            self.customers.assign_device(clerk(), &user(id), Some(&device(serial))).await.expect("a token");
        }
    }

    pub(crate) async fn set_password(&self, id: &str, kind: PasswordKind, password: &str) {
        let password = password.to_owned().into();
        self.customers.set_password(clerk(), &user(id), kind, password).await.expect("a password");
    }

    /// The bank revokes whatever certificate the user has.
    pub(crate) async fn revoke_user(&self, id: &str, reason: RevocationReason) {
        let outcome = self.revoke.by_user(clerk(), &user(id), reason).await.expect("the ledger");
        assert_eq!(outcome.expect("revoked").len(), 1);
    }

    pub(crate) async fn revoke_serial(
        &self,
        serial: &SerialNumber,
        reason: RevocationReason,
    ) -> RevokeOutcome {
        self.revoke.by_serial(clerk(), &issuer_id(), serial, reason).await.expect("the ledger")
    }

    pub(crate) async fn issue_code(&self, id: &str) -> secrecy::SecretString {
        let terms = CodeTerms { lifetime: SignedDuration::from_hours(24 * 80), attempts: 5 };
        let issued = self.customers.issue_acquisition_code(clerk(), &user(id), terms).await;
        issued.expect("an acquisition code").code
    }

    /// A request to open an enrolment, as the agent would send it.
    pub(crate) fn asked(id: &str, serial: u32, idempotency_key: &str) -> Open {
        let login = PasswordCredentials {
            password: PASSWORD.to_owned().into(),
            acquisition_code: None,
            source: "192.0.2.1".to_owned(),
        };
        Open {
            user_id: id.to_owned(),
            credentials: Credentials::Password(login),
            device: device(serial),
            tpm: None,
            renews: None,
            firmware: Some(FIRMWARE),
            idempotency_key: key(idempotency_key),
        }
    }

    /// What the user of a request knows, to be changed.
    pub(crate) fn login_of(open: &mut Open) -> &mut PasswordCredentials {
        match &mut open.credentials {
            Credentials::Password(login) => login,
            Credentials::Machine(machine) => panic!("opened by {}", machine.id),
        }
    }

    pub(crate) async fn opened(&self, id: &str, serial: u32, idempotency_key: &str) -> Opened {
        self.open.run(Self::asked(id, serial, idempotency_key)).await.expect("an enrolment")
    }

    pub(crate) async fn opening_fails(&self, open: Open) -> OpenError {
        match self.open.run(open).await {
            Ok(_) => panic!("the enrolment was opened"),
            Err(error) => error,
        }
    }

    pub(crate) fn certify_with(opened: &Opened, token: &Token) -> Certify {
        Certify {
            caller: Caller::Agent,
            enrolment: opened.enrolment.id,
            bearer: opened.bearer.clone(),
            idempotency_key: opened.enrolment.idempotency_key.clone(),
            csr: token.request(),
            evidence: token.evidence.clone(),
            challenge_signature: token.answer(&opened.enrolment.challenge),
            predecessor_signature: None,
        }
    }

    pub(crate) async fn certified(&self, opened: &Opened, token: &Token) -> Result<Certified, CertifyError> {
        self.certify.run(Self::certify_with(opened, token)).await
    }

    /// A user's whole enrolment; returns the ledger's row.
    pub(crate) async fn enrol(&self, id: &str, serial: u32) -> CertificateRecord {
        let opened = self.opened(id, serial, &format!("{id}-{serial}")).await;
        let token = self.maker.token(&Statement::of(serial));
        let certified = self.certified(&opened, &token).await.expect("a certificate");
        assert!(certified.is_new);
        self.record(&opened).await
    }

    pub(crate) async fn record(&self, opened: &Opened) -> CertificateRecord {
        let record = self.store.certificate_of_intent(opened.enrolment.id).await.expect("the store");
        record.expect("an intent")
    }

    pub(crate) async fn logged_in(&self, certificate: &[u8], password: &str) -> Result<LoggedIn, LoginError> {
        let login = Login {
            certificate: Some(certificate.to_vec()),
            login_id: None,
            password: password.to_owned().into(),
            source: SOURCE.to_owned(),
        };
        self.log_in.run(login).await
    }

    /// How many rows of the trail have this action.
    pub(crate) fn rows(&self, action: &str) -> usize {
        self.store.audit_actions().iter().filter(|found| *found == action).count()
    }

    /// The last row of the trail, as `action details`.
    pub(crate) fn last_row(&self) -> String {
        let rows = self.store.audit_rows();
        rows.last()
            .map(|row| format!("{} {}", row.action, row.details.replace('\n', " ")))
            .unwrap_or_default()
    }
}
