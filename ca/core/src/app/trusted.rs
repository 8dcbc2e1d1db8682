//! What is trusted at the moment: a version of the anchors, and what the makers' CRLs took back of what stands below them.
//!
//! Both change while the process runs, each by itself. A CRL that was taken up counts until a later one of its issuer takes
//! its place: that a file vanished, or was put back to an older one, makes nothing good again.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::attestation::{Anchors, CrlRefusal, MakerCrl};

/// What is trusted, as of one version.
#[derive(Debug)]
pub struct InUse {
    /// The version; 0 for the configuration's files.
    pub version: u32,
    /// SHA-256 of its document; `None` for files.
    pub sha256: Option<[u8; 32]>,
    /// The anchors.
    pub anchors: Anchors,
}

/// A maker's CRL, and the file that it is in.
#[derive(Clone, Debug)]
pub struct CrlFile {
    /// For people.
    pub file: String,
    /// What it holds.
    pub crl: MakerCrl,
}

/// What became of the CRLs that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrlsTakenUp {
    /// Files that count for nothing, and why.
    pub refused: Vec<(String, CrlRefusal)>,
    /// Files of before that no later CRL took the place of: they still count.
    pub missed: Vec<String>,
}

/// A CRL in use.
#[derive(Clone, Debug)]
struct Held {
    of: CrlFile,
    /// Whether an anchor signed it.
    counts: bool,
}

#[derive(Debug)]
struct Now {
    in_use: Arc<InUse>,
    crls: Vec<Held>,
}

/// What is trusted at the moment. Whoever judges takes one [`InUse`] and stays with it.
#[derive(Debug)]
pub struct Trusted(RwLock<Now>);

impl Trusted {
    /// Begins with the configuration's files, or with a version of the ledger.
    pub fn new(in_use: InUse) -> Self {
        Self(RwLock::new(Now { in_use: Arc::new(in_use), crls: Vec::new() }))
    }

    /// Begins with the configuration's files.
    pub fn files(anchors: Anchors) -> Self {
        Self::new(InUse { version: 0, sha256: None, anchors })
    }

    /// As of now.
    pub fn current(&self) -> Arc<InUse> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).in_use.clone()
    }

    /// The CRLs that count.
    pub fn crls(&self) -> Vec<CrlFile> {
        let now = self.0.read().unwrap_or_else(PoisonError::into_inner);
        now.crls.iter().filter(|held| held.counts).map(|held| held.of.clone()).collect()
    }

    /// Takes up the CRLs that were found, in place of those of before that they succeed.
    pub fn take_up_crls(&self, found: Vec<CrlFile>) -> CrlsTakenUp {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let succeeded = |held: &Held| found.iter().any(|found| found.crl.succeeds(&held.of.crl));
        let missed: Vec<Held> =
            now.crls.iter().filter(|held| held.counts && !succeeded(held)).cloned().collect();
        let names = missed.iter().map(|held| held.of.file.clone()).collect();
        now.crls = found.into_iter().map(|of| Held { of, counts: true }).chain(missed).collect();
        CrlsTakenUp { refused: now.settle(None), missed: names }
    }

    /// Another version of the anchors. The CRLs are held against them anew.
    pub(super) fn replace(&self, in_use: &InUse) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).settle(Some(in_use));
    }
}

impl Now {
    fn settle(&mut self, next: Option<&InUse>) -> Vec<(String, CrlRefusal)> {
        let crls: Vec<MakerCrl> = self.crls.iter().map(|held| held.of.crl.clone()).collect();
        let base = next.unwrap_or(&self.in_use);
        let (anchors, refused) = base.anchors.with_crls(&crls);
        let (version, sha256) = (base.version, base.sha256);
        for (number, held) in self.crls.iter_mut().enumerate() {
            held.counts = refused.iter().all(|(refused, _)| *refused != number);
        }
        self.in_use = Arc::new(InUse { version, sha256, anchors });
        let named = refused.into_iter().map(|(number, why)| (self.crls[number].of.file.clone(), why));
        named.collect()
    }
}
