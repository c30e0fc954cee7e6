//! A small web server that runs `git http-backend`, as strict or as hostile as a test asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;

use crate::bed::git_command;

/// What a server does besides serving.
#[derive(Default)]
pub struct Manners {
    /// `user:password` that it wants.
    pub login: Option<String>,
    /// Sends every request on to here.
    pub redirect: Option<String>,
    /// The repository's new name: requests for the old one are sent on to it, on this host.
    pub renamed: Option<&'static str>,
    /// Sends requests on only once they carry credentials.
    pub redirect_after_login: bool,
    /// Answers every request with this status.
    pub status: Option<&'static str>,
    /// Closes the connection after so many bytes of a pack.
    pub cut: Option<usize>,
    /// Sends nothing for so long before it answers.
    pub silence: Option<Duration>,
    /// Sends this pack instead of its own.
    pub pack: Option<Vec<u8>>,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub authorization: Option<String>,
}

/// Stopped when dropped.
pub struct Web {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    root: PathBuf,
    manners: Mutex<Manners>,
    requests: Mutex<Vec<Request>>,
    sent: AtomicUsize,
    stop: AtomicBool,
}

impl Web {
    pub fn start(root: &Path, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            root: root.to_owned(),
            manners: Mutex::new(manners),
            requests: Mutex::default(),
            sent: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let state = shared.clone();
                std::thread::spawn(move || {
                    // A client that goes away is what some tests are about.
                    let _ = stream.and_then(|stream| state.connection(stream));
                });
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        let tls = self.state.manners.lock().unwrap().tls.is_some();
        format!("{}://127.0.0.1:{}/infra.git", if tls { "https" } else { "http" }, self.port())
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.state.manners.lock().unwrap());
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Forgets the requests and bytes so far.
    pub fn reset(&self) {
        self.state.requests.lock().unwrap().clear();
        self.state.sent.store(0, Ordering::SeqCst);
    }

    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Answer {
    head: String,
    body: Vec<u8>,
    cut: Option<usize>,
}

impl Answer {
    fn plain(status: &str, header: &str) -> Self {
        Self { head: format!("{status}\r\n{header}"), body: Vec::new(), cut: None }
    }
}

impl State {
    fn connection(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let tls = self.manners.lock().unwrap().tls.clone();
        let stream: Box<dyn Stream> = match tls {
            Some(config) => {
                let session = rustls::ServerConnection::new(config).unwrap();
                Box::new(rustls::StreamOwned::new(session, stream))
            }
            None => Box::new(stream),
        };
        let mut stream = BufReader::new(stream);
        while let Some((request, method, target, body)) = read_request(&mut stream)? {
            let authorized = request.authorization.clone();
            self.requests.lock().unwrap().push(request);
            let answer = self.answer(&method, &target, &body, authorized.as_deref());
            let silence = self.manners.lock().unwrap().silence;
            silence.into_iter().for_each(std::thread::sleep);
            let head = format!("HTTP/1.1 {}Content-Length: {}\r\n\r\n", answer.head, answer.body.len());
            let body = &answer.body[..answer.cut.unwrap_or(answer.body.len()).min(answer.body.len())];
            stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
            stream.get_mut().flush()?;
            self.sent.fetch_add(head.len() + body.len(), Ordering::SeqCst);
            if answer.cut.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn answer(&self, method: &str, target: &str, body: &[u8], authorization: Option<&str>) -> Answer {
        let manners = self.manners.lock().unwrap();
        if let Some(status) = manners.status {
            return Answer::plain(status, "");
        }
        if let (Some(new), Some(rest)) = (manners.renamed, target.strip_prefix("/infra.git")) {
            return Answer::plain("301 Moved Permanently", &format!("Location: /{new}{rest}\r\n"));
        }
        let wanted = manners
            .login
            .as_ref()
            .map(|login| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login)));
        let may_pass = wanted.is_none() || authorization == wanted.as_deref();
        if let Some(other) = manners.redirect.as_ref().filter(|_| may_pass || !manners.redirect_after_login) {
            return Answer::plain("302 Found", &format!("Location: {other}{target}\r\n"));
        }
        if !may_pass {
            return Answer::plain("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n");
        }
        let cut = manners.cut.filter(|_| method == "POST");
        let pack = manners.pack.clone().filter(|_| method == "POST");
        drop(manners);
        let mut answer = Answer { cut, ..self.backend(method, target, body) };
        if let Some(pack) = pack {
            instead(&mut answer.body, &pack);
        }
        answer
    }

    fn backend(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut child = git_command(&self.root)
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", method)
            .env("CONTENT_TYPE", "application/x-git-upload-pack-request")
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("git http-backend is installed with git");
        let mut stdin = child.stdin.take().unwrap();
        let body = body.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
        let output = child.wait_with_output().unwrap().stdout;
        writer.join().unwrap();
        let split =
            output.windows(4).position(|window| window == b"\r\n\r\n").expect("a CGI answer has a head");
        let (mut status, mut head) = ("200 OK".to_owned(), String::new());
        for line in String::from_utf8_lossy(&output[..split]).lines() {
            match line.strip_prefix("Status: ") {
                Some(text) => status = text.to_owned(),
                None => head.push_str(&format!("{line}\r\n")),
            }
        }
        Answer { head: format!("{status}\r\n{head}"), body: output[split + 4..].to_vec(), cut: None }
    }
}

/// Puts another pack in the place of the one that is sent, in pieces of the first side band.
fn instead(body: &mut Vec<u8>, pack: &[u8]) {
    let said = b"0008NAK\n";
    // The client may ask what is shallow first; no pack comes with that.
    let sends = body.windows(4).any(|window| window == b"PACK");
    let end = body.windows(said.len()).position(|window| window == said);
    let Some(end) = end.filter(|_| sends) else { return };
    body.truncate(end + said.len());
    for piece in pack.chunks(60_000) {
        body.extend(format!("{:04x}\x01", piece.len() + 5).into_bytes());
        body.extend(piece);
    }
    body.extend(b"0000");
}

type Read1 = Option<(Request, String, String, Vec<u8>)>;

fn read_request(stream: &mut impl BufRead) -> std::io::Result<Read1> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { line: line.trim().to_owned(), authorization: None };
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap_or(0),
            "transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    while chunked {
        let mut size = String::new();
        stream.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Ok(Some((request, method, target, body)))
}
