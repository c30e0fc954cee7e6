//! Who reads a Secret besides the app that has it: workloads of other apps, and what is told to be left alone.

use serde_json::Value;

use super::{Secrets, reading};
use crate::bed::manifests::deployment_of;
use crate::bed::{SECOND, SOON, holds_for, wait_until};

const IMAGE: &str = "registry.example/web:1";

/// A Deployment with annotations of its own whose pods read the Secret `db`, from the environment or from a volume.
fn reader(name: &str, annotations: &str, from_volume: bool) -> String {
    let text = deployment_of(name, 1, IMAGE, annotations, &[]);
    let image = format!("image: {IMAGE:?}");
    match from_volume {
        false => text.replace(&image, &format!("{image}, envFrom: [{{secretRef: {{name: db}}}}]")),
        true => format!("{text}      volumes: [{{name: db, secret: {{secretName: db}}}}]\n"),
    }
}

const INGRESS: &str = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front}\n\
    spec: {tls: [{secretName: db}], defaultBackend: {service: {name: web, port: {number: 80}}}}\n";

fn generation(secrets: &Secrets, name: &str) -> Value {
    secrets.bed.deployment(name).unwrap_or_default()["metadata"]["generation"].clone()
}

#[test]
fn a_workload_of_another_app_rolls_once_the_secret_that_it_reads_is_proven() {
    let secrets = Secrets::new("lent");
    let bed = &secrets.bed;
    secrets.put("db", "one");
    let _agent = secrets.agent();
    let (path, config) =
        bed.config("{name: web, path: web}, {name: api, path: api}", "rollout: {timeout: 60s}");
    // What is ready late shows whether the other waits.
    let own = secrets.secret("password: \"${aws-sm:NAME/db}\"") + &reading("web", &[("ready-after", "3s")]);
    let revision =
        bed.commit(&[(&path, &config), ("web/all.yaml", &own), ("api/all.yaml", &reader("api", "", false))]);
    bed.wait_ready(&revision);
    let is_current = |secrets: &Secrets| {
        let row = secrets.row("db");
        let apps = row["apps"].as_array().cloned().unwrap_or_default();
        apps.len() == 2 && apps.iter().all(|used| used["state"] == "Current")
    };
    wait_until(SOON, "both are known to run with it", || is_current(&secrets));
    let before = ["web", "api"].map(|name| generation(&secrets, name));
    holds_for(2 * SECOND, "that it is known rolls nothing", || {
        ["web", "api"].map(|name| generation(&secrets, name)) == before
    });

    secrets.put("db", "two");
    wait_until(SOON, "the owner is rolled", || generation(&secrets, "web") != before[0]);
    assert_eq!(generation(&secrets, "api"), before[1], "the other waits until that one is well");
    wait_until(SOON, "the other is rolled", || generation(&secrets, "api") != before[1]);
    let status = bed.deployment("web").unwrap()["status"].clone();
    assert_eq!((&status["updatedReplicas"], &status["readyReplicas"]), (&1.into(), &1.into()), "{status}");
    assert_eq!(secrets.value("password"), "two");
    wait_until(SOON, "both run with it", || is_current(&secrets));
    let after = ["web", "api"].map(|name| generation(&secrets, name));
    holds_for(3 * SECOND, "each rolls once", || {
        ["web", "api"].map(|name| generation(&secrets, name)) == after
    });
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(planned.code, 0, "a person's plan sees nothing to do: {planned:?}");
}

#[test]
fn what_is_told_to_be_left_alone_is_not_rolled_and_stands_in_the_way_of_a_revocation() {
    let secrets = Secrets::new("alone");
    let bed = &secrets.bed;
    secrets.put("db", "one");
    let _agent = secrets.agent();
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 60s}");
    let all = secrets.secret("password: \"${aws-sm:NAME/db}\"")
        + &reading("web", &[])
        + &reader("never", "fairlead.dev/reload: never", false)
        + &reader("volume", "fairlead.dev/reload: env-only", true)
        + &reader("followed", "fairlead.dev/reload: always", true)
        + INGRESS;
    let revision = bed.commit(&[(&path, &config), ("web/all.yaml", &all)]);
    bed.wait_ready(&revision);
    wait_until(SOON, "it is known to run", || secrets.row("db")["apps"][0]["state"] == "Current");
    let names = ["web", "followed", "never", "volume"];
    let before = names.map(|name| generation(&secrets, name));
    secrets.put("db", "two");
    wait_until(SOON, "those that are to be are rolled", || {
        generation(&secrets, "web") != before[0] && generation(&secrets, "followed") != before[1]
    });
    wait_until(SOON, "it runs with it", || {
        let row = secrets.row("db");
        row["apps"][0]["state"] == "Current" && row["apps"][0]["old"].is_null()
    });
    assert_eq!(secrets.value("password"), "two");
    assert_eq!(
        [generation(&secrets, "never"), generation(&secrets, "volume")],
        [before[2].clone(), before[3].clone()]
    );
    let said = bed.fairlead(&["secrets", &bed.name, &secrets.name("db")]).ok().stdout;
    for words in [
        " never is not rolled, and may run",
        " volume is not rolled; its volumes follow",
        " front takes it up by itself",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.contains("may NOT be revoked yet: restart what is left alone"), "{said}");
    // A word that nobody knows is told with its line.
    bed.commit(&[("web/all.yaml", &all.replace("reload: never", "reload: sometimes"))]);
    let said = bed.fairlead_here(&["validate"]);
    assert!(said.code != 0 && (said.stdout + &said.stderr).contains("`always`, `env-only` or `never`"));
}
