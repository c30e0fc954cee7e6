use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{Bed, SECOND, SOON, wait_until};
use crate::tools::tool;

/// A watch that writes down every state of a field that was ever stored.
pub struct Seen {
    values: Arc<Mutex<Vec<String>>>,
    child: Child,
}

impl Seen {
    /// Of an object as kubectl names it, and a field as its JSON path.
    #[track_caller]
    pub fn of(bed: &Bed, object: &str, field: &str) -> Self {
        let mut child = Command::new(tool("FAIRLEAD_KUBECTL"))
            .env("KUBECONFIG", &bed.control_plane().kubeconfig)
            .args(["--namespace", &bed.name, "get", object, "--watch"])
            .args(["-o", &format!("jsonpath={{{field}}}{{\"\\n\"}}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let values: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = values.clone();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                seen.lock().expect("a lock").push(line);
            }
        });
        wait_until(SOON, "the watch began", || !values.lock().expect("a lock").is_empty());
        Self { values, child }
    }

    /// Every state that was seen, each change once, when `last` has come by.
    #[track_caller]
    pub fn until(&self, last: &str) -> Vec<String> {
        // What happened a moment ago is on its way.
        std::thread::sleep(SECOND / 3);
        let values = || self.values.lock().expect("a lock").clone();
        wait_until(SOON, last, || values().last().is_some_and(|value| value == last));
        let mut values = values();
        values.dedup();
        values
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
