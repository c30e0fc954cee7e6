use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;

use super::*;

fn notice(n: usize) -> Notice {
    Notice {
        environment: EnvironmentName::new("dev").unwrap(),
        app: Some(AppName::new("web").unwrap()),
        reason: "Restored",
        warning: true,
        message: format!("web: number {n}"),
        time: "2026-01-01T00:00:00Z".to_owned(),
    }
}

/// Answers with these codes, then with 200, and writes down what it was told.
type Received = Arc<(Mutex<VecDeque<u16>>, Mutex<Vec<serde_json::Value>>)>;

async fn receive(State(seen): State<Received>, body: String) -> StatusCode {
    let code = seen.0.lock().unwrap().pop_front().unwrap_or(200);
    seen.1.lock().unwrap().push(serde_json::from_str(&body).unwrap());
    StatusCode::from_u16(code).unwrap()
}

async fn listener(codes: &[u16]) -> (String, Received) {
    let seen: Received = Arc::new((Mutex::new(codes.iter().copied().collect()), Mutex::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/hook/s3cret", post(receive)).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (format!("http://{address}/hook/s3cret"), seen)
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never did");
}

#[tokio::test]
async fn a_notice_is_posted_and_tried_again_until_it_is_taken() {
    let (url, seen) = listener(&[503]).await;
    let notifier = Notifier::start(Webhook::new(&url).unwrap());
    notifier.tell(notice(1));
    notifier.tell(notice(2));
    until(|| seen.1.lock().unwrap().len() == 3).await;
    let bodies = seen.1.lock().unwrap().clone();
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!((&bodies[1]["reason"], &bodies[1]["app"]), (&"Restored".into(), &"web".into()));
    assert_eq!(bodies[2]["message"], "web: number 2");
    assert_eq!(notifier.lost(), 0);
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_at_once_and_the_next_goes() {
    let (url, seen) = listener(&[404]).await;
    let notifier = Notifier::start(Webhook::new(&url).unwrap());
    notifier.tell(notice(1));
    notifier.tell(notice(2));
    until(|| seen.1.lock().unwrap().len() == 2).await;
    assert_eq!(seen.1.lock().unwrap()[1]["message"], "web: number 2");
    assert_eq!(notifier.lost(), 1);
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts() {
    struct Never;
    impl Channel for Never {
        fn send<'a>(&'a self, _: &'a Notice) -> BoxFuture<'a, Result<(), Unsent>> {
            Box::pin(std::future::pending())
        }
    }
    let notifier = Notifier::start(Never);
    (0..WAITING + 20).for_each(|n| notifier.tell(notice(n)));
    assert!(notifier.lost() >= 19, "{}", notifier.lost());
}

#[tokio::test]
async fn no_error_shows_the_url() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook/s3cret", listener.local_addr().unwrap());
    drop(listener);
    let unsent = Webhook::new(&url).unwrap().send(&notice(1)).await.unwrap_err();
    assert!(matches!(&unsent, Unsent::Later(why) if !why.contains("s3cret")), "{unsent}");
    for bad in ["ftp://host/s3cret", "s3cret", "http://", ""] {
        let error = Webhook::new(bad).err().expect("it is refused").to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
