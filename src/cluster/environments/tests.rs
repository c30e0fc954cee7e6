use std::collections::VecDeque;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use tower::BoxError;

use super::*;

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server that answers each request by the next of these, and never the ones after; and what it was asked.
fn server(answers: &[(u16, Value)]) -> (Environments, Cluster, Asked) {
    let asked = Asked::default();
    let heard = asked.clone();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers.to_vec())));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (heard, answers) = (heard.clone(), answers.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let line = format!("{} {}", head.method, head.uri);
            heard.lock().unwrap().push((line, serde_json::from_slice(&body).unwrap_or_default()));
            let next = answers.lock().unwrap().pop_front();
            let Some((status, answer)) = next else { std::future::pending().await };
            let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
            let mut response = Response::new(http_body_util::Full::new(Bytes::from(text)));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, BoxError>(response)
        }
    });
    let cluster = Cluster::of(kube::Client::new(service, "default"));
    (Environments::new(&cluster, "test"), cluster, asked)
}

fn lines(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
}

fn dev() -> Environment {
    let spec = json!({
        "source": {"url": "https://git.example/infra.git", "branch": "dev"},
        "serviceAccount": {"namespace": "fairlead", "name": "deploy"}, "namespaces": ["web"],
    });
    let mut dev = Environment::new("dev", serde_json::from_value(spec).unwrap());
    dev.metadata.uid = Some("uid".to_owned());
    dev
}

fn steps() -> Vec<Value> {
    vec![json!({"op": "add", "path": "/status/shortRevision", "value": "abc"})]
}

fn busy() -> (u16, Value) {
    (429, json!({"kind": "Status", "reason": "TooManyRequests"}))
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_again_where_the_server_is_busy() {
    let (environments, cluster, asked) = server(&[busy(), (503, json!({})), (200, json!({}))]);
    environments.patch_status(&dev(), steps(), Some("7")).await.unwrap();
    let line = "PATCH /apis/fairlead.dev/v1alpha1/environments/dev/status?fieldManager=fairlead";
    assert_eq!(lines(&asked), [line; 3]);
    assert_eq!(
        asked.lock().unwrap()[2].1,
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "uid"},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "add", "path": "/status/shortRevision", "value": "abc"},
        ])
    );
    assert_eq!(cluster.counts().retries.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let (environments, _, asked) = server(&[]);
    let began = tokio::time::Instant::now();
    let error = environments.get("dev").await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error:?}");
    assert!(began.elapsed() <= Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(asked.lock().unwrap().len(), 2, "and is asked again");
}

#[tokio::test(start_paused = true)]
async fn what_is_told_waits_for_a_slot_as_all_calls_do() {
    let (environments, cluster, asked) = server(&[(200, json!({}))]);
    let all = cluster.take_slots().await;
    let environment = dev();
    let write = environments.patch_status(&environment, steps(), Some("7"));
    let mut write = std::pin::pin!(write);
    assert!(tokio::time::timeout(Duration::from_secs(5), &mut write).await.is_err());
    assert!(asked.lock().unwrap().is_empty());
    drop(all);
    write.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_no_error_and_a_kind_that_is_not_served_is_told_apart() {
    let gone = json!({"kind": "Status", "reason": "NotFound"});
    let (environments, _, _) = server(&[(404, gone), (404, json!("404 page not found"))]);
    assert!(environments.get("dev").await.unwrap().is_none());
    assert!(environments.list().await.unwrap_err().is_unserved());
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_first_answer_was_lost_is_written_once() {
    let there = json!({"kind": "Status", "reason": "AlreadyExists"});
    let (environments, _, asked) = server(&[(504, json!({})), (409, there)]);
    let environment = Environment::new(
        "dev",
        serde_json::from_value(json!({
            "source": {"url": "https://git.example/infra", "branch": "main"}, "namespaces": ["web"],
            "serviceAccount": {"namespace": "web", "name": "fairlead"},
        }))
        .unwrap(),
    );
    environments.event(&environment, false, "RolledOut", "Rollout", "web runs abc").await;
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1], "under one name");
    assert_eq!(asked[0].0, "POST /apis/events.k8s.io/v1/namespaces/default/events");
    assert_eq!(
        (&asked[0].1["note"], &asked[0].1["regarding"]["name"]),
        (&json!("web runs abc"), &json!("dev"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_selector_finds_says_of_which_kind_it_is() {
    let list = json!({"kind": "PodList", "items": [{"metadata": {"name": "a"}}]});
    let (environments, _, asked) = server(&[(200, list)]);
    let pods = environments.pods("web", "app=web,tier in (a b)", None).await.unwrap();
    assert_eq!(pods, [json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})]);
    let line = "GET /api/v1/namespaces/web/pods?labelSelector=app%3Dweb%2Ctier%20in%20%28a%20b%29&limit=50";
    assert_eq!(lines(&asked), [line]);
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_does_not_answer_holds_no_reason_up() {
    let (environments, _, asked) = server(&[]);
    let began = tokio::time::Instant::now();
    assert_eq!(environments.log_tail("web", "web-1", "main", None).await, None);
    assert!(began.elapsed() <= 2 * LOG_TIMEOUT, "{:?}", began.elapsed());
    let line =
        "GET /api/v1/namespaces/web/pods/web-1/log?container=main&previous=true&tailLines=5&limitBytes=1000";
    assert_eq!(lines(&asked)[0], line);
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_a_container_are_told_on_one_line() {
    let (environments, _, _) = server(&[(400, json!({"reason": "BadRequest"})), (200, json!("one\ntwo\n"))]);
    let words = environments.log_tail("web", "web-1", "main", None).await;
    assert_eq!(words.as_deref(), Some("one | two"));
}

#[tokio::test(start_paused = true)]
async fn what_an_account_may_not_read_is_read_by_the_agent() {
    let refused = json!({"kind": "Status", "reason": "Forbidden", "message": "no"});
    let list = json!({"kind": "PodList", "items": [{"metadata": {"name": "a"}}]});
    let (environments, _, asked) = server(&[(403, refused), (200, list)]);
    let account = Identity { namespace: "teams".to_owned(), name: "web".to_owned() };
    assert_eq!(environments.pods("web", "app=web", Some(&account)).await.unwrap().len(), 1);
    assert_eq!(lines(&asked).len(), 2);
}
