//! The process behind a worker and the two pipes to it: started, written to, read from, waited for.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command as Process};
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::super::frame;
use super::super::protocol::{FromWorker, Setup, ToWorker};
use super::{GRACE, INHERITED, Launch, Shared, lock};
use crate::vendor::Behaviour;

pub(super) fn spawn(launch: &Launch) -> std::io::Result<Child> {
    let mut process = Process::new(&launch.program);
    process.arg("worker").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C is for the parent, which ends its workers in its own order.
    process.process_group(0);
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            process.env(name, value);
        }
    }
    process.envs(&launch.access.environment);
    process.spawn()
}

pub(super) async fn send_setup(
    stdin: &mut ChildStdin,
    setup: Setup,
    behaviour: Behaviour,
) -> std::io::Result<()> {
    // Large enough not to move while the PIN is written into it; wiped afterwards.
    let mut frame = Zeroizing::new(Vec::with_capacity(64 * 1024));
    frame::encode(&ToWorker::Setup(setup, behaviour), &mut frame)?;
    stdin.write_all(&frame).await
}

pub(super) async fn read_frame(stdout: &mut BufReader<ChildStdout>) -> std::io::Result<Option<FromWorker>> {
    let mut prefix = [0; 4];
    match stdout.read_exact(&mut prefix).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0; frame::check_length(prefix)?];
    stdout.read_exact(&mut body).await?;
    frame::decode(&body).map(Some)
}

/// Ends, and closes the pipe, when the last handle is dropped or the worker is retired.
pub(super) async fn write_frames(
    mut outbox: mpsc::UnboundedReceiver<Vec<u8>>,
    mut stdin: ChildStdin,
    shared: Arc<Shared>,
) {
    let mut batch = Vec::new();
    loop {
        let first = tokio::select! {
            first = outbox.recv() => first,
            () = shared.retire.notified() => None,
        };
        let Some(first) = first else { return };
        // What others are about to ask leaves with it.
        tokio::task::yield_now().await;
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < 256 * 1024 {
            let Ok(next) = outbox.try_recv() else { break };
            batch.extend_from_slice(&next);
        }
        if stdin.write_all(&batch).await.is_err() {
            // The process has gone; its supervisor tells the callers.
            return;
        }
    }
}

pub(super) async fn supervise(mut child: Child, mut stdout: BufReader<ChildStdout>, shared: Arc<Shared>) {
    let ended = tokio::select! {
        ended = read_replies(&mut stdout, &shared) => ended,
        () = shared.kill.notified() => {
            let _ = child.start_kill();
            // Nobody need wait until the system is done with it.
            lock(&shared.pending).take();
            None
        }
    };
    let status = reap(&mut child).await;
    let because = lock(&shared.ended_because).clone();
    // Callers first learn the reason, then that they are not answered.
    shared.gone.send_replace(Some(ended.or(because).unwrap_or(status)));
    lock(&shared.pending).take();
}

/// Hands replies to their callers until the stream ends; what is wrong with it, if anything is.
async fn read_replies(stdout: &mut BufReader<ChildStdout>, shared: &Shared) -> Option<String> {
    loop {
        let (number, result, lane_us) = match read_frame(stdout).await {
            Ok(Some(FromWorker::Reply { number, result, lane_us })) => (number, result, lane_us),
            Ok(Some(_)) => return Some("it broke the protocol".to_owned()),
            Ok(None) => return None,
            Err(error) => return Some(format!("its output is broken: {error}")),
        };
        let caller = lock(&shared.pending).as_mut().and_then(|pending| pending.remove(&number));
        if let Some(caller) = caller {
            // A caller that no longer waits is none of our business.
            let _ = caller.send((result, Duration::from_micros(lane_us.into())));
        }
    }
}

/// Waits a little for the process to end, kills it if it doesn't, and says how it ended.
pub(super) async fn reap(child: &mut Child) -> String {
    match timeout(GRACE, child.wait()).await {
        Ok(Ok(status)) => format!("it ended with {status}"),
        Ok(Err(error)) => format!("its end can't be told: {error}"),
        Err(_) => {
            // Not waited for: a process that hangs in a driver doesn't end even so.
            let _ = child.start_kill();
            "it closed its pipe without ending, and was killed".to_owned()
        }
    }
}
