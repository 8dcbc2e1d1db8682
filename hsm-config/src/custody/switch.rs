//! The one moment in which a token's PIN is changed: from the PIN of the generation in force, or from the one it had
//! before there was custody, to the next generation's.
//!
//! The order makes it safe to die at any point: the next generation is written and proven, then that the change begins is
//! written down, then the token changes its PIN, then the next generation is in force. Whoever finds a change begun
//! tries the new PIN first, which costs one try at most, and the login that follows sets the token's counter back.

use std::time::Duration;

use super::{
    document::Library,
    error::CustodyError,
    people::People,
    plan::{PinLengths, Plan},
    set::{Set, Which},
};
use crate::{
    error_text::chain,
    token::{ModuleAccess, Pin, PinKind, TokenSelection},
    worker::{
        handle::{CallError, Launch, Worker},
        protocol::{Answer, Command, PIN_UNCHANGED, Setup},
    },
};

const LIMIT: Duration = Duration::from_mins(1);

/// Where the token's present PIN comes from.
#[derive(Debug)]
pub enum Present {
    /// From the custodians of the generation in force.
    Custody,
    /// Known: before there was custody.
    Known(Pin),
    /// From nobody: the security officer's PIN, which sets the user's anew. For a user's PIN that is lost.
    Officer {
        /// The SO PIN, as its custodians opened it.
        pin: Pin,
        /// The module that put it on the token.
        library: Library,
    },
}

/// Changes the token's PIN to the next generation's, and puts that in force. A change that was interrupted is finished.
/// Returns the next generation's shares as they were opened, for a signer that needs them.
///
/// The module gets both PINs. It is the one that the generation in force (or the SO PIN's set) is bound to, unless the
/// reviewed plan names the next one's: who can write to the set can make a generation of their own, for custodians whose
/// certificates they have.
///
/// # Errors
/// [`CustodyError::Unproven`] before every custodian has opened theirs; [`CustodyError::OtherModule`] when nobody vouches
/// for the next generation's module; [`CustodyError::Unchanged`] when the token has
/// its present PIN still; [`CustodyError::Unclear`] when a repetition must find out.
pub async fn switch(
    set: &mut Set,
    present: Present,
    plan: Option<&Plan>,
    people: &mut (dyn People + Send),
) -> Result<Vec<super::Share>, CustodyError> {
    set.must_be_proven()?;
    if matches!(present, Present::Officer { .. }) && set.document().pin != PinKind::User {
        let detail = "the officer's PIN can't be set anew by the officer's PIN".to_owned();
        return Err(CustodyError::Unchanged(detail));
    }
    must_be_vouched_for(set, &present, plan)?;
    let shares = set.gather(Which::Next, people)?;
    let new = super::set::assemble(set.document(), set.generation(Which::Next)?, &shares)?;
    let (old, officer) = match present {
        Present::Known(pin) => (pin, false),
        Present::Officer { pin, .. } => (pin, true),
        Present::Custody => (set.assemble(Which::Current, people)?, false),
    };
    let document = set.document();
    let access = set.generation(Which::Next)?.library.access().map_err(CustodyError::Unchanged)?;
    let worker = module_only(&access).await.map_err(CustodyError::Unchanged)?;
    let command = Command::ChangePin {
        token: document.token.clone(),
        kind: document.pin,
        old,
        new,
        officer,
        resuming: document.switching,
    };
    let resuming = document.switching;
    set.set_switching(true)?;
    let changed = worker.call(command, LIMIT).await;
    worker.stop().await;
    match changed {
        Ok(Answer::Done) => {
            set.put_in_force()?;
            Ok(shares)
        }
        // The worker says so when the token has surely kept the old one.
        Err(CallError::Command(error)) if error.code == PIN_UNCHANGED && !resuming => {
            set.set_switching(false)?;
            Err(CustodyError::Unchanged(error.detail))
        }
        Err(error) => Err(CustodyError::Unclear(chain(&error))),
        Ok(_) => Err(CustodyError::Unclear("the worker gave another answer".to_owned())),
    }
}

/// What is compared here is authentic once the shares of both generations have opened them: until then nothing is loaded.
fn must_be_vouched_for(set: &Set, present: &Present, plan: Option<&Plan>) -> Result<(), CustodyError> {
    let next = set.generation(Which::Next)?;
    let (whose, ours) = match (plan, present) {
        (Some(plan), _) => ("the plan", Library::of(plan)),
        (None, Present::Custody) => {
            ("the generation in force", set.generation(Which::Current)?.library.clone())
        }
        (None, Present::Officer { library, .. }) => ("the SO PIN's set", library.clone()),
        // Before there was custody: whoever knows the PIN has just made the set.
        (None, Present::Known(_)) => return Ok(()),
    };
    if next.library == ours {
        return Ok(());
    }
    let (generation, theirs, ours) = (next.number, next.library.to_string(), ours.to_string());
    Err(CustodyError::OtherModule { generation, theirs, whose, ours })
}

/// What a token takes as a PIN.
///
/// # Errors
/// In words, when the module doesn't show it.
pub async fn lengths(access: &ModuleAccess, token: &TokenSelection) -> Result<PinLengths, String> {
    let worker = module_only(access).await?;
    let answer = worker.call(Command::Tokens, LIMIT).await;
    worker.stop().await;
    let Ok(Answer::Tokens(tokens)) = answer else {
        return Err("the module doesn't list its tokens".to_owned());
    };
    let found = tokens.iter().find(|description| description.initialised && token.matches(description));
    // A token that a ceremony will initialise is without its label yet; those of one module take the same lengths.
    let found = found.or_else(|| tokens.iter().find(|description| !description.initialised));
    let found = found.ok_or_else(|| format!("the module shows no {token}"))?;
    Ok(PinLengths { min: found.min_pin_length, max: found.max_pin_length })
}

async fn module_only(access: &ModuleAccess) -> Result<Worker, String> {
    let setup = Setup { module: access.module.clone(), login: None };
    Worker::start(&Launch::this_program(access.clone()), setup, LIMIT).await.map_err(|error| chain(&error))
}
