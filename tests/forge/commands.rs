//! What commands in comments hang on: who wrote them and when, whether they may write now, and the sign that answers.

use fairlead::forge::{Forge, Kind, Place, open};
use fairlead::pull_requests::{CommentId, Failure, Number, Reaction};
use serde_json::{Value, json};

use crate::fake::{Fake, WRITTEN, account};

const KINDS: [Kind; 3] = [Kind::Github, Kind::Gitlab, Kind::Gitea];

#[tokio::test]
async fn a_comment_says_who_wrote_it_when_and_whether_it_was_edited() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let id = fake.note(7, "ada", "/fairlead plan");
        let edited = fake.note(7, "ada", "/fairlead rollback prod");
        fake.state().find(edited).expect("it is there").edited = true;
        let all = fake.open().comments(Number(7)).await.expect("comments");
        let written = WRITTEN.parse().expect("a time");
        assert_eq!((all[0].id, &*all[0].author, all[0].at), (CommentId(id), "ada", written), "{kind:?}");
        assert_eq!(all[0].account, Some(account("ada")), "{kind:?}");
        assert!(!all[0].edited && all[1].edited, "{kind:?}");
        fake.check();
    }
}

/// What an account may, in the words of each forge; whether that is to write.
fn rights(kind: Kind) -> Vec<(Value, bool)> {
    match kind {
        Kind::Gitlab => vec![
            (json!({"access_level": 30, "state": "active"}), true),
            (json!({"access_level": 50, "state": "active"}), true),
            (json!({"access_level": 20, "state": "active"}), false),
            (json!({"access_level": 30, "state": "blocked"}), false),
            (json!({"access_level": 30, "state": "awaiting"}), false),
        ],
        Kind::Gitea => vec![
            (json!("owner"), true),
            (json!("admin"), true),
            (json!("write"), true),
            (json!("read"), false),
            (json!("none"), false),
        ],
        _ => vec![
            (json!("admin"), true),
            (json!("write"), true),
            (json!("read"), false),
            (json!("none"), false),
        ],
    }
}

async fn may(forge: &dyn Forge, login: &str) -> Result<bool, Failure> {
    forge.may_write(Number(7), login, Some(account(login))).await
}

#[tokio::test]
async fn who_may_write_is_what_the_forge_says_now() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let forge = fake.open();
        for (right, writes) in rights(kind) {
            fake.state().members.insert("ada".to_owned(), right.clone());
            assert_eq!(may(&*forge, "ada").await, Ok(writes), "{kind:?} {right}");
        }
        let (right, _) = rights(kind).remove(0);
        fake.state().members.insert("ada".to_owned(), right);
        assert_eq!(may(&*forge, "eve").await, Ok(false), "{kind:?}: nobody there knows her");
        // Another account has the name by now.
        assert_eq!(forge.may_write(Number(7), "ada", Some(1)).await, Ok(false), "{kind:?}");
        for name in ["", "ada[bot]", "../ada", "ada?x", "..", "a/b"] {
            assert_eq!(forge.may_write(Number(7), name, None).await, Ok(false), "{kind:?} {name}");
        }
        // It was withdrawn.
        fake.state().members.clear();
        assert_eq!(may(&*forge, "ada").await, Ok(false), "{kind:?}");
        fake.state().blind = true;
        assert!(
            matches!(may(&*forge, "ada").await, Err(Failure::Refused(_))),
            "{kind:?}: it sees nothing at all"
        );
        fake.check();
    }
}

#[tokio::test]
async fn a_sign_is_made_once() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let forge = fake.open();
        let (id, other) = (fake.note(7, "ada", "/fairlead plan"), fake.note(7, "ada", "/fairlead x"));
        for _ in 0..2 {
            assert_eq!(forge.react(Number(7), CommentId(id), Reaction::Taken).await, Ok(()), "{kind:?}");
        }
        assert_eq!(forge.react(Number(7), CommentId(other), Reaction::Refused).await, Ok(()), "{kind:?}");
        assert_eq!(
            forge.react(Number(7), CommentId(9999), Reaction::Taken).await,
            Ok(()),
            "{kind:?}: it is gone"
        );
        let good = if kind == Kind::Gitlab { "thumbsup" } else { "+1" };
        let signs = |id| fake.state().find(id).expect("it is there").signs.clone();
        assert_eq!(
            (signs(id), signs(other)),
            (vec![good.to_owned()], vec!["confused".to_owned()]),
            "{kind:?}"
        );
        fake.check();
    }
}

#[tokio::test]
async fn in_a_folder_people_write_a_file_of_comments() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("infra");
    std::fs::create_dir_all(&root).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).expect("a file");
    write("7.yaml", "head: more\nbase: main\n");
    let place = Place {
        kind: Kind::Files,
        url: None,
        repository: "infra".to_owned(),
        folder: Some(folder.path().to_owned()),
    };
    let forge = open(&place, &fairlead::forge::Keys::default(), false).expect("a forge");
    let before = forge.pull(Number(7)).await.expect("it is there").stamp;
    write(
        "7.comments.yaml",
        "- {id: 2, by: ada, text: /fairlead plan}\n- {id: 3, by: fairlead, text: /fairlead plan}\n- {id: 1, by: eve, text: x}\n",
    );
    assert_ne!(
        forge.pull(Number(7)).await.expect("it is there").stamp,
        before,
        "there is something new of it"
    );
    let all = forge.comments(Number(7)).await.expect("comments");
    assert_eq!(all.len(), 1, "nobody speaks as us, or in the place of our report: {all:?}");
    assert_eq!((all[0].id, &*all[0].author, &*all[0].body), (CommentId(2), "ada", "/fairlead plan"));
    assert_eq!(forge.may_write(Number(7), "ada", None).await, Ok(true));
    assert_eq!(forge.react(Number(7), CommentId(2), Reaction::Taken).await, Ok(()));
    let signs = std::fs::read_to_string(root.join("7.reactions.json")).expect("it is answered");
    assert!(signs.contains("\"2\": \"taken\""), "{signs}");
    write("7.comments.yaml", "- {id: 2, extra: x}\n");
    assert!(
        forge.comments(Number(7)).await.is_err_and(|error| error.to_string().contains("7.comments.yaml"))
    );
}

#[tokio::test]
async fn labels_and_forks_are_told() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        (1..=3).for_each(|number| fake.pull(number, "open", None));
        fake.state().pulls.get_mut(&2).expect("it is there").labels = vec!["preview", "other"];
        fake.state().pulls.get_mut(&3).expect("it is there").fork = true;
        let forge = fake.open();
        let all = forge.pulls().await.expect("a list");
        let labels: Vec<Vec<String>> = all.iter().map(|one| one.labels.clone()).collect();
        assert_eq!(labels, [vec![], vec!["preview".to_owned(), "other".to_owned()], vec![]], "{kind:?}");
        assert_eq!(all.iter().map(|one| one.is_fork).collect::<Vec<_>>(), [false, false, true], "{kind:?}");
        fake.check();
    }
}
