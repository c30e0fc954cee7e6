//! The proxy does to a connection what it says: a fault that does no harm would show nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Class, Effect, End, Fault, Proxy};
use crate::bed::ControlPlane;

/// What comes back on a connection of its own until it ends, and how it ends; `WouldBlock` where it stays open.
fn ask(proxy: &Proxy, path: &str) -> (String, Result<(), ErrorKind>) {
    let kubeconfig = std::fs::read_to_string(proxy.kubeconfig()).expect("a kubeconfig");
    let kubeconfig: serde_json::Value = serde_json::from_str(&kubeconfig).expect("JSON");
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().expect("a URL");
    let token = kubeconfig["users"][0]["user"]["token"].as_str().expect("a token");
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) => break Err(error.kind()),
        }
    };
    (String::from_utf8_lossy(&all).into_owned(), end)
}

fn harmed(class: Class, effect: Effect, path: &str) -> (String, Result<(), ErrorKind>) {
    let proxy = Proxy::start(ControlPlane::shared());
    proxy.set(Fault::nth(class, 1, effect));
    ask(&proxy, path)
}

const WATCH: &str = "/apis/fairlead.dev/v1alpha1/environments?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

#[test]
fn connections_are_closed_reset_and_left_silent() {
    for effect in [Effect::CutBefore, Effect::CutAfter] {
        assert_eq!(harmed(Class::Discovery, effect, "/api"), (String::new(), Ok(())));
    }
    for effect in [Effect::ResetBefore, Effect::ResetAfter] {
        let end = harmed(Class::Discovery, effect, "/api");
        assert_eq!(end, (String::new(), Err(ErrorKind::ConnectionReset)));
    }
    assert_eq!(
        harmed(Class::Discovery, Effect::Silence, "/api"),
        (String::new(), Err(ErrorKind::WouldBlock))
    );
}

#[test]
fn an_answer_is_cut_in_the_middle_of_its_length() {
    let (text, end) = harmed(Class::Discovery, Effect::Truncate, "/api");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    assert_eq!(length.parse::<usize>().expect("a number") / 2, body.len());
    assert_eq!(end, Ok(()));
}

#[test]
fn watches_end_in_each_way() {
    let ends = |how| harmed(Class::Watch, Effect::Ends { after: 0, how }, WATCH);
    let (text, _) = ends(End::Gone);
    assert!(text.contains("\"type\":\"ERROR\"") && text.contains("410"), "{text}");
    // A chunk of no length is the end of an answer that is whole.
    let (text, _) = ends(End::Close);
    assert!(text.ends_with("\r\n\r\n0\r\n\r\n"), "{text}");
    let (text, end) = ends(End::Stall);
    assert_eq!((text.split_once("\r\n\r\n").expect("a head").1, end), ("", Err(ErrorKind::WouldBlock)));
    let began = Instant::now();
    let (text, _) = harmed(Class::Watch, Effect::Expired, WATCH);
    assert!(text.starts_with("HTTP/1.1 410") && began.elapsed() < Duration::from_secs(3), "{text}");
}
