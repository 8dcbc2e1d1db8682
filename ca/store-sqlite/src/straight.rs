//! A batch of hot facts in one go: one text with everything from BEGIN to COMMIT, because each question to SQLite's thread
//! costs two changes of threads, and on a busy machine a wait each.
//!
//! It goes through only when every fact can be written and the trail's head is the one that is remembered; else a
//! constraint refuses it, and nothing is written. Which fact it was is found out by writing them again with care.

use ca_core::domain::audit::AuditPosition;
use sqlx::SqliteConnection;

use crate::{
    audit::Trail,
    bulk::Asked,
    enrolment::JsonEvidence,
    failure::Failure,
    heap::Heap,
    intent::{JsonIntent, NewIntent},
    issued::{JsonIssued, NewIssued},
    json::json,
    refusal::is_refusal,
};

/// Writes and commits all facts behind the head `last` of the audit trail. Returns the new head, or `None` when they were
/// refused and nothing is written.
pub(crate) async fn commit(
    connection: &mut SqliteConnection,
    intents: &mut [Asked<NewIntent>],
    issued: &mut [Asked<NewIssued>],
    last: AuditPosition,
) -> Result<Option<AuditPosition>, sqlx::Error> {
    let mut trail = Trail::behind(last);
    intents.iter().map(Asked::audit).chain(issued.iter().map(Asked::audit)).for_each(|row| trail.append(row));
    match execute(connection, intents, issued, &trail).await {
        Ok(()) => {
            for intent in intents {
                intent.written(());
            }
            for certificate in issued {
                // Revoked ones are refused.
                certificate.written(false);
            }
            Ok(Some(trail.head()))
        }
        Err(error) => {
            Failure::from(error).isolate(is_refusal)?;
            sqlx::query("ROLLBACK").execute(connection).await?;
            Ok(None)
        }
    }
}

async fn execute(
    connection: &mut SqliteConnection,
    intents: &[Asked<NewIntent>],
    issued: &[Asked<NewIssued>],
    trail: &Trail,
) -> Result<(), sqlx::Error> {
    let mut heap = Heap::default();
    let records = json(intents.iter().map(|asked| JsonIntent::of(&asked.fact().certificate, &mut heap)))?;
    let evidence = json(
        intents
            .iter()
            .map(Asked::fact)
            .map(|intent| JsonEvidence::of(intent.certificate.intent, &intent.evidence, &mut heap)),
    )?;
    let certificates = json(issued.iter().map(|asked| JsonIssued::of(asked.fact(), &mut heap)))?;
    sqlx::query(include_str!("straight.sql"))
        .bind(records)
        .bind(heap.into_octets())
        .bind(count(intents))
        .bind(evidence)
        .bind(certificates)
        .bind(count(issued))
        .bind(trail.json()?)
        .execute(connection)
        .await
        .map(drop)
}

fn count<T>(facts: &[T]) -> i64 {
    i64::try_from(facts.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use ca_core::ports::store::{AuditStore, CertificateStore};
    use sqlx::Connection;
    use store_contract::samples::{
        at, customers, der, enrolment, event, evidence, issuer, position, record, serial, verified_actions,
    };

    use super::*;
    use crate::{Options, SqliteStore, audit, migrate, schema};

    fn intent(n: u32) -> Asked<NewIntent> {
        let fact = NewIntent { certificate: record(n), evidence: evidence("accepted") };
        Asked::new(fact, event("certificate.intended")).0
    }

    fn certificate(n: u32) -> Asked<NewIssued> {
        let (issuer, serial, der, position) = (issuer(), serial(n), der(n), position(n));
        Asked::new(NewIssued { issuer, serial, der, position, at: at(9) }, event("certificate.issued")).0
    }

    /// What is refused leaves nothing behind and lets others go on; what goes through is all there.
    #[tokio::test]
    async fn all_goes_through_or_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        migrate(&path).await.expect("created");
        let store = SqliteStore::open(&path, &Options::default()).await.expect("the store");
        customers(&store, 3).await;
        for n in 1..=3 {
            store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await.expect("opened");
        }
        let options = schema::connect_options(&path, Options::default().busy_timeout);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
        let head = audit::head(&mut connection).await.expect("the head");
        let mut write = async |intents: &[u32], certificates: &[u32], head| {
            let mut intents: Vec<_> = intents.iter().map(|n| intent(*n)).collect();
            let mut certificates: Vec<_> = certificates.iter().map(|n| certificate(*n)).collect();
            commit(&mut connection, &mut intents, &mut certificates, head).await.expect("no fault")
        };

        assert_eq!(write(&[1], &[], AuditPosition::GENESIS).await, None, "somebody else wrote");
        assert_eq!(write(&[1, 9], &[], head).await, None, "there is no such enrolment");
        assert_eq!(write(&[1, 1], &[], head).await, None, "the same twice");
        assert_eq!(write(&[1], &[2], head).await, None, "there is no such intent yet");
        let first = write(&[1, 2], &[], head).await.expect("written");
        assert_eq!(write(&[1], &[], first).await, None, "it is there already");
        assert_eq!(write(&[], &[1, 1], first).await, None, "the same twice");
        let second = write(&[3], &[1, 2], first).await.expect("both kinds at once");
        assert_eq!(write(&[], &[1], second).await, None, "it is there already");
        write(&[], &[3], second).await.expect("written");

        let actions = verified_actions(&store).await;
        assert_eq!(store.head().await.expect("a query").sequence, second.sequence + 1);
        for action in ["certificate.intended", "certificate.issued"] {
            assert_eq!(actions.iter().filter(|found| *found == action).count(), 3, "{action}");
        }
        for n in 1..=3 {
            let found =
                store.certificate(&issuer(), &serial(n)).await.expect("a query").expect("a certificate");
            assert_eq!(found.der(), Some(&*der(n)));
            assert_eq!(store.evidence(record(n).intent).await.expect("a query"), Some(evidence("accepted")));
        }
    }
}
