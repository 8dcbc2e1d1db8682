//! `inro-ca trust …`: whom the authority believes about devices.
//!
//! A change is made in a draft, which is a file that nobody trusts. One officer signs and stages it, another signs and
//! approves it; every running process takes the new version up within seconds.

mod crls;
mod draft;
mod import;
mod show;

use std::path::PathBuf;

use anyhow::Context;
use ca_core::{
    app::trust::{BundleForm, TrustDesk, TrustError},
    domain::{attestation::Purpose, trust::Bundle},
};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::Output,
};
use crate::{
    config::Config,
    material::trust::{
        bundle::{Json, digest},
        sign,
    },
    wiring,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the anchors of the newest version, of another, of the staged one or of a draft.
    List {
        #[command(flatten)]
        which: Which,
        /// Retired ones too.
        #[arg(long)]
        all: bool,
    },
    /// Show one anchor.
    Show {
        /// SHA-256 of its certificate, or the beginning of it.
        #[arg(value_name = "SHA256")]
        anchor: String,
        #[command(flatten)]
        which: Which,
    },
    /// Add makers' published certificates to the draft: known ones by their fingerprint, others when named by --accept.
    Import {
        /// Whose.
        #[arg(value_enum)]
        maker: Maker,
        /// PEM bundles, DER files, folders of them, or cabinets such as Microsoft's `TrustedTpm.cab`.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        more: Adding,
    },
    /// Add certificates of your own choice to the draft; each by its fingerprint.
    Add {
        /// A PEM or DER file.
        file: PathBuf,
        /// What they may vouch for: yubikey-piv (issues f9 certificates), yubikey-link (leads to a root) or tpm.
        #[arg(long, value_parser = purpose)]
        purpose: Purpose,
        /// Where they were got, such as the maker's address.
        #[arg(long)]
        source: String,
        #[command(flatten)]
        more: Adding,
    },
    /// Retire an anchor in the draft: it stays told, and isn't believed any more.
    Remove {
        /// SHA-256 of its certificate.
        #[arg(value_name = "SHA256", value_parser = fingerprint)]
        anchor: [u8; 32],
        /// Why.
        #[arg(long)]
        note: String,
        #[command(flatten)]
        draft: Draft,
    },
    /// Write a version out: the document that officers sign, or its standing certificates as PEM.
    Export {
        #[command(flatten)]
        which: Which,
        /// Standing certificates as PEM.
        #[arg(long)]
        pem: bool,
        /// The file; standard output without it.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// List the makers' CRLs of the folder `trust.maker_crls`: which count, which are due, which are refused and why.
    Crls,
    /// Sign the draft as an officer and stage it, in the place of one that may be staged already.
    Stage {
        #[command(flatten)]
        draft: Draft,
        #[command(flatten)]
        signature: Signature,
    },
    /// Sign what is staged as another officer: it becomes the newest version.
    Approve {
        #[command(flatten)]
        signature: Signature,
    },
    /// Take back what is staged.
    Withdraw,
    /// List all versions with who signed them and what changed; checks every signature.
    History,
}

/// Which bundle is looked at.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Which {
    /// This version.
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    /// The one that is staged.
    #[arg(long, conflicts_with = "version")]
    staged: bool,
    /// A draft's file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["version", "staged"])]
    draft: Option<PathBuf>,
}

/// Where the draft is.
#[derive(Clone, Debug, Args)]
pub(super) struct Draft {
    /// The draft; made from the newest version where it isn't there.
    #[arg(long, value_name = "FILE", default_value = "trust-draft.json")]
    draft: PathBuf,
}

/// What comes with every addition.
#[derive(Clone, Debug, Args)]
pub(super) struct Adding {
    /// Take the certificate with this SHA-256, which Inro doesn't know; as often as needed.
    #[arg(long, value_name = "SHA256", value_parser = fingerprint)]
    accept: Vec<[u8; 32]>,
    /// A remark that stays with the anchors.
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    draft: Draft,
}

/// An officer's signature, or what makes it.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Signature {
    /// A detached CMS signature under the document, DER or PEM: `openssl cms -sign -binary -outform DER`, which also works
    /// with keys on tokens.
    #[arg(long = "signature", value_name = "FILE", conflicts_with_all = ["certificate", "key"])]
    file: Option<PathBuf>,
    /// The officer's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The officer's key, PKCS#8 PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

/// Whose certificates are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Maker {
    /// Yubico's for PIV attestation.
    Yubico,
    /// Those of TPM makers.
    Tpm,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    Purpose::parse(text).ok_or_else(|| "choose one of yubikey-piv, yubikey-link, tpm".to_owned())
}

pub(super) fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    digest(&text.replace(':', "")).ok_or_else(|| "write a SHA-256 as 64 hexadecimal digits".to_owned())
}

impl Signature {
    /// The signature under this document.
    fn under(&self, document: &[u8]) -> Result<Vec<u8>, CliError> {
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            return sign::sign(document, certificate, key).map_err(CliError::configuration);
        }
        let path = self.file.as_deref().unwrap_or(std::path::Path::new(""));
        let octets = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        Ok(der_of(&octets).unwrap_or(octets))
    }
}

/// The DER in a PEM file of whatever label.
fn der_of(octets: &[u8]) -> Option<Vec<u8>> {
    der::pem::decode_vec(octets).ok().map(|(_, der)| der)
}

#[derive(Serialize)]
struct Staged<'a> {
    version: u32,
    sha256: String,
    officer: &'a str,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    // Without officers there are anchors of files, and CRLs all the same.
    if config.trust.officers.is_empty() && !matches!(command, Command::Crls) {
        return Err(CliError::configuration(anyhow::anyhow!(
            "trust.officers names nobody: name the certificates of two people who may sign trust bundles"
        )));
    }
    let desk = wiring::trust_desk(config).await.map_err(CliError::configuration)?;
    match command {
        Command::Crls => crls::run(&desk, config, output).await,
        Command::List { which, all } => show::list(&document(&desk, &which).await?.1, all, output),
        Command::Show { anchor, which } => show::one(&document(&desk, &which).await?.1, &anchor, output),
        Command::Import { maker, files, more } => import::run(&desk, maker, &files, &more, output).await,
        Command::Add { file, purpose, source, more } => {
            import::add(&desk, &file, (purpose, &source), &more, output).await
        }
        Command::Remove { anchor, note, draft } => draft::retire(&desk, &anchor, &note, &draft, output).await,
        Command::Export { which, pem, output: file } => {
            let (document, bundle) = document(&desk, &which).await?;
            show::export(&document, &bundle, pem, file.as_deref())
        }
        Command::Stage { draft, signature } => stage(&desk, &draft, &signature, output).await,
        Command::Approve { signature } => approve(&desk, &signature, output).await,
        Command::Withdraw => {
            let version = desk.withdraw(operator()).await?;
            output.result(&serde_json::json!({ "withdrawn": version }), |out| {
                writeln!(out, "trust version {version} isn't staged any more")
            })
        }
        Command::History => show::history(&desk, output).await,
    }
}

async fn stage(
    desk: &TrustDesk,
    draft: &Draft,
    signature: &Signature,
    output: Output,
) -> Result<(), CliError> {
    let document = draft::read(&draft.draft)?;
    let bundle = Json.read(&document).map_err(TrustError::Unfit)?;
    let signature = signature.under(&document)?;
    let officer = desk.stage(operator(), &document, &signature).await?;
    let sha256 = hex::encode(ca_core::domain::trust::sha256(&document));
    output.result(&Staged { version: bundle.version, sha256: sha256.clone(), officer: &officer }, |out| {
        writeln!(out, "{officer} has staged trust version {} (SHA-256 {sha256}).", bundle.version)?;
        writeln!(out, "Another officer looks at it and approves it:")?;
        writeln!(out, "  inro-ca trust list --staged")?;
        writeln!(out, "  inro-ca trust approve --certificate THEIRS.pem --key THEIRS.key")
    })
}

async fn approve(desk: &TrustDesk, signature: &Signature, output: Output) -> Result<(), CliError> {
    let staged = desk.read.store.staged_trust().await.map_err(ca_core::app::failure::Failure::from)?;
    let staged = staged.ok_or(TrustError::NotStaged)?;
    let signature = signature.under(&staged.bundle)?;
    let (version, officer) = desk.approve(operator(), &signature).await?;
    let sha256 = hex::encode(ca_core::domain::trust::sha256(&staged.bundle));
    output.result(&Staged { version, sha256, officer: &officer }, |out| {
        writeln!(
            out,
            "{officer} has approved trust version {version}: running nodes take it up within seconds."
        )?;
        writeln!(out, "Does all stored evidence still stand? inro-ca evidence rejudge")
    })
}

/// A bundle as its octets and what they say; of a version only when both signatures hold.
async fn document(desk: &TrustDesk, which: &Which) -> Result<(Vec<u8>, Bundle), CliError> {
    if let Some(path) = &which.draft {
        let document = draft::read(path)?;
        let bundle = Json.read(&document).map_err(TrustError::Unfit)?;
        return Ok((document, bundle));
    }
    if which.staged {
        let staged = desk.read.store.staged_trust().await.map_err(ca_core::app::failure::Failure::from)?;
        let document = staged.ok_or(TrustError::NotStaged)?.bundle;
        let bundle = Json.read(&document).map_err(TrustError::Unfit)?;
        return Ok((document, bundle));
    }
    let verified = match which.version {
        Some(version) => desk.read.version(version).await?,
        None => desk.read.newest().await?.ok_or_else(|| {
            CliError::not_found("the trust store has no version yet: begin with `inro-ca trust import`")
        })?,
    };
    Ok((verified.record.bundle, verified.bundle))
}

impl From<TrustError> for CliError {
    fn from(error: TrustError) -> Self {
        let exit = match error {
            TrustError::Unknown(_) | TrustError::NotStaged => Exit::NotFound,
            TrustError::Refused(_) | TrustError::Unfit(_) | TrustError::Anchors { .. } => Exit::Refused,
            TrustError::Signatures { .. } | TrustError::Bundle { .. } | TrustError::WentBack { .. } => {
                Exit::CheckFailed
            }
            TrustError::Failure(failure) => return failure.into(),
        };
        Self::new(exit, error)
    }
}
