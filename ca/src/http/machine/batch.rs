//! Batches: the body is read once, each entry by itself on a task of its own, and answered in order.

use std::sync::Arc;

use axum::{extract::Request, http::StatusCode};
use bytes::Bytes;
use ca_core::domain::machine::{Machine, MachineRole};
use ca_wire::{
    machine::{EntryResult, MAX_ENTRIES},
    problem::Code,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Admitted, MachineApi};
use crate::http::{body, connection::Peer, problem::Refused, support::SupportId};

/// What a batch is about.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// In metrics.
    pub(super) step: &'static str,
    /// What the machine must be registered for.
    pub(super) role: MachineRole,
    /// Octets that an entry may have, on average.
    pub(super) entry_limit: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

/// Answers every entry of a batch with `job`, many at a time.
pub(super) async fn run<E, T, F>(
    api: &Arc<MachineApi>,
    kind: Kind,
    (support_id, peer): (SupportId, &Peer),
    request: Request,
    job: impl Fn(Arc<MachineApi>, Arc<Machine>, E) -> F + Clone + Send + 'static,
) -> Result<Vec<EntryResult<T>>, Refused>
where
    E: DeserializeOwned + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<(StatusCode, T), Refused>> + Send,
{
    let admitted = api.admit(peer, kind.role).await?;
    let (parts, octets) = request.into_parts();
    let octets = body::json_octets(&parts, octets, kind.entry_limit * MAX_ENTRIES).await?;
    let entries = split(&octets)?;
    api.charge(&admitted, peer, entries.len()).await?;
    let admitted = Arc::new(admitted);
    let start = |entry: Bytes| {
        let (api, admitted, job) = (api.clone(), admitted.clone(), job.clone());
        let detached = api.detached.clone();
        detached.spawn(async move {
            let ended = one(&api, &admitted, &entry, job).await;
            api.metrics.outcome(kind.step, ended.as_ref().map_or_else(|r| r.code.as_str(), |_| "done"));
            ended
        })
    };
    let tasks: Vec<_> = entries.into_iter().map(start).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        let ended = task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an entry broke off");
            Err(Refused::new(Code::Internal).because("Tell the help desk the support ID."))
        });
        results.push(match ended {
            Ok((status, result)) => {
                EntryResult { status: status.as_u16(), result: Some(result), problem: None }
            }
            Err(refused) => {
                let problem = refused.problem(support_id);
                EntryResult { status: problem.status, result: None, problem: Some(problem) }
            }
        });
    }
    Ok(results)
}

/// The entries as they stand in the body; what they say is read later, each by itself.
fn split(octets: &Bytes) -> Result<Vec<Bytes>, Refused> {
    let Entries { entries } = body::parse("body", octets)?;
    if entries.is_empty() {
        return Err(Refused::new(Code::MalformedRequest).because("The batch has no entries."));
    }
    if entries.len() > MAX_ENTRIES {
        return Err(
            Refused::new(Code::TooLarge).because(format!("A batch has at most {MAX_ENTRIES} entries."))
        );
    }
    Ok(entries.into_iter().map(|entry| octets.slice_ref(entry.get().as_bytes())).collect())
}

async fn one<E, T, F>(
    api: &Arc<MachineApi>,
    admitted: &Admitted,
    entry: &Bytes,
    job: impl Fn(Arc<MachineApi>, Arc<Machine>, E) -> F,
) -> Result<(StatusCode, T), Refused>
where
    E: DeserializeOwned,
    F: Future<Output = Result<(StatusCode, T), Refused>>,
{
    let _turn = admitted.gate.turn().await;
    let entry = body::parse("entry", entry)?;
    job(api.clone(), admitted.machine.clone(), entry).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(entries: &[&str]) -> Result<Vec<Bytes>, Code> {
        let text = format!(r#"{{"entries": [{}]}}"#, entries.join(", "));
        split(&Bytes::from(text)).map_err(|refused| refused.code)
    }

    #[test]
    fn entries_stand_apart_whatever_they_say() {
        let entries = batch(&[r#"{"a": [1, "]}"]}"#, "7", r#""\"{""#]).expect("entries");
        assert_eq!(entries, [r#"{"a": [1, "]}"]}"#, "7", r#""\"{""#]);
        assert_eq!(batch(&[]), Err(Code::MalformedRequest));
        assert_eq!(batch(&["{"]), Err(Code::MalformedRequest));
        assert_eq!(batch(&vec!["{}"; MAX_ENTRIES]).map(|entries| entries.len()), Ok(MAX_ENTRIES));
        assert_eq!(batch(&vec!["{}"; MAX_ENTRIES + 1]), Err(Code::TooLarge));
        let unknown = split(&Bytes::from_static(br#"{"entries": [{}], "more": 1}"#));
        assert_eq!(unknown.map_err(|refused| refused.code), Err(Code::MalformedRequest));
    }
}
