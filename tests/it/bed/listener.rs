use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Takes what is posted to it as JSON, and says yes.
pub struct Listener {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    /// Serves until the test process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
        let into = bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let into = into.clone();
                // A client may open a second connection while it keeps the first one.
                std::thread::spawn(move || serve(stream, &into));
            }
        });
        Self { address, bodies }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().expect("no test panics while it holds this").clone()
    }
}

fn serve(stream: TcpStream, into: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = read(&mut reader) {
        into.lock().expect("no test panics while it holds this").push(body);
        if reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            break;
        }
    }
}

/// The body of one request.
fn read(reader: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().ok()?,
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
