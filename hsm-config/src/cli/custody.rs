//! `inro-hsm custody`: custodians make, prove, open and change custody sets, and give their shares to a running signer.

mod report;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use der::{EncodePem, pem::LineEnding};
use serde_json::{Value, json};

use report::{sentences, summary};

use crate::{
    custody::{
        self, CustodyError, Desk, Document, Generation, People, Plan, Present, Set, Standing, Which,
        key_fingerprint, piv, socket,
    },
    token::{Pin, PinKind},
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the message says whether anything was changed
  2  the command line is wrong
  3  more custodians are needed: to prove theirs (show, prove), or to open (status, unlock)";

const MORE_NEEDED: u8 = 3;

/// Arguments of `inro-hsm custody`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a PIV token's certificate for key management (slot 9d), to which a share can be sealed.
    Card {
        /// Part of the reader's name, where several tokens are plugged in.
        #[arg(long, value_name = "TEXT")]
        reader: Option<String>,
        /// Write the certificate to this file, which must not exist.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a new set: a random PIN that nobody sees, and a share for each custodian.
    #[command(after_help = EXIT_CODES)]
    Create {
        #[command(flatten)]
        which: SetArguments,
        /// What the set is to be: custody.toml.
        #[arg(long, value_name = "FILE")]
        plan: PathBuf,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Show a set: its generations, its custodians, and who has still to prove theirs.
    #[command(after_help = EXIT_CODES)]
    Show {
        #[command(flatten)]
        which: SetArguments,
    },
    /// A custodian opens their share once, to prove that they can. Nothing is shown.
    #[command(after_help = EXIT_CODES)]
    Prove {
        #[command(flatten)]
        which: SetArguments,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Custodians open the set as in earnest, to practise. Nothing is shown, no token is asked.
    #[command(after_help = EXIT_CODES)]
    OpenCheck {
        #[command(flatten)]
        which: SetArguments,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Make the next generation: another PIN, with shares for the custodians in the changed plan.
    #[command(after_help = EXIT_CODES)]
    Resplit {
        #[command(flatten)]
        which: SetArguments,
        /// What the next generation is to be: custody.toml.
        #[arg(long, value_name = "FILE")]
        plan: PathBuf,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Change the token's PIN to the proven generation's, which is in force then. Finishes a change that was interrupted.
    #[command(after_help = EXIT_CODES)]
    Switch {
        #[command(flatten)]
        which: SetArguments,
        /// The PIN that the token has, one line, mode 0600, when no generation is in force yet.
        #[arg(long, value_name = "FILE")]
        present_pin_file: Option<PathBuf>,
        /// The set of the same token's SO PIN, whose custodians set the user PIN anew: when too few custodians of the
        /// generation in force are left, or the user PIN is locked.
        #[arg(long, value_name = "SO-SET", conflicts_with = "present_pin_file")]
        officer: Option<PathBuf>,
        /// Who opens the SO PIN's set; repeat for several, in their order. Asked for at the terminal by default.
        #[arg(long, value_name = "NAME", requires = "officer")]
        officer_custodian: Vec<String>,
        /// The reviewed custody.toml, when the next generation was made for another module than the one in force.
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Give the new shares to the signer at this socket at once, so that it never needs the old PIN again.
        #[arg(long, value_name = "SOCKET")]
        signer: Option<PathBuf>,
        /// Passphrase of a custodian in the generation in force, or in the SO PIN's set, where it is another.
        #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
        old_passphrase_file: Vec<(String, PathBuf)>,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// A custodian gives their share to a running signer. The last that is needed opens it.
    #[command(after_help = EXIT_CODES)]
    Unlock {
        #[command(flatten)]
        which: SetArguments,
        /// The signer's socket for custodians, `[custody] socket` in signer.toml.
        #[arg(long, value_name = "SOCKET")]
        signer: PathBuf,
        /// The sealed share, where it isn't kept in the set.
        #[arg(long, value_name = "FILE", requires = "custodian")]
        share: Option<PathBuf>,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Show what a running signer waits for.
    #[command(after_help = EXIT_CODES)]
    Status {
        /// The signer's socket for custodians.
        #[arg(long, value_name = "SOCKET")]
        signer: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct SetArguments {
    /// The set's folder.
    set: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DeskArguments {
    /// Who opens a share; repeat for several, in their order. Asked for at the terminal by default.
    #[arg(long, value_name = "NAME")]
    custodian: Vec<String>,
    /// A file with a custodian's passphrase, mode 0600, for scripts. Asked for at the terminal by default.
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    passphrase_file: Vec<(String, PathBuf)>,
    /// A file with the PIN of a custodian's own token, mode 0600, for scripts. Asked for at the terminal by default.
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pin_file: Vec<(String, PathBuf)>,
}

impl DeskArguments {
    pub(super) fn desk(&self) -> Desk {
        Desk {
            passphrase_files: self.passphrase_file.iter().cloned().collect::<BTreeMap<_, _>>(),
            pin_files: self.pin_file.iter().cloned().collect(),
            present: self.custodian.clone(),
            ..Desk::default()
        }
    }
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("write NAME=FILE, such as alice=/run/alice.pin".to_owned()),
    }
}

/// Runs a custody command.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    match done(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            super::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn done(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Card { reader, out } => card(reader.as_deref(), out.as_deref()),
        Command::Create { which, plan, desk } => {
            let plan = Plan::load(&plan)?;
            let lengths = wait(custody::lengths(&plan.access, &plan.token)).map_err(anyhow::Error::msg)?;
            // The PIN is dropped here: the custodians have it.
            let (set, _) = Set::create(&which.set, &plan, lengths, &mut desk.desk())?;
            show(set.document(), which.json)
        }
        Command::Show { which } => show(&Document::read(&which.set)?, which.json),
        Command::Prove { which, desk } => prove(&which, &desk),
        Command::OpenCheck { which, desk } => {
            let set = Set::open(&which.set)?;
            set.assemble(Which::Current, &mut desk.desk())?;
            let number = set.generation(Which::Current)?.number;
            let text = format!(
                "generation {number} opens: the PIN could be assembled; it was not used and is forgotten"
            );
            print(which.json, &json!({ "result": "opens", "generation": number }), &text)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Resplit { which, plan, desk } => {
            let plan = Plan::load(&plan)?;
            let mut set = Set::open(&which.set)?;
            let lengths = wait(custody::lengths(&plan.access, &plan.token)).map_err(anyhow::Error::msg)?;
            set.resplit(&plan, lengths, &mut desk.desk())?;
            show(set.document(), which.json)
        }
        Command::Switch {
            which,
            present_pin_file,
            officer,
            officer_custodian,
            plan,
            signer,
            old_passphrase_file,
            desk,
        } => {
            let plan = plan.map(|path| Plan::load(&path)).transpose()?;
            let mut people = desk.desk();
            people.old_passphrase_files = old_passphrase_file.into_iter().collect();
            let present = match officer {
                Some(officers) => Some(officers_pin(&officers, &which.set, officer_custodian, &people)?),
                None => present_pin_file.map(|path| Pin::from_file(&path)).transpose()?.map(Present::Known),
            };
            switch(&which, present, plan.as_ref(), signer.as_deref(), people)
        }
        Command::Unlock { which, signer, share, desk } => unlock(&which, &signer, share.as_deref(), &desk),
        Command::Status { signer, json } => status(&signer, json),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => {
            tracing::error!(%error, "no event loop");
            std::process::exit(1)
        }
    }
}

fn card(reader: Option<&str>, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut tokens = piv::tokens()?;
    tokens.retain(|token| reader.is_none_or(|part| token.reader.contains(part)));
    let token = match tokens.as_slice() {
        [one] => one,
        [] => bail!(
            "no token with a certificate in slot 9d is in a reader: generate a key and a certificate there first"
        ),
        several => {
            let readers: Vec<_> = several.iter().map(|token| token.reader.as_str()).collect();
            bail!("several tokens are plugged in: choose one by --reader ({})", readers.join("; "))
        }
    };
    let pem = token.certificate.to_pem(LineEnding::LF).context("the certificate can't be written as PEM")?;
    if let Some(path) = out {
        let mut file =
            fs::File::create_new(path).with_context(|| format!("{} can't be made", path.display()))?;
        file.write_all(pem.as_bytes()).with_context(|| format!("{} can't be written", path.display()))?;
    }
    let mut text = format!(
        "{}\nsubject     {}\npublic key  SHA-256 {}",
        token.reader,
        token.certificate.tbs_certificate().subject(),
        key_fingerprint(&token.certificate)
    );
    if out.is_none() {
        text = format!("{text}\n{}", pem.trim_end());
    }
    print(false, &Value::Null, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn prove(which: &SetArguments, arguments: &DeskArguments) -> anyhow::Result<ExitCode> {
    let mut set = Set::open(&which.set)?;
    let mut people = arguments.desk();
    let names = if arguments.custodian.is_empty() { set.unproven() } else { arguments.custodian.clone() };
    for name in &names {
        set.prove(name, &mut people)
            .with_context(|| format!("custodian {name:?} has not proven their share"))?;
        people.tell(&format!("{name} has proven their share"));
    }
    show(set.document(), which.json)
}

/// The SO PIN, opened by its own custodians.
fn officers_pin(set: &Path, users: &Path, present: Vec<String>, people: &Desk) -> anyhow::Result<Present> {
    let mut passphrase_files = people.passphrase_files.clone();
    passphrase_files.extend(people.old_passphrase_files.clone());
    let mut officers =
        Desk { passphrase_files, pin_files: people.pin_files.clone(), present, ..Desk::default() };
    let set = Set::open(set)?;
    if set.document().pin != PinKind::So {
        bail!("{} keeps {}, not an SO PIN", set.folder().display(), set.purpose());
    }
    // A label and a serial number may be one token's; another label is another token's, and would cost a try.
    let (theirs, ours) = (&set.document().token, Document::read(users)?.token);
    if mem::discriminant(theirs) == mem::discriminant(&ours) && *theirs != ours {
        bail!("{} keeps {}, not that of the {ours}", set.folder().display(), set.purpose());
    }
    let pin = set.assemble(Which::Current, &mut officers)?;
    Ok(Present::Officer { pin, library: set.generation(Which::Current)?.library.clone() })
}

fn switch(
    which: &SetArguments,
    present: Option<Present>,
    plan: Option<&Plan>,
    signer: Option<&Path>,
    mut people: Desk,
) -> anyhow::Result<ExitCode> {
    let mut set = Set::open(&which.set)?;
    people.old_generation = set.generation(Which::Current).ok().map(|generation| generation.number);
    let present = match (present, people.old_generation) {
        (Some(Present::Known(_)), Some(_)) => bail!(
            "a generation is in force, so its custodians open the present PIN: leave out --present-pin-file"
        ),
        (Some(present), _) => present,
        (None, Some(_)) => Present::Custody,
        (None, None) => {
            bail!("no generation is in force yet: give the PIN that the token has by --present-pin-file")
        }
    };
    let shares = wait(custody::switch(&mut set, present, plan, &mut people))?;
    let number = set.generation(Which::Current)?.number;
    let mut text = format!("{} is that of generation {number} now", set.purpose());
    if let Some(socket) = signer {
        for share in shares {
            let standing = socket::give(socket, share).context(
                "the token's PIN is changed, but the signer has not got it: run `inro-hsm custody unlock`",
            )?;
            text = format!("{text}\n{}: {}", standing.name, standing.words());
        }
    }
    print(which.json, &json!({ "result": "switched", "generation": number }), &text)?;
    Ok(ExitCode::SUCCESS)
}

fn unlock(
    which: &SetArguments,
    signer: &Path,
    file: Option<&Path>,
    arguments: &DeskArguments,
) -> anyhow::Result<ExitCode> {
    // Only read, so that several custodians may be at it.
    let mut people = arguments.desk();
    let document = Document::read(&which.set)?;
    let mut last: Option<Standing> = None;
    let mut came = arguments.custodian.iter();
    while last.as_ref().is_none_or(|standing| !standing.open) {
        let name = match came.next() {
            Some(name) => name.clone(),
            None if !arguments.custodian.is_empty() => break,
            None => {
                let names = document.current.as_ref().map(Generation::names).unwrap_or_default();
                let given = last.as_ref().map(|standing| standing.given.clone()).unwrap_or_default();
                let absent: Vec<_> = names.into_iter().filter(|name| !given.contains(name)).collect();
                people.next(
                    &absent,
                    usize::from(last.as_ref().map_or(1, |standing| standing.needed))
                        .saturating_sub(given.len()),
                )?
            }
        };
        let share = custody::open_share(&which.set, &document, &name, file, &mut people)?;
        let standing = socket::give(signer, share)?;
        people.tell(&format!("{}: {}", standing.name, standing.words()));
        last = Some(standing);
    }
    let Some(standing) = last else { return Err(CustodyError::NoGeneration("in force").into()) };
    print(which.json, &serde_json::to_value(&standing)?, &standing.words())?;
    Ok(if standing.open { ExitCode::SUCCESS } else { ExitCode::from(MORE_NEEDED) })
}

fn status(signer: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let standings = socket::standings(signer)?;
    let lines: Vec<_> =
        standings.iter().map(|standing| format!("{}: {}", standing.name, standing.words())).collect();
    print(as_json, &serde_json::to_value(&standings)?, &lines.join("\n"))?;
    let open = standings.iter().all(|standing| standing.open);
    Ok(if open { ExitCode::SUCCESS } else { ExitCode::from(MORE_NEEDED) })
}

fn show(document: &Document, as_json: bool) -> anyhow::Result<ExitCode> {
    let unproven = document.next.as_ref().or(document.current.as_ref()).map(Generation::unproven);
    let complete = unproven.is_some_and(|names| names.is_empty());
    print(as_json, &summary(document), &sentences(document))?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(MORE_NEEDED) })
}

fn print(as_json: bool, json: &Value, text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if as_json { writeln!(stdout, "{json:#}") } else { writeln!(stdout, "{text}") }
}
