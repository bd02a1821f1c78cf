//! Metrics of the process itself: its build, its resources, its logs and its long-lived tasks.
//!
//! A value that the system does not give is left out, because a wrong number would be worse than none.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::exposition::{Exposition, MetricKind};
use crate::supervision::{panics, task_restarts};
use crate::telemetry::{LogMetrics, Metrics, Stderr};

pub(super) fn collect(metrics: &Metrics, text: &mut Exposition) {
    // OpenSSL is compiled in, so updates of the machine's packages do not reach it: this shows which fixes are in use.
    let openssl = openssl::version::version();
    let build = [("version", env!("CARGO_PKG_VERSION")), ("openssl", openssl)];
    text.family(
        "build_info",
        MetricKind::Gauge,
        "1; what was built, as labels.",
    )
    .sample(&build, 1);
    collect_resources(text);
    collect_logs(metrics, text);
    collect_events(metrics, text);
    text.family(
        "task_restarts_total",
        MetricKind::Counter,
        "Times that a long-lived task panicked or failed and began again.",
    );
    for (task, count) in task_restarts() {
        text.sample(&[("task", task)], count);
    }
    text.family(
        "panics_total",
        MetricKind::Counter,
        "Panics in this process.",
    )
    .sample(&[], panics());
}

fn collect_events(metrics: &Metrics, text: &mut Exposition) {
    let events = &metrics.events;
    text.family(
        "events_kept_total",
        MetricKind::Counter,
        "Requests that were kept as events.",
    )
    .sample(&[], events.kept.value());
    text.family(
        "events_dropped_total",
        MetricKind::Counter,
        "Events that were not kept, by reason: queue (too many waited), disk (it did not take them), internal.",
    );
    for (reason, counter) in [
        ("queue", &events.dropped_queue),
        ("disk", &events.dropped_disk),
        ("internal", &events.dropped_internal),
    ] {
        text.sample(&[("reason", reason)], counter.value());
    }
}

/// The families that Prometheus clients have in every language.
fn collect_resources(text: &mut Exposition) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = u64::try_from(cpu.tv_sec)
        .ok()
        .zip(u32::try_from(cpu.tv_nsec).ok());
    let cpu = cpu.map(|(seconds, nanos)| Duration::new(seconds, nanos).as_secs_f64());
    let started = started().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let whole = |number: Option<u64>| number.map(|n| n.to_string());
    for (name, kind, help, value) in [
        (
            "process_cpu_seconds_total",
            MetricKind::Counter,
            "CPU time in user and system mode, in seconds.",
            cpu.map(|seconds| seconds.to_string()),
        ),
        (
            "process_start_time_seconds",
            MetricKind::Gauge,
            "When the process started, in seconds since 1970.",
            started.map(|since| since.as_secs_f64().to_string()),
        ),
        (
            "process_resident_memory_bytes",
            MetricKind::Gauge,
            "Memory that is in RAM.",
            whole(resident()),
        ),
        (
            "process_open_fds",
            MetricKind::Gauge,
            "Descriptors that are open.",
            whole(open_descriptors()),
        ),
        (
            "process_max_fds",
            MetricKind::Gauge,
            "Descriptors that may be open.",
            whole(getrlimit(Resource::Nofile).current),
        ),
    ] {
        if let Some(value) = value {
            text.standard_family(name, kind, help).sample(&[], value);
        }
    }
}

fn collect_logs(metrics: &Metrics, text: &mut Exposition) {
    type Log = (&'static str, &'static str, &'static str, &'static str);
    const LOGS: [Log; 3] = [
        (
            "access_lines_dropped_total",
            "Access lines that their target did not take in time.",
            "access_write_failures_total",
            "Tries to write the access log that failed.",
        ),
        (
            "audit_lines_dropped_total",
            "Audit records that their target did not take in time.",
            "audit_write_failures_total",
            "Tries to write the audit log that failed.",
        ),
        (
            "diagnostics_lines_dropped_total",
            "Lines that stderr did not take in time.",
            "diagnostics_write_failures_total",
            "Tries to write to stderr that failed.",
        ),
    ];
    let counted: [&LogMetrics; 3] = [&metrics.access_log, &metrics.audit_log, Stderr::metrics()];
    for ((dropped, dropped_help, failures, failures_help), log) in LOGS.into_iter().zip(counted) {
        text.family(dropped, MetricKind::Counter, dropped_help)
            .sample(&[], log.dropped.value())
            .family(failures, MetricKind::Counter, failures_help)
            .sample(&[], log.write_failures.value());
    }
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    // The kernel writes "kB" and means 1024 bytes (proc_pid_status(5)).
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn open_descriptors() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of the descriptors is our own, which reads the folder.
    Some(open.saturating_sub(1))
}

fn started() -> Option<SystemTime> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses that may hold spaces and parentheses itself, so we count from the last
    // one. Field 3 is then index 0, and field 22, the start time, is index 19 (proc_pid_stat(5)).
    let ticks: u64 = stat
        .rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let since_boot = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second());
    Some(UNIX_EPOCH + Duration::from_secs(booted.trim().parse().ok()?) + since_boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_from_the_system() {
        let since = started().unwrap().elapsed().unwrap();
        assert!(since < Duration::from_secs(3600), "{since:?}");
        assert!(resident().unwrap() > 100_000);
        let before = open_descriptors().unwrap();
        let _open = fs::File::open("/proc/self/stat").unwrap();
        assert!(open_descriptors().unwrap() > before);
    }
}
