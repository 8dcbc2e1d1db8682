//! The token inventory as the bank's people keep it: a vendor's list comes in whole or not at all, tokens go out to
//! contracts and come back, and what is lost or broken serves nobody any more: the certificate on it is revoked at once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    failure::{Failure, carries_failure},
    revoke::{Revoke, RevokeError},
    trail::{Details, event, refused},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        device::Device,
        policy::{ListedToken, TokenRecord, TokenState},
        revocation::{Revocation, RevocationReason},
        subject::{self, InvalidText},
    },
    ports::{
        clock::Clock,
        custody::CustodyStore,
        inventory::{InventoryStore, TokenFilter},
        store::{AuditStore, Conflict, RevokeOutcome, StoreError},
    },
};

/// The most tokens of one list.
pub const MAX_LISTED: usize = 100_000;
/// Tokens that are looked for or read at a time.
const PAGE: u32 = 1000;

/// The use cases.
pub struct Inventory {
    /// Tokens.
    pub tokens: Arc<dyn InventoryStore>,
    /// Whose certificates are on a token.
    pub custody: Arc<dyn CustodyStore>,
    /// 失効 of what is on a token that serves nobody any more.
    pub revoke: Arc<Revoke>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A token of a list, with the line that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line's number, from 1.
    pub number: usize,
    /// The token.
    pub token: ListedToken,
}

/// Why a line keeps a list from being registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineProblem {
    /// An earlier line has the same token.
    Repeated {
        /// The earlier line.
        first: usize,
    },
    /// The token is registered already.
    Known,
}

/// What is to become of tokens that are registered already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownTokens {
    /// The whole list is refused.
    Refuse,
    /// They are left as they are, and the others are registered.
    Skip,
}

/// What was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// New tokens.
    pub registered: usize,
    /// Tokens that were there already and were left as they are.
    pub skipped: usize,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// There is nothing in the list.
    #[error("the list has no tokens")]
    Empty,
    /// There is too much in it.
    #[error("the list has {found} tokens; at most {MAX_LISTED} are taken at a time: split it")]
    TooLong {
        /// How many there are.
        found: usize,
    },
    /// Lines that can't be registered, each with its number.
    #[error("{} lines of the list can't be registered", .0.len())]
    Lines(Vec<(Line, LineProblem)>),
    /// Somebody else registered one of the tokens meanwhile.
    #[error("one of the tokens was registered by somebody else meanwhile; try again")]
    Overtaken,
    /// No such token.
    #[error("the token {} {} is not in the inventory", .0.kind.as_str(), .0.serial)]
    UnknownToken(Device),
    /// No such contract.
    #[error("there is no such contract")]
    UnknownContract,
    /// The token can't go from where it is to where it is wanted.
    #[error("the token {} {} is {} and can't become {next}", device.kind.as_str(), device.serial, state)]
    NotPossible {
        /// The token.
        device: Device,
        /// Where it is.
        state: &'static str,
        /// Where it is wanted.
        next: &'static str,
    },
    /// A user of another contract has it.
    #[error("the token {} {} is assigned to a user of another contract; take it away from them first", .0.kind.as_str(), .0.serial)]
    AssignedElsewhere(Device),
    /// The note can't be kept.
    #[error(transparent)]
    Note(#[from] InvalidText),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(InventoryError);

impl From<RevokeError> for InventoryError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Failure(failure) => Self::Failure(failure),
            error => Self::Failure(Failure::defect(error)),
        }
    }
}

impl InventoryError {
    fn name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too-long",
            Self::Lines(_) => "lines",
            Self::Overtaken => "overtaken",
            Self::UnknownToken(_) => "unknown-token",
            Self::UnknownContract => "unknown-contract",
            Self::NotPossible { .. } => "not-possible",
            Self::AssignedElsewhere(_) => "assigned-elsewhere",
            Self::Note(_) => "note",
            Self::Failure(_) => "failure",
        }
    }
}

type InventoryResult<T> = Result<T, InventoryError>;

/// A token that moved, and what follows from it.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The token as it was.
    pub before: TokenRecord,
    /// Where it is now.
    pub state: TokenState,
    /// What was revoked for it.
    pub revoked: Vec<Revocation>,
}

impl Inventory {
    /// Registers a vendor's list, whole or not at all.
    ///
    /// # Errors
    /// `Empty`, `TooLong`, `Lines` with every line that is in the way, `Overtaken`.
    pub async fn import(
        &self,
        by: Actor,
        source: &str,
        lines: Vec<Line>,
        known: KnownTokens,
    ) -> InventoryResult<Imported> {
        let row = event(self.clock.now(), by, "token.imported", super::trail::foreign(source))
            .with("lines", lines.len());
        match self.sift(lines, known).await {
            Ok((tokens, skipped)) => {
                let row = row.with("registered", tokens.len()).with("skipped", skipped);
                if !tokens.is_empty() {
                    let at = row.at;
                    match self.tokens.register_tokens(&tokens, at, row.clone()).await {
                        Ok(()) => {}
                        Err(StoreError::Conflict(Conflict::Taken)) => {
                            return Err(self.refuse(row, InventoryError::Overtaken).await);
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(Imported { registered: tokens.len(), skipped })
            }
            Err(InventoryError::Failure(failure)) => Err(failure.into()),
            Err(error) => Err(self.refuse(row, error).await),
        }
    }

    /// The tokens to be registered, and how many are left out because they are.
    async fn sift(&self, lines: Vec<Line>, known: KnownTokens) -> InventoryResult<(Vec<ListedToken>, usize)> {
        if lines.is_empty() {
            return Err(InventoryError::Empty);
        }
        if lines.len() > MAX_LISTED {
            return Err(InventoryError::TooLong { found: lines.len() });
        }
        let registered = self.registered(&lines).await?;
        let mut first_lines = HashMap::with_capacity(lines.len());
        let (mut new, mut problems, mut skipped) = (Vec::with_capacity(lines.len()), Vec::new(), 0);
        for line in lines {
            let first = *first_lines.entry(line.token.device.clone()).or_insert(line.number);
            if first != line.number {
                problems.push((line, LineProblem::Repeated { first }));
            } else if !registered.contains(&line.token.device) {
                new.push(line.token);
            } else if known == KnownTokens::Skip {
                skipped += 1;
            } else {
                problems.push((line, LineProblem::Known));
            }
        }
        if problems.is_empty() { Ok((new, skipped)) } else { Err(InventoryError::Lines(problems)) }
    }

    async fn registered(&self, lines: &[Line]) -> InventoryResult<HashSet<Device>> {
        let mut registered = HashSet::new();
        for page in lines.chunks(PAGE as usize) {
            let devices: Vec<Device> = page.iter().map(|line| line.token.device.clone()).collect();
            let found = self.tokens.registered_among(&devices).await?;
            registered.extend(found);
        }
        Ok(registered)
    }

    /// Moves a token. One that leaves its customer is taken away from its user, in the same commit, and what stands on it
    /// is revoked before: that is what is urgent. Asked again, it finishes what was left undone.
    ///
    /// # Errors
    /// `UnknownToken`, `UnknownContract`, `NotPossible`, `AssignedElsewhere`, `Note`, `Overtaken`.
    pub async fn put(
        &self,
        by: &Actor,
        device: &Device,
        next: &TokenState,
        note: Option<&str>,
    ) -> InventoryResult<Moved> {
        let action = match next {
            TokenState::InStock => "token.put-in-stock",
            TokenState::HandedOut { .. } => "token.handed-out",
            TokenState::Lost => "token.lost",
            TokenState::Broken => "token.broken",
            TokenState::Replaced => "token.replaced",
            TokenState::Returned => "token.returned",
            TokenState::Retired => "token.retired",
        };
        let mut row =
            event(self.clock.now(), by.clone(), action, &device.serial).with("kind", device.kind.as_str());
        if let TokenState::HandedOut { contract } = next {
            row = row.with("contract", contract);
        }
        if let Some(note) = note {
            if let Err(error) = subject::check_note("note", note) {
                return Err(self.refuse(row, error.into()).await);
            }
            row = row.with("note", note);
        }
        let Some(before) = self.tokens.token(device).await? else {
            return Err(self.refuse(row, InventoryError::UnknownToken(device.clone())).await);
        };
        if !before.state.may_become(next) {
            let error = InventoryError::NotPossible {
                device: device.clone(),
                state: before.state.as_str(),
                next: next.as_str(),
            };
            return Err(self.refuse(row, error).await);
        }
        if let Some(user) = &before.user {
            row = row.with("user", user);
        }
        let revoked = self.revoke_on(by, device, next).await?;
        let at = row.at;
        let error = match self.tokens.move_token(device, &before.state, next, at, row.clone()).await {
            Ok(()) => return Ok(Moved { before, state: next.clone(), revoked }),
            Err(StoreError::Conflict(Conflict::Taken)) => InventoryError::Overtaken,
            Err(StoreError::Conflict(Conflict::Missing)) => InventoryError::UnknownContract,
            Err(StoreError::Conflict(Conflict::DeviceInUse)) => {
                InventoryError::AssignedElsewhere(device.clone())
            }
            Err(error) => return Err(error.into()),
        };
        Err(self.refuse(row, error).await)
    }

    /// The same of a token that people speak of: one that the inventory doesn't know is registered first, so that nobody
    /// obtains a certificate with it again; for one that is there already only what stands on it is revoked.
    ///
    /// # Errors
    /// As [`put`](Self::put), without `UnknownToken`.
    pub async fn report(
        &self,
        by: &Actor,
        device: &Device,
        next: &TokenState,
        note: Option<&str>,
    ) -> InventoryResult<Moved> {
        match self.tokens.token(device).await? {
            Some(before) if before.state == *next => {
                let revoked = self.revoke_on(by, device, next).await?;
                return Ok(Moved { before, state: next.clone(), revoked });
            }
            Some(_) => {}
            None => {
                let row = event(self.clock.now(), by.clone(), "token.registered", &device.serial)
                    .with("kind", device.kind.as_str());
                let token = ListedToken { device: device.clone(), model: None };
                match self.tokens.register_tokens(&[token], row.at, row).await {
                    Ok(()) | Err(StoreError::Conflict(Conflict::Taken)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.put(by, device, next, note).await
    }

    /// Revokes what stands on a token that is about to serve nobody.
    async fn revoke_on(
        &self,
        by: &Actor,
        device: &Device,
        next: &TokenState,
    ) -> InventoryResult<Vec<Revocation>> {
        let Some(reason) = reason_of(next) else { return Ok(Vec::new()) };
        let mut revoked = Vec::new();
        for record in self.custody.living_on(device).await? {
            match self.revoke.by_serial(by.clone(), &record.issuer, &record.serial, reason).await? {
                RevokeOutcome::Revoked(revocation) | RevokeOutcome::Already(revocation) => {
                    revoked.push(revocation);
                }
                RevokeOutcome::Unknown => {}
            }
        }
        Ok(revoked)
    }

    /// A token.
    ///
    /// # Errors
    /// `UnknownToken`.
    pub async fn show(&self, device: &Device) -> InventoryResult<TokenRecord> {
        let token = self.tokens.token(device).await?;
        token.ok_or_else(|| InventoryError::UnknownToken(device.clone()))
    }

    /// The tokens that are looked for, a page at a time to `take`.
    ///
    /// # Errors
    /// Only `Failure`.
    pub async fn each(
        &self,
        filter: &TokenFilter,
        take: &mut (dyn FnMut(TokenRecord) + Send),
    ) -> InventoryResult<()> {
        let mut after: Option<Device> = None;
        loop {
            let page = self.tokens.tokens(filter, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.device.clone());
            page.into_iter().for_each(&mut *take);
        }
    }

    async fn refuse(&self, row: AuditEvent, error: InventoryError) -> InventoryError {
        let row = AuditEvent { action: "token.refused", ..row }.with("why", error.name());
        refused(&*self.audit, row, error).await
    }
}

/// Why the certificate on a token that comes into this state is revoked; `None` where it may stand.
fn reason_of(next: &TokenState) -> Option<RevocationReason> {
    match next {
        TokenState::Lost => Some(RevocationReason::KeyCompromise),
        TokenState::Replaced => Some(RevocationReason::Superseded),
        TokenState::Broken | TokenState::Returned | TokenState::Retired => {
            Some(RevocationReason::CessationOfOperation)
        }
        TokenState::InStock | TokenState::HandedOut { .. } => None,
    }
}
