//! Metrics of the process itself: its build, its resources, its logs and its long-lived tasks.
//!
//! A value that the system does not give is left out, because a wrong number would be worse than none.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::exposition::Exposition;
use crate::supervision::{panics, task_restarts};
use crate::telemetry::families::{self, Family};
use crate::telemetry::{LogMetrics, Metrics, Stderr};

pub(super) fn collect(metrics: &Metrics, text: &mut Exposition) {
    // OpenSSL is compiled in, so updates of the machine's packages do not reach it: this shows which fixes are in use.
    let openssl = openssl::version::version();
    text.family(&families::BUILD_INFO)
        .sample(&[env!("CARGO_PKG_VERSION"), openssl], 1);
    collect_resources(text);
    collect_logs(metrics, text);
    let events = &metrics.events;
    text.family(&families::EVENTS_KEPT)
        .sample(&[], events.kept.value())
        .family(&families::EVENTS_DROPPED)
        .sample(&["queue"], events.dropped_queue.value())
        .sample(&["disk"], events.dropped_disk.value())
        .sample(&["internal"], events.dropped_internal.value());
    text.family(&families::TASK_RESTARTS);
    for (task, count) in task_restarts() {
        text.sample(&[task], count);
    }
    text.family(&families::PANICS).sample(&[], panics());
    collect_uncounted(metrics, text);
}

fn collect_uncounted(metrics: &Metrics, text: &mut Exposition) {
    text.family(&families::METRICS_UNCOUNTED);
    for (family, count) in [
        (families::LISTENER_REQUESTS, metrics.requests.uncounted()),
        (families::REQUEST_DURATION, metrics.histograms.uncounted()),
        (families::TLS_HANDSHAKES, metrics.handshakes.uncounted()),
        (families::WAF_REQUESTS, metrics.waf_requests.uncounted()),
        (families::WAF_RULE_MATCHES, metrics.waf_rules.uncounted()),
        (
            families::WAF_NOT_INSPECTED,
            metrics.waf_not_inspected.uncounted(),
        ),
        (
            families::IDENTITY_CHECKS,
            metrics.identity_checks.uncounted(),
        ),
        (families::EXCLUSION_HITS, metrics.exclusion_hits.uncounted()),
        (
            families::SHADOW_REQUESTS,
            metrics.shadow.requests.uncounted(),
        ),
        (
            families::SHADOW_RULE_DIFFERENCES,
            metrics.shadow.rules.uncounted(),
        ),
    ] {
        text.sample(&[family.name], count);
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
    for (family, value) in [
        (
            &families::PROCESS_CPU,
            cpu.map(|seconds| seconds.to_string()),
        ),
        (
            &families::PROCESS_START,
            started.map(|since| since.as_secs_f64().to_string()),
        ),
        (&families::PROCESS_MEMORY, whole(resident())),
        (&families::PROCESS_FDS, whole(open_descriptors())),
        (
            &families::PROCESS_MAX_FDS,
            whole(getrlimit(Resource::Nofile).current),
        ),
    ] {
        if let Some(value) = value {
            text.family(family).sample(&[], value);
        }
    }
}

fn collect_logs(metrics: &Metrics, text: &mut Exposition) {
    use families as f;
    type Log<'l> = (&'l LogMetrics, &'static Family, &'static Family);
    let logs: [Log<'_>; 3] = [
        (
            &metrics.access_log,
            &f::ACCESS_DROPPED,
            &f::ACCESS_WRITE_FAILURES,
        ),
        (
            &metrics.audit_log,
            &f::AUDIT_DROPPED,
            &f::AUDIT_WRITE_FAILURES,
        ),
        (
            Stderr::metrics(),
            &f::DIAGNOSTICS_DROPPED,
            &f::DIAGNOSTICS_WRITE_FAILURES,
        ),
    ];
    for (log, dropped, failures) in logs {
        text.family(dropped)
            .sample(&[], log.dropped.value())
            .family(failures)
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
