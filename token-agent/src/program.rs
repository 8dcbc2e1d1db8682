//! Programs of others, which the agent runs and doesn't trust to come to an end.

use std::{
    fs::File,
    io::{self, Read, Seek},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a program left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How often it is looked whether a program has ended.
const MOMENT: Duration = Duration::from_millis(10);

/// Runs a program that reads nothing, and ends it when it takes longer than `patience`. Its words go into files: whoever
/// it leaves behind with them open holds nobody up.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when it was ended, otherwise what the system says.
pub(crate) fn run(command: &mut Command, patience: Duration) -> io::Result<Done> {
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command.spawn()?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() >= patience {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(MOMENT);
    };
    Ok(Done { status, stdout: words(stdout)?, stderr: words(stderr)? })
}

fn words(mut file: File) -> io::Result<String> {
    let mut octets = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, patience: Duration) -> io::Result<Done> {
        run(Command::new("sh").args(["-c", script]), patience)
    }

    #[test]
    fn words_and_status_come_back_however_many_they_are() {
        let done = sh("seq 1 100000; echo no >&2; exit 3", Duration::from_mins(1)).expect("it runs");
        assert_eq!((done.status.code(), done.stderr.as_str()), (Some(3), "no\n"));
        assert!(done.stdout.ends_with("\n100000\n"), "{}", done.stdout.len());
    }

    #[test]
    fn whoever_hangs_is_ended_and_what_it_leaves_behind_holds_nobody_up() {
        let hung = sh("exec sleep 600", Duration::from_millis(50)).expect_err("it hangs");
        assert_eq!(hung.kind(), io::ErrorKind::TimedOut);
        // The child of the shell keeps the words open.
        let done = sh("sleep 3 & echo done", Duration::from_mins(1)).expect("it runs");
        assert_eq!(done.stdout, "done\n");
        let missing = run(&mut Command::new("/no/such/program"), Duration::from_mins(1));
        assert_eq!(missing.expect_err("missing").kind(), io::ErrorKind::NotFound);
    }
}
