//! Whether an issuer's ledger and its signer's journal agree, as this process last found them. The reconciliation writes
//! it; who issues must ask it, because nothing else gives out a [`MayIssue`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::Failure;
use crate::domain::{
    anchor::{Divergence, Halt, Loss, MayIssue, Walk},
    audit::AuditPosition,
    ids::IssuerId,
    receipt::JournalPosition,
};

/// The state of one issuer; shared by the use cases of a process.
#[derive(Debug)]
pub struct Accord {
    issuer: IssuerId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    verdict: Verdict,
    /// The divergence that stands in the trail already.
    announced: Option<Divergence>,
    /// The journal's revocations are in the ledger, and the ledger's are in the journal.
    caught_up: bool,
    /// The journal's end when it was last read.
    journal_end: Option<JournalPosition>,
    /// The furthest row of the trail that this process saw committed.
    trail_end: AuditPosition,
    /// A CRL with a lower number than this isn't the last that was published.
    crl_floor: u64,
    /// A walk that met a loss, kept so that the next goes on from there.
    walk: Option<Walk>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet: this process hasn't come to the journal's end.
    Unexamined,
    /// They agree.
    Agreed,
    /// They don't.
    Diverged(Divergence),
}

impl Accord {
    /// Nothing is known yet, and nothing may be issued.
    pub fn new(issuer: IssuerId) -> Self {
        let state = State {
            verdict: Verdict::Unexamined,
            announced: None,
            caught_up: false,
            journal_end: None,
            trail_end: AuditPosition::GENESIS,
            crl_floor: 0,
            walk: None,
        };
        Self { issuer, state: Mutex::new(state) }
    }

    /// Whose.
    pub fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    /// What was found last.
    pub fn verdict(&self) -> Verdict {
        self.state().verdict.clone()
    }

    /// What stands in the way of issuing, if anything does.
    pub fn halt(&self) -> Option<Halt> {
        match self.verdict() {
            Verdict::Unexamined => Some(Halt::Unexamined),
            Verdict::Agreed => None,
            Verdict::Diverged(divergence) => Some(Halt::Diverged(divergence)),
        }
    }

    /// Whether everything that the journal holds revoked is revoked in the ledger, and the other way round. Before that
    /// nobody may be told anything about a certificate.
    pub fn is_caught_up(&self) -> bool {
        self.state().caught_up
    }

    /// Whether this is at least the last CRL that was published: a restored ledger has an older one, which may not be
    /// shown any more.
    pub fn is_current_crl(&self, number: u64) -> bool {
        number >= self.state().crl_floor
    }

    /// The right to issue.
    ///
    /// # Errors
    /// `Halted`.
    pub fn may_issue(&self) -> Result<MayIssue, Failure> {
        if let Some(halt) = self.halt() {
            return Err(Failure::Halted(halt));
        }
        let state = self.state();
        Ok(MayIssue::after(state.trail_end, state.journal_end))
    }

    /// An intent was recorded; `may_issue` is from before that.
    ///
    /// # Errors
    /// `Halted` when it stands where this process saw another row before: the ledger went back. Nothing may be signed.
    pub(super) fn recorded(&self, may_issue: MayIssue, row: AuditPosition) -> Result<(), Failure> {
        let mut state = self.state();
        if may_issue.is_recorded_at(row) {
            if state.trail_end.sequence < row.sequence {
                state.trail_end = row;
            }
            return Ok(());
        }
        let loss = Loss {
            common: None,
            furthest: state.trail_end,
            rewritten: true,
            first_entry: 0,
            last_entry: 0,
            entries: 0,
        };
        Err(self.diverged(&mut state, Divergence::Ledger(loss)))
    }

    /// A new signature has its place among entries that the journal had before: it is another journal. Nothing is issued
    /// from now on.
    pub(super) fn went_back(&self, position: JournalPosition) -> Failure {
        let mut state = self.state();
        let known = state.journal_end.unwrap_or(position);
        self.diverged(&mut state, Divergence::JournalBehind { known, end: position.sequence })
    }

    fn diverged(&self, state: &mut State, divergence: Divergence) -> Failure {
        tracing::error!(issuer = %self.issuer, "ALARM: {divergence}; nothing is issued");
        state.verdict = Verdict::Diverged(divergence.clone());
        Failure::Halted(Halt::Diverged(divergence))
    }

    pub(super) fn take_walk(&self) -> Option<Walk> {
        self.state().walk.take()
    }

    pub(super) fn keep_walk(&self, walk: Walk) {
        self.state().walk = Some(walk);
    }

    pub(super) fn raise_crl_floor(&self, number: u64) {
        let mut state = self.state();
        state.crl_floor = state.crl_floor.max(number);
    }

    /// Writes what was found; returns the divergence that was announced before.
    pub(super) fn found(&self, verdict: Verdict, journal_end: Option<JournalPosition>) -> Option<Divergence> {
        let mut state = self.state();
        if matches!(state.verdict, Verdict::Diverged(_)) && verdict == Verdict::Agreed {
            // The ledger goes on from where it is now.
            state.trail_end = AuditPosition::GENESIS;
        }
        (state.journal_end, state.verdict) = (journal_end, verdict);
        state.announced.clone()
    }

    pub(super) fn announced(&self, divergence: Option<&Divergence>) {
        self.state().announced = divergence.cloned();
    }

    pub(super) fn caught_up(&self) {
        self.state().caught_up = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All issuers of a process.
#[derive(Clone, Debug)]
pub struct Accords(Arc<[Arc<Accord>]>);

impl Accords {
    /// One for each issuer.
    pub fn new(issuers: impl IntoIterator<Item = IssuerId>) -> Self {
        Self(issuers.into_iter().map(|issuer| Arc::new(Accord::new(issuer))).collect())
    }

    /// An issuer's.
    pub fn of(&self, issuer: &IssuerId) -> Option<Arc<Accord>> {
        self.0.iter().find(|accord| accord.issuer == *issuer).cloned()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Accord>> {
        self.0.iter()
    }

    /// Whether all have caught up.
    pub fn are_caught_up(&self) -> bool {
        self.iter().all(|accord| accord.is_caught_up())
    }

    /// Whether all agree.
    pub fn agree(&self) -> bool {
        self.iter().all(|accord| accord.halt().is_none())
    }
}
