use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A line to a server on this machine that can be cut, and mended.
pub struct Link {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    /// Leads to a port until the test process ends.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let state: Arc<State> = Arc::default();
        let of = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of.is_cut.load(Ordering::Relaxed) {
                    continue; // It is closed at once.
                }
                let Ok(there) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let both = [(&stream, &there), (&there, &stream)];
                for (from, to) in both.map(|(from, to)| (from.try_clone(), to.try_clone())) {
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    std::thread::spawn(move || carry(from, to));
                }
                of.open.lock().expect("a lock").extend([stream, there]);
            }
        });
        Self { port: own, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
        for stream in self.state.open.lock().expect("a lock").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.state.is_cut.store(false, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
