//! What a ceremony would do, step by step, against the tokens as they are.

use jiff::Timestamp;
use serde::Serialize;

use super::now;
use super::record::event::Task;
use super::record::transcript::Progress;
use super::spec::{CertificateSpec, Origin, Source, Spec, SubjectKey};
use super::work::tokens::Obstacle;
use crate::worker::protocol::Leaving;

/// All steps, in their order.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The ceremony's title.
    pub ceremony: String,
    /// When certificates and CRLs would begin, by this host's clock.
    pub clock: Timestamp,
    /// The steps.
    pub steps: Vec<Step>,
    /// What stands in the way of it all.
    pub in_the_way: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Counts from 1.
    pub number: usize,
    /// For programs.
    pub task: Task,
    /// In words.
    pub what: String,
    /// Whether it is done already, in an interrupted ceremony.
    pub state: State,
    /// What stands in its way.
    pub in_the_way: Vec<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It will be done.
    ToDo,
    /// It was interrupted, and will be done again from its beginning.
    Interrupted,
    /// It is done.
    Done,
    /// Something stands in its way.
    Blocked,
}

impl Plan {
    /// Puts a plan together.
    pub(super) fn new(spec: &Spec, progress: &Progress, obstacles: &[Obstacle]) -> Self {
        let step = |(index, task): (usize, Task)| {
            let own = obstacles.iter().filter(|obstacle| obstacle.task == task);
            let in_the_way: Vec<String> = own.map(|obstacle| obstacle.text.clone()).collect();
            let begun = progress.begun.as_ref().is_some_and(|begun| begun.task == task);
            let state = match (progress.done.contains(&task), begun) {
                (true, _) => State::Done,
                (false, _) if !in_the_way.is_empty() => State::Blocked,
                (false, true) => State::Interrupted,
                (false, false) => State::ToDo,
            };
            Step { number: index + 1, what: describe(spec, &task), task, state, in_the_way }
        };
        let steps = Task::all(spec).into_iter().enumerate().map(step).collect();
        Self { ceremony: spec.name.clone(), clock: now(), steps, in_the_way: Vec::new() }
    }

    /// Whether nothing stands in the way.
    pub fn is_clear(&self) -> bool {
        self.in_the_way.is_empty() && self.steps.iter().all(|step| step.in_the_way.is_empty())
    }
}

/// A task with the particulars that the specification gives it.
fn describe(spec: &Spec, task: &Task) -> String {
    let particulars = match task {
        Task::Initialise(name) => spec
            .token(name)
            .and_then(|token| token.initialise.as_ref())
            .map(|initialise| format!("label {:?}", initialise.label)),
        Task::FindKey(name) | Task::MakeKey(name) | Task::DestroyKey(name) => spec.key(name).map(|key| {
            let leaving = match key.origin {
                Origin::New(Leaving::Never) => ", never to leave its token",
                Origin::New(Leaving::Wrapped) => ", may leave its token encrypted, for any key of the user's",
                Origin::New(Leaving::WrappedTrusted) => {
                    ", may leave its token encrypted, for keys alone that the security officer trusts"
                }
                Origin::Existing => "",
            };
            format!("{}, CKA_ID {} on token {:?}{leaving}", key.algorithm, key.id, key.token)
        }),
        Task::CopyKey(name) => {
            let copy = spec.copies.iter().find(|copy| copy.key == *name);
            copy.map(|copy| format!("to token {:?}", copy.to))
        }
        Task::Request(name) => {
            let request = spec.requests.iter().find(|request| request.name == *name);
            request.map(|request| format!("for key {:?}, {}", request.key, request.subject.common_name))
        }
        Task::Certificate(name) => spec.certificate(name).and_then(certificate),
        Task::Crl(issuer) => spec.crls.iter().find(|crl| crl.issuer == *issuer).map(|crl| {
            let previous = if crl.previous.is_some() { "follows the previous one" } else { "the first" };
            format!(
                "{previous}, revokes {} more, due again in {} days",
                crl.revocations.len(),
                crl.next_update_days
            )
        }),
    };
    particulars.map_or_else(|| task.to_string(), |particulars| format!("{task}: {particulars}"))
}

fn certificate(certificate: &CertificateSpec) -> Option<String> {
    let Source::Issued(issued) = &certificate.source else { return None };
    let subject = issued.subject.as_ref().map_or("the root's own name", |subject| &subject.common_name);
    let key = match &issued.subject_key {
        SubjectKey::OnToken(key) => format!("key {key:?}"),
        SubjectKey::Requested { request, .. } => format!("the key of {}", request.name()),
        SubjectKey::Of(root) => format!("the key of {root:?}"),
    };
    Some(format!("{} for {subject}, {key}, by {:?}", certificate.profile.name(), issued.issuer))
}
