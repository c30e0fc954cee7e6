//! A PostgreSQL server of this process, places for histories in both databases, and records to put there.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use fairlead::history::Entry;
use fairlead::history::{self, History, Place, Query, Settings};
use fairlead::object::{
    AppName, Commit, DriftAction, DriftClass, DriftOperation, DriftRecord, EnvironmentName, EventKind,
    ObjectKey, Outcome, RecordId, Revision, RolloutRecord, TimelineEvent,
};
use jiff::{SignedDuration, Timestamp};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};

/// As long as a slow machine may take for anything.
pub const SOON: Duration = Duration::from_secs(60);
pub const PASSWORD: &str = "s3cret-w0rd";

/// A server on loopback. It ends when its standard input does, and so with this process, however that ends.
pub struct Server {
    pub port: u16,
    folder: PathBuf,
    watcher: Option<Child>,
    databases: AtomicU32,
}

/// The one server that most tests share. Fails where it cannot be had: a test that skips itself proves nothing.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[]))
}

fn programs() -> PathBuf {
    let folder = std::env::var_os("FAIRLEAD_POSTGRES").expect(
        "FAIRLEAD_POSTGRES is not set: `source make/tools.sh; need postgres` installs PostgreSQL and says where it is",
    );
    PathBuf::from(folder)
}

/// PostgreSQL refuses root. Root becomes somebody else in a user namespace of its own, where its files stay its own.
fn as_user(program: &Path) -> Command {
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=65534", "--map-group=65534"]).arg(program);
    command
}

impl Server {
    pub fn start(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("fairlead-history-").tempdir().expect("a folder").keep();
        std::fs::write(folder.join("password"), PASSWORD).expect("it is written");
        let data = folder.join("data");
        let made = as_user(&programs().join("initdb"))
            .args(["-U", "app", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .arg(format!("--pwfile={}", folder.join("password").display()))
            .stdin(Stdio::null())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).expect("a port").port();
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 200\n\
             shared_buffers = 32MB\nmax_wal_size = 1GB\n"
        );
        settings.iter().for_each(|line| text += &format!("{line}\n"));
        let file = data.join("postgresql.auto.conf");
        std::fs::write(file, text).expect("it is written");
        let mut server = Self { port, folder, watcher: None, databases: AtomicU32::new(0) };
        server.run();
        server
    }

    /// Starts it, or starts it again, and waits until it takes connections.
    pub fn run(&mut self) {
        let postgres = as_user(&programs().join("postgres"));
        let program = [postgres.get_program()].into_iter().chain(postgres.get_args());
        // The shell ends the server by its process id when nobody holds its standard input any more, and takes its folder
        // away but where it is to be started again.
        let _ = std::fs::remove_file(self.folder.join("keep"));
        let watch = "\"$@\" >\"$FOLDER/log\" 2>&1 </dev/null & pid=$!; cat >/dev/null; kill -INT $pid 2>/dev/null; \
                     wait $pid; [ -e \"$FOLDER/keep\" ] || rm -rf \"$FOLDER\"";
        let watcher = Command::new("sh")
            .args(["-c", watch, "watch"])
            .args(program)
            .arg("-D")
            .arg(self.folder.join("data"))
            .env("FOLDER", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        self.watcher = Some(watcher);
        let begin = Instant::now();
        let url = self.url_of("postgres");
        // Beside whatever runtime the caller is on.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    while PgConnection::connect(&url).await.is_err() {
                        assert!(begin.elapsed() < SOON, "PostgreSQL does not come up: {}", self.log());
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                });
            });
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it in the middle of whatever it does, as a crash does.
    pub fn crash(&mut self) {
        std::fs::write(self.folder.join("keep"), "").expect("it is written");
        let file = self.folder.join("data/postmaster.pid");
        let text = std::fs::read_to_string(&file).expect("it runs");
        let pid = text.lines().next().expect("its process id").to_owned();
        let killed = Command::new("kill").args(["-QUIT", &pid]).status().expect("kill runs");
        assert!(killed.success());
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            watcher.wait().expect("it ends");
        }
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://app:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a database that nobody else has.
    pub async fn database(&self) -> String {
        let name = format!("history_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        sql(&self.url_of("postgres"), &format!("CREATE DATABASE {name}")).await;
        self.url_of(&name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            let _ = watcher.wait();
        }
    }
}

/// A place for a history, its URL, and the folder that it is in if it is a file.
pub struct Bed {
    pub url: String,
    pub place: Place,
    _folder: Option<tempfile::TempDir>,
}

impl Bed {
    pub async fn postgres() -> Self {
        Self::at(server().database().await)
    }

    pub fn at(url: String) -> Self {
        Self { place: url.parse().expect("a place"), url, _folder: None }
    }

    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("history.sqlite").display());
        Self { place: url.parse().expect("a place"), url, _folder: Some(folder) }
    }

    /// One of each database.
    pub async fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres().await]
    }

    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    pub fn history(&self) -> History {
        History::start(self.place.clone(), settings())
    }

    /// Writes entries by a history of their own.
    pub async fn write(&self, entries: Vec<Entry>) {
        let history = self.history();
        let count = entries.len() as u64;
        for entry in entries {
            match entry {
                Entry::Rollout(row) => history.tell(&row.environment, row.record),
                Entry::Drift(drift) => history.tell_drift(*drift),
                Entry::Event(event) => history.tell_event(*event),
            }
        }
        until("it is written", || history.counts().0 == count).await;
        history.end().await;
        assert_eq!(history.counts().2, 0, "nothing is lost");
    }

    pub async fn read(&self, query: &Query) -> Vec<Entry> {
        let found = history::read(&self.place, query).await.expect("it is read");
        assert_eq!(found.unreadable, 0);
        found.entries
    }

    pub async fn all(&self) -> Vec<Entry> {
        self.read(&Query { limit: 1_000_000, ..Query::default() }).await
    }

    /// All drift records, the oldest first.
    pub async fn drift(&self) -> Vec<DriftRecord> {
        let drift = self.all().await.into_iter().rev().filter_map(|entry| match entry {
            Entry::Drift(drift) => Some(*drift),
            _ => None,
        });
        drift.collect()
    }

    pub async fn look_after(&self, now: Timestamp) -> history::Done {
        history::look_after(&self.place, &settings(), now).await.expect("it is looked after")
    }

    /// Changes the database behind the back of the history.
    pub async fn sql(&self, text: &str) -> u64 {
        sql(&self.url, text).await
    }

    pub async fn number(&self, text: &str) -> i64 {
        number(&self.url, text).await
    }
}

pub fn settings() -> Settings {
    // What is looked after when is the word of each test.
    Settings { cluster: "east".to_owned(), upkeep_every: None, ..Settings::default() }
}

pub async fn sql(url: &str, text: &str) -> u64 {
    if url.starts_with("postgres") {
        let mut connection = PgConnection::connect(url).await.expect("it connects");
        let done = sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{text}: {error}")).rows_affected()
    } else {
        let mut connection = SqliteConnection::connect(url).await.expect("it opens");
        let done = sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{text}: {error}")).rows_affected()
    }
}

/// The one value that a query gives.
macro_rules! value {
    ($url:expr, $text:expr, $of:ty) => {{
        if $url.starts_with("postgres") {
            let mut connection = PgConnection::connect($url).await.expect("it connects");
            let row = sqlx::query(AssertSqlSafe($text)).fetch_one(&mut connection).await;
            row.unwrap_or_else(|error| panic!("{}: {error}", $text)).get::<$of, _>(0)
        } else {
            let mut connection = SqliteConnection::connect($url).await.expect("it opens");
            let row = sqlx::query(AssertSqlSafe($text)).fetch_one(&mut connection).await;
            row.unwrap_or_else(|error| panic!("{}: {error}", $text)).get::<$of, _>(0)
        }
    }};
}

pub async fn number(url: &str, query: &str) -> i64 {
    value!(url, query, i64)
}

pub async fn text(url: &str, query: &str) -> String {
    value!(url, query, String)
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < SOON, "in {SOON:?} it never was so that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn dev() -> EnvironmentName {
    EnvironmentName::new("dev").expect("a name")
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("a time")
}

pub fn hours_ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

pub fn days_ago(days: i64) -> Timestamp {
    hours_ago(24 * days)
}

pub fn rollout(app: &str, ended: Timestamp) -> Entry {
    let record = RolloutRecord {
        app: AppName::new(app).expect("a name"),
        digest: "b".into(),
        from: Some("a".into()),
        commit: Some(Commit::new(Revision::new("1234"), "Ada", "It's; DROP TABLE rollouts --")),
        outcome: Outcome::Done,
        started: ended,
        ended,
        objects: 3,
        by: None,
        why: None,
        secrets: [("aws-sm:db".to_owned(), "v1".into())].into(),
    };
    let record = record.because("a pod's last words\0");
    Entry::Rollout(Box::new(history::Row { cluster: "east".to_owned(), environment: dev(), record }))
}

/// Drift of a field of an object `name`, with all that a record may say.
pub fn drift(name: &str, seen: Timestamp) -> DriftRecord {
    DriftRecord {
        id: RecordId::new(seen, fastrand::u128(..)),
        cluster: String::new(),
        environment: dev(),
        app: Some(AppName::new("web").expect("a name")),
        revision: Some(Revision::new("1234")),
        object: ObjectKey::new("apps", "Deployment", Some("shop"), name),
        uid: format!("uid-of-{name}"),
        path: "/spec/replicas".to_owned(),
        desired: Some("2".to_owned()),
        live: Some("it's \"5\"".to_owned()),
        class: DriftClass::Changed,
        cause: Some("cause".to_owned()),
        manager: "kubectl-scale".to_owned(),
        operation: Some(DriftOperation::Update),
        subresource: Some("scale".to_owned()),
        principal: Some(fairlead::object::Principal {
            user: "ada@example.org".to_owned(),
            groups: vec!["admins".to_owned(), "system:authenticated".to_owned()],
            user_agent: Some("kubectl/v1.37".to_owned()),
            source_address: Some("192.0.2.7".to_owned()),
        }),
        first_seen: seen,
        last_seen: seen,
        count: 1,
        action: DriftAction::Healed,
        rule: Some("default".to_owned()),
        result: Some("healed".to_owned()),
        latency_ms: Some(12),
        closed: Some(seen),
    }
}

pub fn event(kind: EventKind, happened: Timestamp) -> TimelineEvent {
    TimelineEvent {
        id: RecordId::new(happened, fastrand::u128(..)),
        kind,
        cluster: String::new(),
        environment: dev(),
        app: None,
        object: Some(ObjectKey::new("apps", "Deployment", Some("shop"), "web")),
        who: Some("ada@example.org".to_owned()),
        why: Some("I look into it".to_owned()),
        at: happened,
        details: serde_json::json!({"until": "2026-11-30T12:00:00Z", "nul": "\0"}),
    }
}

pub fn drifted(record: DriftRecord) -> Entry {
    Entry::Drift(Box::new(record))
}

pub fn happened(event: TimelineEvent) -> Entry {
    Entry::Event(Box::new(event))
}
