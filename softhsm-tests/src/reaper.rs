//! Ends the children of a process that had no time to do so: after Ctrl-C, `kill -9`, a test runner's deadline.
//!
//! A shell beside this process reads which process groups there are. When its input ends, because this process has ended
//! in whatever way, it kills those that are left.

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// A group of its own keeps it out of the terminal's Ctrl-C. `read` ends with the input, and the loop with it.
const SCRIPT: &str = r#"
groups=" "
while read -r change group; do
    case $change in
    born) groups="$groups$group " ;;
    gone) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

/// The shell. It lives as long as its input.
#[derive(Debug)]
struct Reaper {
    input: ChildStdin,
    #[cfg_attr(not(test), expect(dead_code, reason = "nobody waits for the one that ends last"))]
    shell: Child,
}

impl Reaper {
    fn start() -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "reaper"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let input = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { input, shell })
    }

    fn tell(&mut self, change: &str, group: u32) -> io::Result<()> {
        writeln!(self.input, "{change} {group}")
    }
}

/// The one of this process, started with its first child.
static REAPER: Mutex<Option<Reaper>> = Mutex::new(None);

/// Remembers a process group that must not outlive this process.
pub(crate) fn born(group: u32) -> io::Result<()> {
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    let reaper = match reaper.take() {
        Some(running) => reaper.insert(running),
        None => reaper.insert(Reaper::start()?),
    };
    reaper.tell("born", group)
}

/// Forgets a process group that has ended.
pub(crate) fn gone(group: u32) -> io::Result<()> {
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    reaper.as_mut().map_or(Ok(()), |reaper| reaper.tell("gone", group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").stdout(Stdio::null()).process_group(0).spawn().expect("started")
    }

    #[test]
    fn what_is_left_when_the_input_ends_is_killed_and_nothing_else() {
        let (mut left, mut ended, mut other) = (sleeper(), sleeper(), sleeper());
        let mut reaper = Reaper::start().expect("started");
        for child in [&ended, &left, &other] {
            reaper.tell("born", child.id()).expect("told");
        }
        reaper.tell("gone", other.id()).expect("told");
        let Reaper { input, mut shell } = reaper;
        drop(input);
        shell.wait().expect("the shell ends");
        for child in [&mut left, &mut ended] {
            assert!(!child.wait().expect("killed").success());
        }
        assert!(other.try_wait().expect("looked at").is_none(), "a child that was gone is killed");
        other.kill().and_then(|()| other.wait()).expect("ended");
    }
}
