//! Virtual YubiKeys in the readers of a private pcscd.

use std::{
    path::PathBuf,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    pcscd::{Pcscd, Reader, Watch},
    virtual_yubikey::{AttestationRoots, Card, Moment, Profile, State, VirtualYubiKey},
};

/// A virtual YubiKey in a reader. Dropping it pulls it out.
#[derive(Debug)]
pub struct PluggedYubiKey {
    key: VirtualYubiKey,
    reader: Reader,
    watch: Arc<Watch>,
}

impl PluggedYubiKey {
    /// Makes a device of this profile and puts it into a reader; returns when pcscd sees it. With `state` it is
    /// as it was left at the end of its last run.
    ///
    /// # Errors
    /// When the device can't be made, the reader doesn't exist or pcscd doesn't see it.
    pub fn plug(
        pcscd: &Pcscd,
        index: usize,
        profile: Profile,
        roots: &AttestationRoots,
        state: Option<PathBuf>,
    ) -> Result<Self> {
        let (serial, authority) = (profile.serial, roots.authority(profile.firmware));
        let card = Card::new(profile, authority, state)
            .with_context(|| format!("making the virtual YubiKey {serial}"))?;
        Self::plug_card(pcscd, index, card)
    }

    /// Puts this card into a reader; returns when pcscd sees it.
    ///
    /// # Errors
    /// When the reader doesn't exist or pcscd doesn't see it.
    pub fn plug_card(pcscd: &Pcscd, index: usize, card: Card) -> Result<Self> {
        let reader = pcscd.reader(index)?.clone();
        let key = VirtualYubiKey::insert_into(reader.vpcd, card).context("serving a virtual YubiKey")?;
        let plugged = Self { key, reader, watch: pcscd.watch() };
        plugged.wait_inserted()?;
        Ok(plugged)
    }

    /// The reader it is in.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Its serial number.
    pub fn serial(&self) -> u32 {
        self.card().profile().serial
    }

    /// What the device remembers without power, as it is now.
    pub fn state(&self) -> State {
        self.card().state().clone()
    }

    /// The device itself; it serves no command while this is held, and asking twice in one expression blocks.
    pub fn card(&self) -> MutexGuard<'_, Card> {
        self.key.card()
    }

    /// Has something happen once, while the card makes everybody wait.
    pub fn interrupt(&self, at: Moment, interlude: impl FnOnce() + Send + 'static) {
        self.key.interrupt(at, interlude);
    }

    /// How long it has worked on commands until now.
    pub fn busy(&self) -> Duration {
        self.key.busy()
    }

    /// Whether it is in the reader (it may have been pulled out by a misbehaviour).
    pub fn is_inserted(&self) -> bool {
        self.key.is_inserted()
    }

    /// Pulls it out; returns when pcscd has noticed.
    ///
    /// # Errors
    /// When pcscd doesn't.
    pub fn eject(&self) -> Result<()> {
        self.key.eject();
        self.wait_ejected()
    }

    /// Puts it back in; returns when pcscd sees it.
    ///
    /// # Errors
    /// When pcscd doesn't.
    pub fn insert(&self) -> Result<()> {
        self.key.insert();
        self.wait_inserted()
    }

    /// Waits until pcscd sees it.
    ///
    /// # Errors
    /// When it doesn't.
    pub fn wait_inserted(&self) -> Result<()> {
        self.watch.wait(&self.reader.name, true)
    }

    /// Waits until pcscd sees that it is gone.
    ///
    /// # Errors
    /// When it doesn't.
    pub fn wait_ejected(&self) -> Result<()> {
        self.watch.wait(&self.reader.name, false)
    }
}
