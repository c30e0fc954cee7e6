//! Which remotes are reached, and which of their commits are followed.

use std::process::Command;

use serde_json::json;

use crate::bed::manifests::configmap;
use crate::bed::web::{Manners, Web};
use crate::bed::{Bed, SECOND, SOON, holds_for, wait_until};

/// Makes a key, and has the repository sign with it from here on. Gives the public one.
fn sign_with(bed: &Bed, name: &str) -> String {
    let file = bed.repo.bare().with_extension(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", name, "-t", "ed25519", "-f"])
        .arg(&file)
        .status()
        .expect("ssh-keygen is installed");
    assert!(made.success());
    bed.repo.git(&["config", "gpg.format", "ssh"]);
    bed.repo.git(&["config", "user.signingkey", &file.display().to_string()]);
    bed.repo.git(&["config", "commit.gpgsign", "true"]);
    let public = format!("{}.pub", file.display());
    std::fs::read_to_string(public).expect("it was made").trim().to_owned()
}

fn value(bed: &Bed) -> String {
    bed.configmap("settings")
        .map_or(String::new(), |map| map["data"]["value"].as_str().unwrap_or_default().to_owned())
}

fn commit(bed: &Bed, value: &str) -> String {
    bed.commit_web(&configmap("settings", value))
}

/// What was followed before goes on, is healed, and says why nothing newer is.
fn stays(bed: &Bed, reason: &str, newest: &str, old: &str) -> String {
    let ready = || bed.condition("Ready");
    let names = |text: &str| ready()["message"].as_str().is_some_and(|said| said.contains(text));
    wait_until(SOON, "the environment names it", || ready()["reason"] == reason && names(&newest[..10]));
    holds_for(2 * SECOND, "it is not followed", || value(bed) == old);
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    wait_until(SOON, "what others take away is put back", || value(bed) == old);
    ready()["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_commit_that_nobody_vouches_for_is_not_followed() {
    let bed = Bed::new("signed");
    let list = format!("signers-{}", bed.name);
    let signers = |text: &str| {
        bed.api().apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"allowed_signers": text},
            "metadata": {"name": list, "namespace": "fairlead"}}));
    };
    let ada = sign_with(&bed, "ada");
    bed.patch_environment(
        &json!({"spec": {"source": {"verify": {"signers": [{"kind": "ConfigMap", "name": list}]}}}}),
    );
    let agent = bed.agent();
    let first = commit(&bed, "1");
    wait_until(SOON, "the list is missed", || bed.condition("Ready")["reason"] == "BadSigners");
    assert_eq!(value(&bed), "");
    signers(&format!("ada@example.org {ada}"));
    bed.wait_ready(&first);
    assert!(agent.has_logged("the commit is signed"), "it is said whose it was");

    // Nobody's, and somebody's who is not listed.
    bed.repo.git(&["config", "commit.gpgsign", "false"]);
    let unsigned = commit(&bed, "2");
    assert!(stays(&bed, "NotSigned", &unsigned, "1").contains("it is not signed"));
    let eve = sign_with(&bed, "eve");
    let theirs = commit(&bed, "3");
    let said = stays(&bed, "NotSigned", &theirs, "1");
    assert!(said.contains("SHA256:") && said.contains("none of the signers'"), "{said}");

    // A restart follows neither.
    drop(agent);
    let _agent = bed.agent();
    wait_until(SOON, "it is named again", || bed.condition("Ready")["reason"] == "NotSigned");
    holds_for(2 * SECOND, "it is not followed", || value(&bed) == "1");
    // Once the platform takes the key, the commit is.
    signers(&format!("ada@example.org {ada}\neve {eve}"));
    bed.wait_ready(&theirs);
    assert_eq!(value(&bed), "3");
    bed.api().delete(&format!("/api/v1/namespaces/fairlead/configmaps/{list}"));
}

#[test]
fn a_rewritten_branch_is_not_followed_and_a_restart_forgets_nothing() {
    let bed = Bed::new("forward");
    bed.patch_environment(&json!({"spec": {"source": {"history": "forward-only"}}}));
    let agent = bed.agent();
    bed.wait_ready(&commit(&bed, "1"));
    let second = commit(&bed, "2");
    bed.wait_ready(&second);
    bed.repo.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let other = commit(&bed, "other");
    assert!(stays(&bed, "HistoryRewritten", &other, "2").contains(&second[..10]));
    drop(agent);
    let _agent = bed.agent();
    wait_until(SOON, "it is named again", || bed.condition("Ready")["reason"] == "HistoryRewritten");
    holds_for(2 * SECOND, "it is not followed", || value(&bed) == "2");
    // A commit upon the one that was followed is.
    bed.repo.git(&["reset", "--quiet", "--hard", &second]);
    let third = commit(&bed, "3");
    bed.wait_ready(&third);
    assert_eq!(value(&bed), "3");
    // Where the platform lets it, a rewritten branch is followed, and holds from there on.
    bed.repo.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let rewritten = commit(&bed, "4");
    wait_until(SOON, "it is named", || bed.condition("Ready")["reason"] == "HistoryRewritten");
    bed.patch_environment(&json!({"spec": {"source": {"history": null}}}));
    bed.wait_ready(&rewritten);
    assert_eq!(value(&bed), "4");
}

#[test]
fn a_remote_that_the_platform_does_not_let_is_not_reached() {
    let bed = Bed::new("reach");
    let web = Web::start(bed.repo.bare().parent().expect("it is in a folder"), Manners::default());
    let says = |reason: &str, text: &str| {
        wait_until(SOON, text, || {
            let ready = bed.condition("Ready");
            ready["reason"] == reason && ready["message"].as_str().is_some_and(|said| said.contains(text))
        });
    };
    // The tests' own agents may reach this machine; this one may reach one host there, by its name.
    let _agent = bed.agent_with(&[("FAIRLEAD_GIT_HOSTS", "localhost,*.git.example")]);
    let revision = commit(&bed, "1");
    bed.wait_ready(&revision);
    bed.patch_environment(&json!({"spec": {"source": {"url": web.url()}}}));
    says("RemoteRefused", "127.0.0.1 is none of the hosts");
    web.reset();
    holds_for(SECOND, "nothing is asked there", || web.requests().is_empty());
    // The metadata service of a cloud, written as a host that is let.
    bed.patch_environment(&json!({"spec": {"source": {"url": web.url().replace("127.0.0.1", "localhost")}}}));
    let revision = commit(&bed, "2");
    bed.wait_ready(&revision);
    assert_eq!(value(&bed), "2");
}

#[test]
fn addresses_of_this_machine_are_reached_only_where_that_was_said() {
    let bed = Bed::new("addresses");
    let web = Web::start(bed.repo.bare().parent().expect("it is in a folder"), Manners::default());
    let agent = bed.agent_without_git_flags();
    commit(&bed, "1");
    let says = |text: &str| {
        wait_until(SOON, text, || {
            let ready = bed.condition("Ready");
            ready["reason"] == "RemoteRefused"
                && ready["message"].as_str().is_some_and(|said| said.contains(text))
        });
    };
    says("--git-folders");
    for (url, text) in [
        (web.url(), "this machine itself"),
        (web.url().replace("127.0.0.1", "localhost"), "localhost is"),
        (web.url().replace("127.0.0.1", "2130706433"), "this machine itself"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), "link-local"),
        // The API server's own Service.
        ("https://10.96.0.1/infra.git".to_owned(), "an address of the cluster itself"),
    ] {
        bed.patch_environment(&json!({"spec": {"source": {"url": url}}}));
        says(text);
    }
    assert!(web.requests().is_empty(), "{:?}", web.requests());
    assert!(!agent.has_ended());
}
