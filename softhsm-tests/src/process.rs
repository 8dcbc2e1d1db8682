//! Child processes that end with the test, with everything they started, and whose log explains a failure. They end
//! even when the test has no time to end them.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
pub use rustix::process::{Pid, Signal};
use rustix::process::{kill_process, kill_process_group};

use crate::{
    reaper,
    wait::{POLL, awaited},
};

const TAIL_LINES: usize = 60;

/// Variables for a child's environment.
pub type Environment = Vec<(String, String)>;

/// A running child in a process group of its own; dropping it kills the whole group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no input; both outputs go to `NAME.log` in `directory`, after what is there already.
    ///
    /// # Errors
    /// When the log can't be opened or the program can't be started.
    pub fn spawn(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        Self::spawn_with(name, command, Stdio::null(), directory)
    }

    /// The same with an input that [`write_line`](Self::write_line) feeds.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with_input(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        Self::spawn_with(name, command, Stdio::piped(), directory)
    }

    /// The same with this as its standard input.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with(name: &str, command: &mut Command, input: Stdio, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let errors = output.try_clone().context("sharing a log")?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {program} (is it installed?)"))?;
        let process = Self { name: name.to_owned(), child, log };
        reaper::born(process.id()).context("starting the shell that ends what is left")?;
        Ok(process)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Where it writes to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When that can't be found out.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().with_context(|| format!("looking at {}", self.name))?.is_none())
    }

    /// Polls `condition` until it holds.
    ///
    /// # Errors
    /// With the end of the log: when the child ends first, when `deadline` passes, when `condition` fails.
    pub fn wait_until(
        &mut self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            match condition(self) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(error.context(self.explain(&format!("waiting for {what}")))),
            }
            if let Some(status) = self.child.try_wait().context("looking at a child")? {
                bail!("{}", self.explain(&format!("ended ({status}) before {what}")));
            }
            if started.elapsed() > deadline {
                bail!("{}", self.explain(&format!("no {what} within {deadline:?}")));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until `text` stands in the log.
    ///
    /// # Errors
    /// As [`wait_until`](Self::wait_until).
    pub fn wait_for_log(&mut self, text: &str, deadline: Duration) -> Result<()> {
        self.wait_until(&format!("`{text}` in its log"), deadline, |process| Ok(process.log().contains(text)))
    }

    /// Waits until it listens on `address`.
    ///
    /// # Errors
    /// As [`wait_until`](Self::wait_until).
    pub fn wait_for_listener(&mut self, address: std::net::SocketAddr, deadline: Duration) -> Result<()> {
        self.wait_until(&format!("listener on {address}"), deadline, |_| {
            Ok(std::net::TcpStream::connect_timeout(&address, POLL).is_ok())
        })
    }

    /// Writes a line to its input.
    ///
    /// # Errors
    /// When it has none or has closed it.
    pub fn write_line(&mut self, line: &str) -> Result<()> {
        let input =
            self.child.stdin.as_mut().with_context(|| format!("{} was started without input", self.name))?;
        writeln!(input, "{line}")
            .and_then(|()| input.flush())
            .with_context(|| format!("writing to {}", self.name))
    }

    /// Sends a signal to the child alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// `kill -9` for the child and everything in its group; returns when the child is gone.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub fn kill(&mut self) -> Result<()> {
        // A group without members is what is wanted.
        let _ = kill_process_group(self.pid()?, Signal::KILL);
        self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        Ok(())
    }

    /// `kill -9` for the child and its own children, which have process groups of their own; returns when all are gone.
    ///
    /// # Errors
    /// When they can't be found or waited for.
    pub fn kill_with_children(&mut self) -> Result<()> {
        // Stopped first, so that none is born while they are looked for.
        self.signal(Signal::STOP)?;
        let children = children_of(self.id())?;
        for child in &children {
            // One that has just ended is what is wanted.
            let _ = kill_process(*child, Signal::KILL);
        }
        self.kill()?;
        let left = || children.iter().copied().filter(|child| runs(*child)).collect::<Vec<_>>();
        awaited(&format!("the end of all of {}", self.name), left, Vec::is_empty)?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// With the end of the log, when it doesn't end before `deadline`.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(deadline)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// With the end of the log, when it doesn't end before `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("looking at a child")? {
                return Ok(status);
            }
            if started.elapsed() > deadline {
                bail!("{}", self.explain(&format!("still running after {deadline:?}")));
            }
            thread::sleep(POLL);
        }
    }

    fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id beyond reason")
    }

    fn explain(&self, what: &str) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("{}: {what}\n--- {} ends with ---\n{tail}", self.name, self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to tell anyone about.
        if self.kill().is_ok() {
            let _ = reaper::gone(self.id());
        }
    }
}

/// The child processes of a process.
///
/// # Errors
/// When there is no such process.
pub(crate) fn children_of(process: u32) -> Result<Vec<Pid>> {
    let path = format!("/proc/{process}/task/{process}/children");
    let list = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(list.split_whitespace().filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect())
}

/// Whether a process is there and more than a corpse that nobody has buried yet (state Z).
fn runs(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z"))
}

/// Runs a program to its end and returns what it wrote to its standard output.
///
/// # Errors
/// With everything it wrote, when it fails or can't be started.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output_of(command, b"")?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}\n{written}{errors}", shown(command), output.status);
    }
    Ok(written)
}

/// Runs a program with this input, whatever its status.
///
/// # Errors
/// When it can't be started or fed.
pub fn output_of(command: &mut Command, input: &[u8]) -> Result<std::process::Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {} (is it installed?)", shown(command)))?;
    let group = child.id();
    reaper::born(group).context("starting the shell that ends what is left")?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that reads nothing may be gone already.
        let _ = pipe.write_all(input);
    }
    let output = child.wait_with_output().with_context(|| format!("waiting for {}", shown(command)))?;
    reaper::gone(group).context("telling the shell that ends what is left")?;
    Ok(output)
}

fn shown(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scratch::Scratch,
        wait::{PATIENCE, until},
    };

    #[test]
    fn grandchildren_end_with_the_handle() {
        let scratch = Scratch::new("process").expect("scratch");
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo grandchild $!; wait"]);
        let mut process = Process::spawn("shell", &mut command, scratch.path()).expect("started");
        process.wait_for_log("grandchild", PATIENCE).expect("ready");
        let log = process.log();
        let grandchild: i32 = log.split_whitespace().nth(1).expect("a number").parse().expect("a process id");
        drop(process);
        let grandchild = Pid::from_raw(grandchild).expect("not zero");
        until("the grandchild's end", || runs(grandchild), |runs| !runs);
    }

    #[test]
    fn children_in_groups_of_their_own_end_with_the_server_they_serve() {
        let scratch = Scratch::new("process").expect("scratch");
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sleep 600 & echo child $!; wait"]);
        let mut process = Process::spawn("server", &mut command, scratch.path()).expect("started");
        process.wait_for_log("child", PATIENCE).expect("ready");
        let children = children_of(process.id()).expect("children");
        assert_eq!(children.len(), 1);
        process.kill_with_children().expect("killed");
        assert!(!runs(children[0]), "a child survived");
    }

    #[test]
    fn a_child_that_ends_early_is_explained_by_its_log() {
        let scratch = Scratch::new("process").expect("scratch");
        let mut command = Command::new("sh");
        command.args(["-c", "echo out of cheese; exit 3"]);
        let mut process = Process::spawn("shell", &mut command, scratch.path()).expect("started");
        let error =
            process.wait_until("a listener", PATIENCE, |_| Ok(false)).expect_err("it never gets ready");
        let text = format!("{error:#}");
        assert!(text.contains("out of cheese") && text.contains("exit status: 3"), "{text}");
    }
}
