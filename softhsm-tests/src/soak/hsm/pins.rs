//! R8: the PIN file is wrong. One try is all that it costs, whatever is restarted, until a person has looked.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use signer_protocol::client::ClientError;

use super::{RECOVERY, Ward};
use crate::{
    binaries,
    process::{Process, run as run_program},
    soak::{Outcome, Size},
};

const PATIENCE: Duration = Duration::from_mins(1);

pub(in crate::soak) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R8",
        "a wrong PIN is tried once, however often the signer is restarted or killed, until a person clears the latch",
    );
    let ward = Ward::prepare(directory)?;
    let file = ward.bank.secret("online-pin");
    let right = fs::read_to_string(&file).context("reading the PIN")?;
    fs::write(&file, "not-the-pin\n").context("writing a wrong PIN")?;
    for round in 0..size.wrong_pins {
        let mut signer = spawn(&ward, &format!("locked-out-{round}"))?;
        signer.wait_for_log("signer locked out", PATIENCE)?;
        let answered = ward.ask(&ward.order()?).result;
        let clear =
            matches!(&answered, Err(ClientError::LockedOut { remedy }) if remedy.contains("latch clear"));
        outcome.check(clear, || format!("start {round}: {answered:?}"));
        if round % 2 == 0 {
            signer.kill()?;
        } else {
            signer.terminate(PATIENCE)?;
        }
        let said = fs::read_to_string(signer.log_path()).context("reading a log")?;
        outcome.check(!said.contains("not-the-pin"), || format!("start {round}: the PIN is in the log"));
    }
    fs::write(&file, right).context("writing the right PIN")?;
    let mut last = spawn(&ward, "cleared")?;
    last.wait_for_log("signer locked out", PATIENCE)?;
    let tried = ward.hsm.logins()?;
    outcome.check(tried == 1, || format!("the wrong PIN was tried {tried} times"));
    let mut command = Command::new(binaries::find("inro-hsm")?);
    run_program(command.args(["latch", "clear", "--config"]).arg(ward.bank.path("signer.toml")))?;
    last.wait_for_log("signer ready", PATIENCE)?;
    let order = ward.order()?;
    let (signed, _) = ward.insist(&order, RECOVERY)?;
    outcome.check(ward.is_right(&order, &signed), || "a wrong signature".to_owned());
    let tried = ward.hsm.logins()?;
    outcome.check(tried == 2, || format!("{tried} logins after the latch was cleared"));
    outcome.figure("starts", size.wrong_pins + 1);
    Ok(outcome.ended())
}

fn spawn(ward: &Ward, name: &str) -> Result<Process> {
    let mut command = Command::new(binaries::find("inro-hsm")?);
    command.arg("signer").arg("--config").arg(ward.bank.path("signer.toml"));
    Process::spawn(name, &mut command, &ward.bank.path("logs"))
}
