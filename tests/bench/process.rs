//! What a process used, by the kernel's own word.

use std::fs;

#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_mib: f64,
    pub peak_mib: f64,
}

pub fn usage(pid: u32) -> Usage {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces; the numbers come after its closing bracket.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field =
        |n: usize| rest.split_whitespace().nth(n).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in ticks of 10 ms, as Linux has had them on every machine for decades.
    let cpu_seconds = (field(11) + field(12)) / 100.0;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    Usage { cpu_seconds, resident_mib: mib("VmRSS:"), peak_mib: mib("VmHWM:") }
}
