//! A machine with a systemd of its own, in namespaces of its own, and the shell of the person who works on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{Block, Document};
use crate::{
    binaries,
    process::{Environment, Pid, Process, children_of, output_of},
};

/// Booting takes two seconds, on a loaded machine more.
const BOOT: Duration = Duration::from_mins(1);
/// A whole runbook.
const RUN: Duration = Duration::from_mins(5);
/// The machine's systems of names, all its own.
const NAMESPACES: [&str; 6] = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"];
/// Where programs find its TPM, of which boot.sh tells the service manager.
const TPM: [(&str, &str); 2] = [
    ("SYSTEMD_TPM2_DEVICE", "swtpm:host=127.0.0.1,port=2321"),
    ("TPM2TOOLS_TCTI", "swtpm:host=127.0.0.1,port=2321"),
];
/// The other site is this machine too, so `ssh HOST COMMAND…` runs the command here. And what matters of a restart of the
/// host here is that its TPM begins anew and that its services do.
const PROGRAMS: [(&str, &str); 4] = [
    ("ssh", "#!/bin/sh\nshift\nexec sh -c \"$*\"\n"),
    // No kernel stands before this TPM, which would flush what a program that ended has left in it.
    (
        "systemd-creds",
        "#!/bin/sh\nfor left in loaded-session transient-object; do tpm2_flushcontext --$left; done 2>/dev/null\n\
         exec /usr/bin/systemd-creds \"$@\"\n",
    ),
    (
        "systemctl",
        "#!/bin/sh\nfor left in loaded-session transient-object; do tpm2_flushcontext --$left; done 2>/dev/null\n\
         exec /usr/bin/systemctl \"$@\"\n",
    ),
    ("reboot", "#!/bin/sh\nsystemctl restart machine-tpm\nexec systemctl restart 'inro-signer@*'\n"),
];
/// The shell that goes through the blocks in order and stops at the first that doesn't end as it must.
const DRIVER: &str = r#"
cd "$1"
trap 'echo $? >"$steps/status"' EXIT
steps=$2
set -o pipefail
for number in $(seq 1 "$3"); do
    echo "$number" >"$steps/current"
    ends=$(cat "$steps/$number.ends")
    if [ "$ends" = 0 ]; then
        set -e
        . "$steps/$number.sh" >"$steps/$number.out" 2>&1
    else
        set +e
        . "$steps/$number.sh" >"$steps/$number.out" 2>&1
        [ $? = "$ends" ] || exit 1
    fi
done
echo done >"$steps/current"
exit 0
"#;

/// Removes the control groups of the machine `$0`.
const REMOVE: &str = r#"
mount -t cgroup2 cgroup2 /mnt
own=/mnt$(sed -n s/^0:://p /proc/self/cgroup)/$0
for _ in $(seq 100); do
    find "$own" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$own" ] || exit 0
    sleep 0.05
done
"#;

/// A running machine. Dropping it ends everything on it.
#[derive(Debug)]
pub struct Machine {
    directory: PathBuf,
    process: Process,
    init: Pid,
    runs: u32,
}

impl Machine {
    /// Boots one; its files are kept in `directory`.
    ///
    /// # Errors
    /// With its words when this user may not, or when it doesn't come up.
    pub fn boot(directory: &Path) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "runbooks run on a machine of their own, with a systemd of its own, which only root can boot: `make test` \
             runs this target by sudo; by hand, run it as root"
        );
        let possible = output_of(Command::new("unshare").args(["--fork", "--mount", "--pid", "true"]), b"")?;
        ensure!(
            possible.status.success(),
            "this host doesn't let root have namespaces of its own, as in a container without CAP_SYS_ADMIN: run the tests \
             on a host, or in a container with that ({})",
            String::from_utf8_lossy(&possible.stderr).trim()
        );
        let programs = binaries::find("inro-ca")?;
        for name in ["inro-hsm", "inro-agent"] {
            binaries::find(name)?;
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
        let script = directory.join("boot.sh");
        fs::write(&script, include_str!("boot.sh")).context("writing boot.sh")?;
        programs_of_its_own(directory)?;
        let mut command = Command::new("unshare");
        command.args(["--fork", "--kill-child"]).args(NAMESPACES.iter().filter(|name| **name != "--cgroup"));
        command.arg("--").arg("sh").arg(script).arg(directory).arg(repository);
        command.arg(programs.parent().unwrap_or(Path::new("/")));
        let mut process = Process::spawn("machine", &mut command, directory)?;
        process.wait_until("a running systemd", BOOT, |process| {
            let Some(init) = child_of(process)? else { return Ok(false) };
            let state = output_of(inside(init).args(["systemctl", "is-system-running"]), b"")?;
            Ok(matches!(state.stdout.as_slice(), b"running\n" | b"degraded\n"))
        })?;
        let init = child_of(&process)?.context("the machine has no first process")?;
        Ok(Self { directory: directory.to_owned(), process, init, runs: 0 })
    }

    /// A program on the machine, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = inside(self.init);
        command.args(["env", "-i", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"]);
        command.args(TPM.map(|(name, value)| format!("{name}={value}")));
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").arg(program);
        command
    }

    /// Executes a runbook in the folder `work`.
    ///
    /// # Errors
    /// At the first block that doesn't end as it must or doesn't show what it must, with its place, commands and output.
    pub fn execute(&mut self, runbook: &Document, work: &Path, environment: &Environment) -> Result<()> {
        self.runs += 1;
        let steps = self.directory.join(format!("steps-{}", self.runs));
        fs::create_dir(&steps).with_context(|| format!("making {}", steps.display()))?;
        let put = |name: String, text: &str| {
            fs::write(steps.join(&name), text).with_context(|| format!("writing {name}"))
        };
        for (index, block) in runbook.blocks.iter().enumerate() {
            put(format!("{}.sh", index + 1), &block.commands)?;
            put(format!("{}.ends", index + 1), &block.ends.to_string())?;
        }
        put("driver".to_owned(), DRIVER)?;
        let mut command = self.command("env");
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg("bash").arg(steps.join("driver")).arg(work).arg(&steps);
        command.arg(runbook.blocks.len().to_string());
        let mut shell = Process::spawn(&format!("shell-{}", self.runs), &mut command, &self.directory)?;
        let ended = shell.wait(RUN);
        let read = |name: &str| fs::read_to_string(steps.join(name)).unwrap_or_default();
        for (index, block) in runbook.blocks.iter().enumerate() {
            let (number, output) = ((index + 1).to_string(), read(&format!("{}.out", index + 1)));
            if read("current").trim() == number {
                let status = read("status");
                let how = if ended.is_ok() {
                    format!("ended with {}", status.trim())
                } else {
                    "doesn't end".to_owned()
                };
                bail!("{}", self.explain(runbook, block, &how, &output));
            }
            if let Some(line) = block.missing(&output) {
                bail!("{}", self.explain(runbook, block, &format!("doesn't show `{line}`"), &output));
            }
        }
        ensure!(read("current").trim() == "done", "the shell ended early: {}", shell.log());
        Ok(())
    }

    fn explain(&self, runbook: &Document, block: &Block, how: &str, output: &str) -> String {
        let mut journal = self.command("journalctl");
        let journal = output_of(journal.args(["--no-pager", "--lines=40", "--output=cat"]), b"");
        let journal = journal.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        format!(
            "{}:{} {how} (it must end with {})\n--- commands\n{}--- output\n{output}--- the machine's journal\n{}",
            runbook.path.display(),
            block.line,
            block.ends,
            block.commands,
            journal.unwrap_or_default()
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its control groups outlive it, and can be removed once the last of its processes is gone. There is nobody to tell
        // when they can't be.
        let _ = self.process.kill();
        let name = self.directory.file_name().unwrap_or_default().to_owned();
        let _ = output_of(Command::new("unshare").args(["--mount", "sh", "-c", REMOVE]).arg(name), b"");
    }
}

/// The first process in the machine's namespaces, once there is one.
fn child_of(process: &Process) -> Result<Option<Pid>> {
    Ok(children_of(process.id())?.first().copied())
}

fn inside(init: Pid) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={}", init.as_raw_nonzero())).args(NAMESPACES).arg("--");
    command
}

fn programs_of_its_own(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let programs = directory.join("bin");
    fs::create_dir_all(&programs).context("making a folder for programs")?;
    for (name, script) in PROGRAMS {
        let program = programs.join(name);
        fs::write(&program, script).with_context(|| format!("writing {name}"))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&program, mode).with_context(|| format!("protecting {name}"))?;
    }
    Ok(())
}
