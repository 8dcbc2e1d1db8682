//! A look at one token before anything is changed: what stands in the way of any task on it.

use super::super::super::record::event::Task;
use super::super::super::spec::{KeySpec, Spec, TokenSpec};
use super::fit::{free_slot, other_name, unable, unable_to_transfer};
use super::{Fault, LIMIT, Obstacle, Pins, Progress, Tokens, confused, fault, named, start, tokens_of};
use crate::worker::handle::{CallError, Worker};
use crate::worker::protocol::{Answer, Command};

/// A look at one token.
pub(super) struct Look<'a> {
    pub(super) spec: &'a Spec,
    pub(super) token: &'a TokenSpec,
    pub(super) progress: &'a Progress,
}

impl Look<'_> {
    pub(super) async fn at(&self, tokens: &mut Tokens, pins: &Pins) -> Result<Vec<Obstacle>, Fault> {
        let token = self.token;
        let initialising = Task::Initialise(token.name.clone());
        let ready = token.initialise.is_none() || self.is_done(&initialising);
        let worker = if ready { tokens.log_in(token, pins).await? } else { start(token, None).await? };
        let mut obstacles = Vec::new();
        let slot = if ready {
            worker.token().map(|token| token.slot)
        } else {
            let present = tokens_of(&worker, token).await?;
            // Begun and not done: its label was free when it began, so what has it now is this ceremony's.
            let own = present.iter().find(|found| named(found, token) && self.was_begun(&initialising));
            let slot = match (own, &token.initialise) {
                (Some(own), _) => Ok(own.slot),
                (None, Some(initialise)) => free_slot(&present, &initialise.label, &initialise.free),
                (None, None) => return Err(confused(token)),
            };
            match slot {
                Ok(slot) => Some(slot),
                Err(text) => {
                    obstacles.push(Obstacle {
                        task: initialising,
                        text: format!("token {:?}: {text}", token.name),
                    });
                    None
                }
            }
        };
        if let Some(slot) = slot {
            obstacles.extend(self.mechanisms(&worker, slot).await?);
        }
        tokens.workers.insert(token.name.clone(), worker);
        if ready {
            obstacles.extend(self.keys(tokens).await?);
        }
        Ok(obstacles)
    }

    pub(super) async fn mechanisms(&self, worker: &Worker, slot: u64) -> Result<Vec<Obstacle>, Fault> {
        let token = self.token;
        let names = match worker.call(Command::Mechanisms { slot }, LIMIT).await {
            Ok(Answer::Mechanisms(names)) => names,
            Ok(_) => return Err(confused(token)),
            // Some tokens have none before they are initialised; they are asked again then.
            Err(CallError::Command(_)) if worker.token().is_none() => return Ok(Vec::new()),
            Err(error) => return Err(fault(token, "list its mechanisms")(error)),
        };
        let here = self.spec.keys.iter().filter(|key| key.token == token.name);
        let lacking = here.filter_map(|key| {
            let task =
                if key.is_new() { Task::MakeKey(key.name.clone()) } else { Task::FindKey(key.name.clone()) };
            Some((task, unable(&names, key)?))
        });
        let copies = self.spec.copies.iter().filter(|copy| {
            copy.to == token.name || self.spec.key(&copy.key).is_some_and(|key| key.token == token.name)
        });
        let transfers =
            copies.filter_map(|copy| Some((Task::CopyKey(copy.key.clone()), unable_to_transfer(&names)?)));
        let obstacle = |(task, text)| Obstacle { task, text: format!("token {:?}: {text}", token.name) };
        Ok(lacking.chain(transfers).filter(|(task, _)| !self.is_done(task)).map(obstacle).collect())
    }

    /// Keys that must be there, and keys that must not.
    async fn keys(&self, tokens: &Tokens) -> Result<Vec<Obstacle>, Fault> {
        let name = &self.token.name;
        let mut obstacles = Vec::new();
        let mut expect = async |key: &KeySpec, task: Task, there: bool| {
            if self.is_done(&task) || self.was_begun(&task) {
                return Ok(());
            }
            let text = match (tokens.attributes(name, key).await?, there) {
                (Some(_), false) => format!("it holds a key with ID {} already", key.id),
                (None, true) => format!("it holds no key with ID {}", key.id),
                _ => return Ok(()),
            };
            obstacles.push(Obstacle { task, text: format!("token {name:?}: {text}") });
            Ok::<(), Fault>(())
        };
        for key in self.spec.keys.iter().filter(|key| key.token == *name) {
            if key.is_new() {
                expect(key, Task::MakeKey(key.name.clone()), false).await?;
            } else {
                expect(key, Task::FindKey(key.name.clone()), true).await?;
            }
        }
        for copy in self.spec.copies.iter().filter(|copy| copy.to == *name) {
            if let Some(key) = self.spec.key(&copy.key) {
                expect(key, Task::CopyKey(copy.key.clone()), false).await?;
            }
        }
        obstacles.extend(self.other_names(tokens).await?);
        obstacles.extend(self.confined(tokens).await?);
        Ok(obstacles)
    }

    /// Keys to be copied that leave under trusted keys alone, where nobody is there to trust one.
    async fn confined(&self, tokens: &Tokens) -> Result<Vec<Obstacle>, Fault> {
        let mut obstacles = Vec::new();
        if self.token.officer().is_some() {
            return Ok(obstacles);
        }
        for copy in &self.spec.copies {
            let task = Task::CopyKey(copy.key.clone());
            let key = self.spec.key(&copy.key).filter(|key| key.token == self.token.name && !key.is_new());
            let Some(key) = key.filter(|_| !self.is_done(&task)) else { continue };
            let attributes = tokens.attributes(&self.token.name, key).await?;
            if attributes.and_then(|attributes| attributes.wrap_with_trusted) == Some(true) {
                let text = format!(
                    "token {:?}: key {:?} leaves it under keys alone that the security officer trusts \
                     (CKA_WRAP_WITH_TRUSTED): give the token's so_pin_file, or another source of that PIN",
                    self.token.name, key.name
                );
                obstacles.push(Obstacle { task, text });
            }
        }
        Ok(obstacles)
    }

    /// Keys to be destroyed that the token knows by another name: of those it can't be told that they are the ones.
    async fn other_names(&self, tokens: &Tokens) -> Result<Vec<Obstacle>, Fault> {
        let name = &self.token.name;
        let mut obstacles = Vec::new();
        for destruction in &self.spec.destructions {
            let task = Task::DestroyKey(destruction.key.clone());
            let key = self.spec.key(&destruction.key).filter(|key| key.token == *name);
            let Some(key) = key.filter(|_| !self.is_done(&task) && !self.was_begun(&task)) else { continue };
            let Some(attributes) = tokens.attributes(name, key).await? else { continue };
            if let Some(text) = other_name(key, attributes.label.as_deref()) {
                obstacles.push(Obstacle { task, text: format!("token {name:?}: {text}") });
            }
        }
        Ok(obstacles)
    }

    fn is_done(&self, task: &Task) -> bool {
        self.progress.done.contains(task)
    }

    fn was_begun(&self, task: &Task) -> bool {
        self.progress.begun.as_ref().is_some_and(|begun| begun.task == *task)
    }
}
