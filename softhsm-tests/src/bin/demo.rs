//! `make demo`: the main job, for real, on this machine.

use std::{
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use softhsm_tests::demo::{self, Narrator, PEOPLE, Scene};

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
    clear(&arguments.directory)?;
    narrator.say(" #  elapsed     took  step")?;
    let scene = demo::tell(&arguments.directory, narrator)?;
    tell_where(&scene, &arguments.directory, narrator)?;
    if !arguments.once {
        wait_for_interrupt(narrator)?;
    }
    Ok(())
}

/// Removes an earlier demo, and nothing else.
fn clear(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let earlier = directory.join("ceremony.toml").exists() || directory.read_dir()?.next().is_none();
    ensure!(earlier, "{} holds something else: choose another --directory", directory.display());
    fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))
}

fn tell_where(scene: &Scene, directory: &Path, narrator: &mut Narrator) -> Result<()> {
    let urls = scene.bank.urls();
    narrator.say(&format!(
        "\nIn {}: root.pem issuing.pem users/ root.crl issuing.crl ocsp-*.der transcript.json inro.toml summary.json",
        directory.display()
    ))?;
    narrator.say(&format!("login top page     {}/", urls.public))?;
    narrator.say(&format!("certificate login  {}/login", urls.client))?;
    narrator.say(&format!("OCSP, CRL          {0}/ocsp  {0}/crl/customer-0.crl", urls.validation))?;
    narrator.say(&format!("health, metrics    {0}/readyz  {0}/metrics", urls.ops))?;
    let tokens: Vec<_> = PEOPLE.iter().map(|person| format!("{} {}", person.id, person.token)).collect();
    narrator.say(&format!("users and tokens   {}", tokens.join(", ")))
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
