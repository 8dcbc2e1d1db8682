//! `make demo`: the main job, for real, on this machine.

use std::{
    fs::{self, File, TryLockError},
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, LOGIN_PASSWORD, TOKEN_PIN},
    demo::{self, Narrator, PEOPLE, STAFF, Scene},
};

/// Runs the main job from key ceremony to revocation and keeps serving until Ctrl-C.
#[derive(Debug, Parser)]
struct Arguments {
    /// End after the last step.
    #[arg(long)]
    once: bool,
    /// Where everything is left; what an earlier demo left there is replaced.
    #[arg(long, default_value = "target/demo")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut narrator = Narrator::aloud();
    match run(&arguments, &mut narrator) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even that can't be said.
            let _ = narrator.say(&format!("\nThe demo failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, narrator: &mut Narrator) -> Result<()> {
    let directory = &arguments.directory;
    let _lock = take(directory)?;
    narrator.say(" #  elapsed     took  step")?;
    let scene = demo::tell(directory, narrator).map_err(|error| {
        anyhow!("{error:#}\nAll logs are in {0}/logs and {0}/desk/pcscd.", directory.display())
    })?;
    tell_where(&scene, directory, narrator)?;
    if !arguments.once {
        wait_for_interrupt(narrator)?;
    }
    Ok(())
}

/// Takes the directory for this demo: removes an earlier one, however it ended, and nothing else. It is this demo's
/// until the file is closed.
fn take(directory: &Path) -> Result<File> {
    let path = directory.join("demo.lock");
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    // The demo once had no lock.
    let earlier = [&path, &directory.join("ceremony.toml")].iter().any(|path| path.exists());
    let earlier = earlier || directory.read_dir()?.next().is_none();
    ensure!(earlier, "{} holds something else: choose another --directory", directory.display());
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| format!("opening {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another demo runs in {}: end it first, or choose another --directory", directory.display())
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    for entry in directory.read_dir()? {
        let entry = entry?;
        let removed = match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false if entry.path() == path => Ok(()),
            false => fs::remove_file(entry.path()),
        };
        removed.with_context(|| format!("removing {}", entry.path().display()))?;
    }
    Ok(lock)
}

fn tell_where(scene: &Scene, directory: &Path, narrator: &mut Narrator) -> Result<()> {
    let urls = scene.bank.urls();
    narrator.say(&format!(
        "\nIn {}: root.pem issuing.pem users/ root.crl issuing.crl ocsp-*.der transcript.json inro.toml summary.json",
        directory.display()
    ))?;
    narrator.say(&format!("login top page     {}/", urls.public))?;
    narrator.say(&format!("certificate login  {}/login", urls.client))?;
    narrator.say(&format!("staff console      {}/", urls.staff))?;
    narrator.say(&format!("OCSP, CRL          {0}/ocsp  {0}/crl/customer-0.crl", urls.validation))?;
    narrator.say(&format!("health, metrics    {0}/readyz  {0}/metrics", urls.ops))?;
    let tokens: Vec<_> = PEOPLE.iter().map(|person| format!("{} {}", person.id, person.token)).collect();
    narrator.say(&format!("users and tokens   {}", tokens.join(", ")))?;
    let staff: Vec<_> =
        STAFF.iter().map(|officer| format!("{} {} ({})", officer.id, officer.token, officer.role)).collect();
    narrator.say(&format!("staff and tokens   {}", staff.join(", ")))?;
    narrator.say(&format!(
        "to log in          PIN of every token {TOKEN_PIN}, login password {LOGIN_PASSWORD}, master's confirmation \
         password {CONFIRMATION_PASSWORD}; staff have no password.\n\
         {:19}A browser with OpenSC sees the tokens with {} in its environment.",
        "",
        scene.desk.pcscd.environment().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    ))
}

fn wait_for_interrupt(narrator: &mut Narrator) -> Result<()> {
    let hint = if std::io::stdin().is_terminal() { "Ctrl-C" } else { "SIGINT or SIGTERM" };
    narrator.say(&format!("\nServing until {hint}."))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = end.recv() => Ok(()),
        }
    })?;
    narrator.say("Ending.")
}
