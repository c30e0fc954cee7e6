use std::fmt::Write;

use crate::subject::Measured;

/// A Markdown table for each workload, with each figure's ratio to the best bare client in the same phase.
pub fn render(results: &[Measured]) -> String {
    let mut out = String::new();
    let mut workloads: Vec<&str> = results.iter().map(|result| result.workload.as_str()).collect();
    workloads.dedup();
    for workload in workloads {
        let rows: Vec<&Measured> = results.iter().filter(|result| result.workload == workload).collect();
        let _ = writeln!(out, "\n### {workload}\n");
        let _ = writeln!(
            out,
            "| phase | who | s | × bare client | requests | client CPU s | server CPU s | per 1,000: s | memory MiB (peak) |"
        );
        let _ = writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        let mut phases: Vec<&str> = rows.iter().map(|row| row.phase.as_str()).collect();
        phases.sort_by_key(|phase| rows.iter().position(|row| row.phase == *phase));
        phases.dedup();
        for phase in phases {
            let bare = rows
                .iter()
                .filter(|row| row.phase == phase && row.subject.starts_with("bare"))
                .map(|row| row.seconds)
                .min_by(f64::total_cmp);
            for row in rows.iter().filter(|row| row.phase == phase) {
                let ratio = bare.map_or("–".to_owned(), |bare| format!("{:.2}", row.seconds / bare));
                let memory = if row.peak_mib > 0.0 {
                    format!("{:.0} ({:.0})", row.resident_mib, row.peak_mib)
                } else {
                    "–".to_owned()
                };
                let _ = writeln!(
                    out,
                    "| {phase} | {} | {:.2} | {ratio} | {} | {:.2} | {:.2} | {:.2} | {memory} |",
                    row.subject,
                    row.seconds,
                    row.requests,
                    row.client_cpu,
                    row.server_cpu,
                    row.seconds * 1000.0 / row.objects as f64,
                );
            }
        }
    }
    out
}
