//! The process itself, under the names that all Prometheus clients use; read from `/proc` at each scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use procfs::{ProcResult, process::Process};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::Register;

/// Gauges of the process.
pub(super) struct ProcessMetrics {
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    virtual_memory: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    started: Gauge<f64, AtomicU64>,
}

impl ProcessMetrics {
    pub(super) fn new(register: &mut Register<'_>) -> Self {
        Self {
            cpu: register.metric("process_cpu_seconds", "User and system CPU time spent"),
            resident: register.metric("process_resident_memory_bytes", "Resident memory size"),
            virtual_memory: register.metric("process_virtual_memory_bytes", "Virtual memory size"),
            open_fds: register.metric("process_open_fds", "Open file descriptors"),
            max_fds: register.metric("process_max_fds", "File descriptors that may be open"),
            threads: register.metric("process_threads", "Threads"),
            started: register
                .metric("process_start_time_seconds", "When the process started, seconds since 1970"),
        }
    }

    /// Reads `/proc/self`. What can't be read keeps its last value.
    pub(super) fn refresh(&self) {
        if let Err(error) = self.read() {
            tracing::debug!(%error, "the process's own figures can't be read");
        }
    }

    fn read(&self) -> ProcResult<()> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second();
        let seconds = |ticks_since: u64| per(ticks_since, ticks);
        self.cpu.inner().store(seconds(stat.utime + stat.stime).to_bits(), Ordering::Relaxed);
        self.resident.set(whole(stat.rss.saturating_mul(procfs::page_size())));
        self.virtual_memory.set(whole(stat.vsize));
        self.threads.set(stat.num_threads);
        self.open_fds.set(whole(process.fd_count()? as u64));
        if let procfs::process::LimitValue::Value(limit) = process.limits()?.max_open_files.soft_limit {
            self.max_fds.set(whole(limit));
        }
        if self.started.get() == 0.0 {
            let booted = procfs::boot_time_secs()?;
            self.started.set(super::approximate(booted) + seconds(stat.starttime));
        }
        Ok(())
    }
}

fn per(count: u64, unit: u64) -> f64 {
    super::approximate(count) / super::approximate(unit.max(1))
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
