//! A client of a Service: it asks the ready endpoints, one after the other, as long as it lives, and counts who does not
//! answer. So that a test can say that nobody noticed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::Api;

const PORT: u16 = 8080;
/// How far its view of the endpoints is behind that of the cluster, as that of a node would be.
const LOOK: Duration = Duration::from_millis(100);
const BETWEEN: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Default)]
pub struct Count {
    pub answered: usize,
    /// Why, and how often. That nobody is there to ask is a failure, too.
    pub failed: BTreeMap<String, usize>,
    /// Which versions answered.
    pub versions: BTreeMap<String, usize>,
}

pub struct Traffic {
    count: Arc<Mutex<Count>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Begins to ask the pods of a Service.
    pub fn begin(api: &Api, namespace: &str, service: &str) -> Self {
        let (count, stop) = (Arc::<Mutex<Count>>::default(), Arc::<AtomicBool>::default());
        let ready: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{service}"
        );
        *ready.lock().expect("a lock") = endpoints(&api.get(&path).unwrap_or_default());
        let looks = {
            let (api, ready, stop) = (api.clone(), ready.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(slices) = api.get(&path) {
                        *ready.lock().expect("a lock") = endpoints(&slices);
                    }
                    std::thread::sleep(LOOK);
                }
            })
        };
        let asks = {
            let (count, stop) = (count.clone(), stop.clone());
            std::thread::spawn(move || {
                for n in 0usize.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let address = {
                        let ready = ready.lock().expect("a lock");
                        (!ready.is_empty()).then(|| ready[n % ready.len()])
                    };
                    let answer = address.map_or_else(|| Err("no endpoint is ready".to_owned()), ask);
                    let mut count = count.lock().expect("a lock");
                    match answer {
                        Ok(version) => {
                            count.answered += 1;
                            *count.versions.entry(version).or_default() += 1;
                        }
                        Err(why) => *count.failed.entry(why).or_default() += 1,
                    }
                    drop(count);
                    std::thread::sleep(BETWEEN);
                }
            })
        };
        Self { count, stop, threads: vec![looks, asks] }
    }

    pub fn count(&self) -> Count {
        self.count.lock().expect("a lock").clone()
    }

    /// Ends, and says what came of it.
    pub fn end(mut self) -> Count {
        self.finish();
        self.count()
    }

    fn finish(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The addresses that are ready, or, where none is, those that serve while they end: as kube-proxy does. Pods have
/// addresses of 10.64.0.0/16 and listen on those of 127.64.0.0/16.
fn endpoints(slices: &Value) -> Vec<SocketAddr> {
    let with = |condition: &str| -> Vec<SocketAddr> {
        let items = slices["items"].as_array().into_iter().flatten();
        let endpoints = items.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let chosen = endpoints.filter(|endpoint| endpoint["conditions"][condition] == true);
        let addresses = chosen.filter_map(|endpoint| endpoint["addresses"][0].as_str());
        addresses
            .filter_map(|address| format!("127{}:{PORT}", address.strip_prefix("10")?).parse().ok())
            .collect()
    };
    let ready = with("ready");
    if ready.is_empty() { with("serving") } else { ready }
}

/// The version of whoever answers.
fn ask(address: SocketAddr) -> Result<String, String> {
    let answer = exchange(address).map_err(|error| error.kind().to_string())?;
    let mut lines = answer.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("nothing");
    if status != "200" {
        return Err(format!("status {status}"));
    }
    let version =
        lines.find_map(|line| line.to_ascii_lowercase().strip_prefix("x-version: ").map(str::to_owned));
    Ok(version.unwrap_or_default())
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
