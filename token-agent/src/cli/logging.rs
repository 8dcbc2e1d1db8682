//! The agent's own log, on standard error, off unless `RUST_LOG` asks for it.
//!
//! Only the agent's own events pass, whatever `RUST_LOG` says: the `yubikey` crate traces every command to the card,
//! and HTTP libraries trace headers. Records of the `log` crate have no way in at all, as no bridge is installed.

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::LookupSpan,
};

/// The TPM's libraries write to standard error whatever goes wrong, in words for their developers; the agent has words of
/// its own. `TSS2_LOG` brings theirs back.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no other thread is there yet that could read the environment meanwhile")]
pub(super) fn quieten_libraries() {
    const LEVEL: &str = "TSS2_LOG";
    if std::env::var_os(LEVEL).is_none() {
        // SAFETY: called first of all in `main`.
        unsafe { std::env::set_var(LEVEL, "all+NONE") };
    }
}

/// Starts logging. Not `init()` of `tracing-subscriber`: that would bridge the `log` crate.
pub(super) fn start() {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| "off".to_owned());
    let subscriber = tracing_subscriber::registry().with(own_events(&directives, std::io::stderr));
    // A second start would keep the first one's.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn own_events<S, W>(directives: &str, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let own = filter_fn(|metadata| {
        let target = metadata.target();
        target == "inro_agent" || target.starts_with("inro_agent::")
    });
    let wanted = EnvFilter::builder().parse_lossy(directives);
    tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).with_filter(wanted.and(own))
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_own_events_pass_whatever_is_asked_for() {
        for directives in ["trace", "yubikey=trace,pcsc=trace", "yubikey::transaction=trace,inro_agent=trace"]
        {
            let memory = Memory::default();
            let sink = memory.clone();
            let subscriber =
                tracing_subscriber::registry().with(own_events(directives, move || sink.clone()));
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "yubikey::transaction", ">>> [0, 32, 0, 128, 8, 54]");
                tracing::trace!(target: "yubikey::apdu", "secret");
                tracing::trace!(target: "pcsc", "secret");
                tracing::trace!(target: "h2::codec", "authorization: secret");
                tracing::error!(target: "inro_agentic", "secret");
                tracing::error!(target: "inro_agent::token", "shown");
            });
            let log = String::from_utf8(memory.0.lock().expect("unpoisoned").clone()).expect("text");
            assert!(!log.contains("secret") && !log.contains(">>>"), "{directives}: {log}");
            assert_eq!(log.contains("shown"), directives.contains("inro_agent") || directives == "trace");
        }
    }

    #[test]
    fn the_log_crate_has_no_way_in() {
        start();
        assert_eq!(log::max_level(), log::LevelFilter::Off);
    }
}
