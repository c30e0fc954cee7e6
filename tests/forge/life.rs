//! The life of a pull request on each forge.

use fairlead::forge::{Head, Kind, ListedState, Place, open};
use fairlead::object::Revision;
use fairlead::pull_requests::{CommentId, Failure, Number, Status, StatusState};
use jiff::{SignedDuration, Timestamp};

use crate::fake::{Fake, ME};

const KINDS: [Kind; 3] = [Kind::Github, Kind::Gitlab, Kind::Gitea];

fn status(state: StatusState) -> Status {
    Status { context: "fairlead/dev".to_owned(), state, description: "3 to update".repeat(40) }
}

#[tokio::test]
async fn a_comment_is_found_made_edited_and_taken_away() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let forge = fake.open();
        assert_eq!(forge.author().await.as_deref(), Ok(ME));
        for n in 0..5 {
            fake.note(7, "ada", &format!("{kind:?} {n}"));
        }
        let id = forge.make(Number(7), "<!-- ours -->\n| a |").await.expect("it is made");
        let all = forge.comments(Number(7)).await.expect("comments");
        assert_eq!(all.len(), 6, "{kind:?}: all pages");
        assert!(all.iter().take(5).all(|comment| comment.author == "ada"));
        assert_eq!((all[5].id, &*all[5].author, &*all[5].body), (id, ME, "<!-- ours -->\n| a |"));
        assert_eq!(forge.edit(Number(7), id, "other").await, Ok(true));
        let found = forge.comment(Number(7), id).await.expect("it is read").expect("it is there");
        assert_eq!(found.body, "other");
        assert_eq!(forge.remove(Number(7), id).await, Ok(()));
        assert_eq!(forge.comment(Number(7), id).await, Ok(None));
        assert_eq!(forge.edit(Number(7), id, "again").await, Ok(false));
        assert_eq!(forge.remove(Number(7), id).await, Ok(()), "it is gone, which is as good");
        fake.check();
    }
}

#[tokio::test]
async fn open_ones_and_those_merged_of_late_are_listed_whole() {
    let now = Timestamp::now();
    let ago =
        |hours: i64| (now - SignedDuration::from_hours(hours)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        (1..=5).for_each(|number| fake.pull(number, "open", None));
        fake.pull(8, "closed", None);
        fake.pull(9, "merged", Some(&ago(1)));
        fake.state().page = 3;
        let forge = fake.open();
        let listed = forge.pulls().await.expect("a list");
        let numbers: Vec<u64> = listed.iter().map(|one| one.number.0).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 9], "{kind:?}");
        let name = if kind == Kind::Gitlab { "merge-requests" } else { "pull" };
        let head = Head::Commit {
            revision: Revision::new(format!("{:040x}", 1)),
            reference: format!("refs/{name}/1/head"),
        };
        assert_eq!(
            (&listed[0].head, &*listed[0].base, &listed[0].state),
            (&head, "main", &ListedState::Open)
        );
        let merged = Some(Revision::new(format!("{:040x}", 1009)));
        assert!(
            matches!(&listed[5].state, ListedState::Merged { revision, .. } if *revision == merged),
            "{kind:?}"
        );
        assert_eq!(forge.pull(Number(8)).await.map(|one| one.state), Ok(ListedState::Closed));
        let before = fake.state().unchanged;
        assert_eq!(forge.pulls().await.as_ref(), Ok(&listed), "{kind:?}");
        assert!(fake.state().unchanged > before + 1, "{kind:?}: what did not change is not sent again");
        fake.pull(9, "merged", Some(&ago(25)));
        assert_eq!(forge.pulls().await.expect("a list").len(), 5, "{kind:?}: long ago");
        fake.check();
    }
}

#[tokio::test]
async fn a_commit_is_told_by_environment() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        let (forge, revision) = (fake.open(), Revision::new(format!("{:040x}", 7)));
        for state in [StatusState::Pending, StatusState::Success, StatusState::Success, StatusState::Failure]
        {
            assert_eq!(forge.tell(&revision, &status(state)).await, Ok(()), "{kind:?}");
        }
        let told = fake.state().statuses.clone();
        let states: Vec<&str> = told.iter().filter_map(|(_, body)| body["state"].as_str()).collect();
        let expected: &[&str] = match kind {
            // It refuses to be told the same twice, and is taken by its word.
            Kind::Gitlab => &["pending", "success", "failed"],
            _ => &["pending", "success", "success", "failure"],
        };
        assert_eq!(states, expected, "{kind:?}");
        let most = if kind == Kind::Github { 140 } else { 255 };
        assert!(told.iter().all(|(_, body)| body["description"].as_str().is_some_and(|it| it.len() == most)));
        fake.check();
    }
}

#[tokio::test]
async fn a_token_that_sees_nothing_any_more_is_no_proof_that_anything_is_gone() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let id = CommentId(fake.note(7, ME, "ours"));
        let forge = fake.open();
        fake.state().blind = true;
        let refused = |result: Option<Failure>| matches!(result, Some(Failure::Refused(_)));
        assert!(refused(forge.comment(Number(7), id).await.err()), "{kind:?}");
        assert!(refused(forge.edit(Number(7), id, "x").await.err()), "{kind:?}");
        assert!(refused(forge.comments(Number(7)).await.err()), "{kind:?}");
        assert!(refused(forge.pulls().await.err()), "{kind:?}");
        assert!(refused(forge.pull(Number(7)).await.err()), "{kind:?}");
    }
}

#[tokio::test]
async fn a_folder_is_a_forge_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("infra");
    std::fs::create_dir_all(&root).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).expect("a file");
    write("7.yaml", "title: More memory\nhead: more-memory\nbase: main\n");
    write("8.json", "{\"head\": \"other\", \"base\": \"main\", \"state\": \"closed\"}");
    write("9.yaml", &format!("head: done\nbase: main\nstate: merged\nrevision: {:040x}\n", 9));
    for (name, text) in [
        ("x.yaml", "head: a\nbase: b"),
        ("10.yaml", "head: a\n"),
        ("11.yaml", "head: a\nbase: b\nextra: c\n"),
        ("12.yaml", "- a"),
        ("13.yaml", "head: a\nbase: b\nstate: merged\nrevision: HEAD\n"),
        ("14.md", "a note"),
    ] {
        write(name, text);
    }
    let place = Place {
        kind: Kind::Files,
        url: None,
        repository: "infra".to_owned(),
        folder: Some(folder.path().to_owned()),
    };
    let forge = open(&place, &fairlead::forge::Keys::default(), false).expect("a forge");
    let listed = forge.pulls().await.expect("a list");
    let numbers: Vec<u64> = listed.iter().map(|one| one.number.0).collect();
    assert_eq!(numbers, [7, 8, 9], "one that is wrong harms only itself");
    assert_eq!(
        (&listed[0].head, &listed[0].state),
        (&Head::Branch("more-memory".to_owned()), &ListedState::Open)
    );
    assert_eq!(listed[1].state, ListedState::Closed);
    assert!(matches!(&listed[2].state, ListedState::Merged { revision: Some(_), .. }));
    assert!(forge.pull(Number(10)).await.is_err_and(|error| error.to_string().contains("10.yaml")));

    let author = forge.author().await.expect("an author");
    assert_eq!(forge.comments(Number(7)).await, Ok(Vec::new()));
    let id = forge.make(Number(7), "one\n").await.expect("it is made");
    assert_eq!(forge.edit(Number(7), id, "two\n").await, Ok(true));
    assert_eq!(std::fs::read_to_string(root.join("7.md")).expect("a report"), "two\n");
    let all = forge.comments(Number(7)).await.expect("comments");
    assert_eq!((all.len(), &all[0].author, &*all[0].body), (1, &author, "two\n"));
    assert_ne!(forge.pull(Number(7)).await.expect("it is there").stamp, listed[0].stamp);
    std::fs::remove_file(root.join("7.md")).expect("a person takes it away");
    assert_eq!(
        (forge.comment(Number(7), id).await, forge.edit(Number(7), id, "x").await),
        (Ok(None), Ok(false))
    );
    let revision = Revision::new(format!("{:040x}", 7));
    assert_eq!(forge.tell(&revision, &status(StatusState::Failure)).await, Ok(()));
    let told = std::fs::read_to_string(root.join(format!("statuses/{revision}.json"))).expect("it is told");
    assert!(told.contains("\"fairlead/dev\"") && told.contains("\"failure\""), "{told}");

    std::fs::rename(&root, folder.path().join("gone")).expect("it is renamed");
    assert!(
        forge.pulls().await.is_err() && forge.comment(Number(7), id).await.is_err(),
        "that says nothing of what was in it"
    );
}

#[tokio::test]
async fn a_repository_is_owner_and_name_and_nothing_else() {
    let fake = Fake::start(Kind::Github).await;
    for wrong in [
        "",
        "infra",
        "/infra",
        "a/b/c",
        "a/..",
        "a/b?x=y",
        "a/b#c",
        "../../user",
        "a/b/../c",
        "a/b c",
        "a/%2e",
    ] {
        let place = Place { repository: wrong.to_owned(), ..fake.place() };
        let keys = fairlead::forge::Keys([("token".to_owned(), b"x".to_vec())].into());
        assert!(open(&place, &keys, true).is_err(), "{wrong}");
    }
}
