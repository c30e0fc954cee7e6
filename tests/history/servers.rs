//! What only a server has: passwords, certificates, locks.

use std::path::Path;
use std::process::Command;

use fairlead::history::{self, Query};
use fairlead::object::chain;

use crate::bed::{Bed, PASSWORD, Server, now, rollout, server, sql};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_a_file_and_is_shown_nowhere() {
    let url = tokio::task::spawn_blocking(server).await.unwrap().database().await;
    let without = url.replace(&format!(":{PASSWORD}"), "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let place: history::Place = without.parse().unwrap();
    let place = place.with_password_file(Some(&file)).unwrap();
    let bed = Bed::at(url.clone());
    bed.write(vec![rollout("web", now())]).await;
    assert_eq!(
        history::read(&place, &Query { limit: 9, ..Query::default() }).await.unwrap().entries.len(),
        1
    );
    // It was changed, and what is tried is a secret of somebody.
    std::fs::write(&file, "an0ther-s3cret").unwrap();
    let error = history::read(&place, &Query::default()).await.unwrap_err();
    assert!(chain(&error).contains("password authentication failed"), "{}", chain(&error));
    let wrong: history::Place = url.replace(PASSWORD, "an0ther-s3cret").parse().unwrap();
    let other = history::read(&wrong, &Query::default()).await.unwrap_err();
    for shown in [chain(&error), format!("{error:?}"), chain(&other), format!("{other:?} {place:?} {wrong}")]
    {
        assert!(!shown.contains(PASSWORD) && !shown.contains("an0ther"), "{shown}");
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_to_prove_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ca", "stranger"] {
        openssl(
            folder.path(),
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt \
             -addext basicConstraints=critical,CA:TRUE"
            ),
        );
    }
    std::fs::write(
        folder.path().join("names"),
        "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n",
    )
    .unwrap();
    openssl(
        folder.path(),
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    );
    openssl(
        folder.path(),
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    );
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("server.crt"), path("server.key"));
    let server = tokio::task::spawn_blocking(move || {
        let settings =
            ["ssl = on", &format!("ssl_cert_file = '{certificate}'"), &format!("ssl_key_file = '{key}'")];
        Server::start(&settings)
    });
    let server = server.await.unwrap();
    let url = server.database().await;
    let (by_name, by_number) = (url.replace("127.0.0.1", "localhost"), url.clone());
    let read = async |url: &str, more: &str| {
        let bed = Bed::at(format!("{url}?{more}"));
        let done = history::look_after(&bed.place, &crate::bed::settings(), now()).await;
        done.map(drop).map_err(|error| chain(&error))
    };
    let ca = format!("sslmode=verify-full&sslrootcert={}", path("ca.crt"));
    read(&by_name, &ca).await.unwrap();
    let encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()";
    assert_eq!(crate::bed::number(&format!("{by_name}?{ca}"), encrypted).await, 1);
    let other = format!("sslmode=verify-full&sslrootcert={}", path("stranger.crt"));
    let wrong_ca = read(&by_name, &other).await.unwrap_err();
    assert!(wrong_ca.contains("certificate"), "{wrong_ca}");
    let wrong_name = read(&by_number, &ca).await.unwrap_err();
    assert!(wrong_name.contains("certificate"), "{wrong_name}");
    read(&by_number, &ca.replace("verify-full", "verify-ca")).await.unwrap();
    read(&by_number, "sslmode=require").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_make_no_tables_writes_where_they_are() {
    let url = tokio::task::spawn_blocking(server).await.unwrap().database().await;
    Bed::at(url.clone()).look_after(now()).await;
    let database = url.rsplit('/').next().unwrap();
    let role = format!("writer_{database}");
    sql(&url, &format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")).await;
    sql(&url, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"))
        .await;
    sql(&url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let bed = Bed::at(url.replace("//app:", &format!("//{role}:")));
    bed.write(vec![rollout("web", now())]).await;
    assert_eq!(bed.all().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_holds_its_locks_keeps_no_other_waiting_for_long() {
    let url = tokio::task::spawn_blocking(server).await.unwrap().database().await;
    let bed = Bed::at(url.clone());
    bed.write(vec![rollout("web", now())]).await;
    // Somebody who closes a day, and hangs.
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(1178683730, 1)";
    sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
    let history = bed.history();
    let fairlead::history::Entry::Rollout(row) = rollout("api", now()) else { unreachable!() };
    history.tell(&row.environment, row.record);
    crate::bed::until("it gives up", || history.counts().1 > 0).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
    crate::bed::until("it is written", || history.counts().0 == 1).await;
    history.end().await;
    assert_eq!(bed.all().await.len(), 2);
}
