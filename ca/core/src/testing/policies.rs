//! Policies whose text is only a name for them.

use std::{collections::HashMap, sync::Mutex};

use super::fault::locked;
use crate::{
    domain::{
        ids::PolicyName,
        policy::{PolicyRules, PolicyVersion, WrittenPolicy},
    },
    ports::policies::{PolicyForm, UnreadablePolicy},
};

/// Reads the texts that it was given the meaning of, and no others.
#[derive(Debug, Default)]
pub struct MemoryForm {
    written: Mutex<HashMap<String, WrittenPolicy>>,
}

impl MemoryForm {
    /// The text of a policy.
    ///
    /// # Panics
    /// When the name isn't one.
    pub fn write(&self, name: &str, version: u32, rules: PolicyRules) -> String {
        let id = PolicyVersion { name: PolicyName::parse(name).expect("a policy name"), version };
        let mut written = locked(&self.written);
        let text = format!("{id} #{}", written.len());
        written.insert(text.clone(), WrittenPolicy { id, rules });
        text
    }
}

impl PolicyForm for MemoryForm {
    fn read(&self, text: &str) -> Result<WrittenPolicy, UnreadablePolicy> {
        let written = locked(&self.written).get(text).cloned();
        written.ok_or_else(|| UnreadablePolicy(format!("{text:?} isn't a policy")))
    }
}
