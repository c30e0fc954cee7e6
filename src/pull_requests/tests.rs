//! What is decided about pull requests, case by case. What takes several steps stands in the simulation.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::after::{land, outcome};
use super::body::{self, Content};
use super::pace::Pace;
use super::record::{CommentRecord, Fate, Landed};
use super::sticky::{CommentStep, LOOK, Sticky};
use super::*;
use crate::api::{AppPhase, AppStatus};
use crate::object::{AppName, Digest};
use crate::review::Marker;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn own() -> Own {
    Own { author: "fairlead[bot]".to_owned(), cluster: Some("blue".to_owned()) }
}

fn made(text: &str) -> Made {
    let environment = MadeEnvironment {
        name: "dev".to_owned(),
        status: StatusState::Success,
        short: "changes without risks, 1 to update".to_owned(),
        previewed: [("web".to_owned(), Some(Digest::of(b"new"))), ("old".to_owned(), None)].into(),
    };
    Made {
        marker: Marker::new(Some("blue"), &["dev"]),
        text: text.to_owned(),
        short: "changes without risks, 1 to update".to_owned(),
        environments: vec![environment],
    }
}

fn written(text: &str) -> (Content, CommentRecord, String) {
    let made = made(text);
    let head = "1234567890abcdef".to_owned();
    let record = CommentRecord::new(&made, &head, at(0));
    let content =
        Content { marker: made.marker.to_string(), head, outcome: None, plan: made.text, commands: None };
    let body = body::write(&content, &record);
    (content, record, body)
}

fn comment(id: u64, author: &str, body: &str) -> Comment {
    Comment { id: CommentId(id), author: author.to_owned(), body: body.to_owned(), ..Comment::default() }
}

#[test]
fn a_comment_is_read_as_it_was_written_whatever_a_forge_does_to_its_spaces() {
    let (content, record, body) = written("## Fairlead: changes\n\n| a |  \n\nend\n");
    for kept in
        [body.clone(), body.replace('\n', "\r\n"), body.trim().to_owned(), body.replace("|  \n", "|\n")]
    {
        let (found, kept) = body::read(&kept).expect("it is ours");
        assert_eq!((found.digest(), &kept), (content.digest(), &record));
    }
    for broken in
        [body.replace("fairlead:plan", "plan"), body.replace("fairlead:record", "r"), "x".to_owned()]
    {
        assert!(body::read(&broken).is_none(), "{broken}");
    }
    let changed = body.replace("changes\n", "nothing changes\n");
    assert_ne!(body::read(&changed).expect("it is ours").0.digest(), content.digest());
}

#[test]
fn a_comment_of_ours_has_our_marker_and_our_author() {
    let (content, _, body) = written("plan");
    let wanted = content.digest();
    let other_cluster = body.replace("cluster=blue", "cluster=green");
    let foreign = [
        comment(1, "mallory", &body),
        comment(2, "fairlead[bot]", &other_cluster),
        comment(3, "fairlead[bot]", &format!("see:\n{body}")),
        comment(4, "fairlead", &body),
    ];
    let mut sticky = Sticky::new(at(0), at(0));
    sticky.found(at(0), foreign.to_vec(), &own());
    assert_eq!(sticky.next(Some(&wanted), at(0)), CommentStep::Make);
    let all =
        foreign.into_iter().chain([comment(9, "fairlead[bot]", &body), comment(7, "fairlead[bot]", &body)]);
    sticky.found(at(0), all.collect(), &own());
    assert_eq!(sticky.next(Some(&wanted), at(0)), CommentStep::Remove(CommentId(9)), "the oldest one stays");
    sticky.removed(CommentId(9));
    assert_eq!(sticky.next(Some(&wanted), at(0)), CommentStep::Rest);
    assert_eq!(sticky.next(Some(&Digest::of(b"else")), at(0)), CommentStep::Edit(CommentId(7)));
}

#[test]
fn what_may_have_been_made_is_not_made_again_until_a_list_of_later_shows_none() {
    let wanted = written("plan").0.digest();
    let mut sticky = Sticky::new(at(0), at(0));
    assert_eq!(sticky.next(Some(&wanted), at(0)), CommentStep::Find);
    sticky.found(at(0), Vec::new(), &own());
    assert_eq!(sticky.next(Some(&wanted), at(1)), CommentStep::Make);
    sticky.perhaps_made(at(1));
    assert_eq!(sticky.next(Some(&wanted), at(2)), CommentStep::Find, "it may show at once");
    sticky.found(at(2), Vec::new(), &own());
    assert_eq!(sticky.next(Some(&wanted), at(3)), CommentStep::Wait(at(31)));
    assert_eq!(sticky.next(Some(&wanted), at(31)), CommentStep::Find, "what was asked for before is old");
    sticky.found(at(31), Vec::new(), &own());
    assert_eq!(sticky.next(Some(&wanted), at(32)), CommentStep::Make);
}

#[test]
fn only_the_word_that_there_is_no_such_comment_makes_it_gone() {
    let (content, _, body) = written("plan");
    let wanted = content.digest();
    let mut sticky = Sticky::new(at(0), at(0));
    sticky.made(comment(7, "fairlead[bot]", &body), at(0));
    assert_eq!(sticky.next(Some(&wanted), at(1)), CommentStep::Rest);
    sticky.doubt();
    assert_eq!(sticky.next(Some(&wanted), at(2)), CommentStep::Look(CommentId(7)));
    sticky.looked(at(2), Some(comment(7, "fairlead[bot]", &body)));
    assert_eq!(sticky.next(Some(&wanted), at(3)), CommentStep::Rest);
    assert_eq!(sticky.next(Some(&wanted), at(2) + LOOK), CommentStep::Find, "now and then without a reason");
    sticky.looked(at(700), None);
    assert_eq!(sticky.next(Some(&wanted), at(700)), CommentStep::Find);
    sticky.found(at(701), Vec::new(), &own());
    assert_eq!(sticky.next(Some(&wanted), at(702)), CommentStep::Make);
}

#[test]
fn a_report_is_due_at_once_for_a_commit_and_after_quiet_for_all_else() {
    let inputs =
        |head: &str, base: &str, live| Inputs { head: Revision::new(head), base: Revision::new(base), live };
    let mut pace = Pace::default();
    let first = inputs("a", "m", 0);
    assert_eq!(pace.due(&first, at(0)), Some(at(0)));
    pace.began(at(0));
    pace.made(first.clone());
    assert_eq!(pace.due(&first, at(500)), None, "nothing moved");
    // A commit within the minute waits for its end, and a later one for nothing.
    assert_eq!(pace.due(&inputs("b", "m", 0), at(5)), Some(at(60)));
    assert_eq!(pace.due(&inputs("b", "m", 0), at(500)), Some(at(60)));
    // The base branch and the cluster wait for quiet, and what never rests for a minute.
    pace.moved(at(100));
    assert_eq!(pace.due(&inputs("a", "n", 0), at(100)), Some(at(110)));
    pace.moved(at(108));
    assert_eq!(pace.due(&inputs("a", "n", 1), at(108)), Some(at(118)));
    (109..=160).for_each(|second| pace.moved(at(second)));
    assert_eq!(pace.due(&inputs("a", "n", 1), at(160)), Some(at(160)));
    // What moves while a report is made may not be in it.
    pace.began(at(160));
    pace.moved(at(161));
    pace.made(inputs("a", "n", 1));
    assert_eq!(pace.due(&inputs("a", "n", 2), at(165)), Some(at(220)));
}

/// Tells the book what its actions came to on a forge where all goes well, until it wants nothing more.
fn settle(book: &mut Book, comments: &mut Vec<Comment>, text: &str, now: Timestamp) -> Vec<&'static str> {
    let mut done = Vec::new();
    while let Some((number, action)) = book.next(now).into_iter().next() {
        let answer = match &action {
            Action::Report(_) => Answer::Reported(made(text)),
            Action::Find => Answer::Found(comments.clone()),
            Action::Look(id) => Answer::Looked(comments.iter().find(|one| one.id == *id).cloned()),
            Action::Make { body } => {
                comments.push(comment(comments.len() as u64 + 1, "fairlead[bot]", body));
                Answer::Made(CommentId(comments.len() as u64))
            }
            Action::Edit { comment: id, body } => {
                let at = comments.iter().position(|one| one.id == *id).expect("it is there");
                comments[at].body = body.clone();
                Answer::Edited
            }
            Action::Tell { .. } => Answer::Told,
            other => panic!("{other:?}"),
        };
        done.push(match &action {
            Action::Report(_) => "report",
            Action::Find => "find",
            Action::Make { .. } => "make",
            Action::Edit { .. } => "edit",
            Action::Tell { .. } => "tell",
            _ => "look",
        });
        book.hear(number, &action, Ok(answer), now);
    }
    done
}

fn open(head: &str, stamp: &str) -> PullRequest {
    PullRequest {
        number: Number(5),
        head: Revision::new(head),
        base: "main".to_owned(),
        stamp: stamp.to_owned(),
        ..PullRequest::default()
    }
}

fn begun(now: Timestamp) -> Book {
    let mut book = Book::new(own(), now);
    book.environments([("dev".to_owned(), "main".to_owned())].into(), now);
    book.tip("main", Revision::new("m"), now);
    book
}

#[test]
fn a_comment_is_edited_only_when_it_says_something_else_and_then_tells_what_it_said_before() {
    let mut comments = Vec::new();
    let mut book = begun(at(0));
    book.pulls(Vec::new(), at(0));
    book.pulls(vec![open("aaaaaaaaaaaa", "1")], at(40));
    assert_eq!(settle(&mut book, &mut comments, "one", at(40)), ["report", "find", "tell", "make"]);
    book.live_moved("dev", at(200));
    assert_eq!(settle(&mut book, &mut comments, "one", at(205)), Vec::<&str>::new(), "it waits for quiet");
    assert_eq!(settle(&mut book, &mut comments, "one", at(210)), ["report"], "it came to the same");
    book.live_moved("dev", at(300));
    assert_eq!(settle(&mut book, &mut comments, "two", at(310)), ["report", "edit"]);
    book.pulls(vec![open("bbbbbbbbbbbb", "2")], at(400));
    assert_eq!(settle(&mut book, &mut comments, "three", at(400)), ["report", "look", "tell", "edit"]);
    let history = comments[0].body.lines().last().expect("a line");
    assert_eq!(
        history,
        "<sub>Report of 2027-01-15 08:06 UTC for `bbbbbbbbbb`. Before, at `aaaaaaaaaa` (2027-01-15 08:05 UTC): changes \
         without risks, 1 to update.</sub>"
    );
    // An agent that begins anew finds that all was said.
    let mut book = begun(at(1_000));
    book.pulls(vec![open("bbbbbbbbbbbb", "3")], at(1_000));
    assert_eq!(settle(&mut book, &mut comments, "three", at(1_000)), ["report", "find"]);
}

#[test]
fn an_error_and_an_empty_list_end_nothing() {
    let mut comments = Vec::new();
    let mut book = begun(at(0));
    book.pulls(Vec::new(), at(0));
    book.pulls(vec![open("a", "1")], at(40));
    settle(&mut book, &mut comments, "one", at(40));
    book.pulls(Vec::new(), at(60));
    let asked = book.next(at(60));
    assert_eq!(asked, [(Number(5), Action::Ask)], "what became of it has to be said of itself");
    book.hear(Number(5), &Action::Ask, Err(Failure::Refused("404".to_owned())), at(61));
    assert!(book.pull(Number(5)).is_some());
    let limited = Failure::Limited { until: at(500) };
    let again = book.next(at(70));
    assert_eq!(again, asked);
    book.hear(Number(5), &Action::Ask, Err(limited), at(71));
    assert!(book.next(at(499)).is_empty(), "nothing is asked while the forge wants that");
    assert_eq!(book.wake_at(at(71)), Some(at(500)));
    assert_eq!(book.next(at(500)), asked);
    book.hear(
        Number(5),
        &Action::Ask,
        Ok(Answer::Asked(PullRequest { state: State::Closed, ..open("a", "2") })),
        at(501),
    );
    assert!(book.next(at(502)).is_empty() && book.pull(Number(5)).is_none());
}

#[test]
fn where_statuses_are_refused_the_comment_is_made_all_the_same() {
    let mut book = begun(at(0));
    book.pulls(Vec::new(), at(0));
    book.pulls(vec![open("a", "1")], at(40));
    let mut kinds = Vec::new();
    while let Some((number, action)) = book.next(at(40)).into_iter().next() {
        let result = match &action {
            Action::Report(_) => Ok(Answer::Reported(made("one"))),
            Action::Find => Ok(Answer::Found(Vec::new())),
            Action::Tell { .. } => Err(Failure::Refused("403".to_owned())),
            _ => Ok(Answer::Made(CommentId(1))),
        };
        book.hear(number, &action, result, at(40));
        kinds.push(action);
    }
    let next = book.next(at(60));
    assert!(matches!(next.as_slice(), [(_, Action::Make { .. })]), "{kinds:?} {next:?}");
}

fn app(phase: AppPhase, desired: &[u8], effective: Option<&[u8]>) -> AppStatus {
    AppStatus {
        name: AppName::new("web").expect("a name"),
        phase,
        desired: Some(Digest::of(desired)),
        effective: effective.map(Digest::of),
        quarantined: None,
        objects: 1,
        wave: None,
        waiting_on: None,
        message: (phase != AppPhase::Ready).then(|| "the pod web-1 says: @all <b>no</b>".to_owned()),
        rollback: None,
        history: Vec::new(),
        adoption: None,
    }
}

#[test]
fn what_became_of_a_merge_is_told_by_environment() {
    let merge = Revision::new("merge");
    let previewed: BTreeMap<String, String> =
        [("web".to_owned(), Digest::of(b"new").short().to_owned()), ("old".to_owned(), String::new())].into();
    let holds = |apps: Vec<AppStatus>| Landing { holds: [merge.clone()].into(), suspended: false, apps };
    let now = |landing: &Landing, before: Option<&Landed>, second| {
        land(before, Some(&previewed), &merge, landing, at(second))
    };
    let waiting = now(
        &Landing { apps: vec![app(AppPhase::Ready, b"new", Some(b"new"))], ..Landing::default() },
        None,
        1,
    );
    assert_eq!(
        (waiting.state, &waiting.differing),
        (Fate::Waiting, &None),
        "it runs something, but not this yet"
    );
    let rolling = now(&holds(vec![app(AppPhase::Waiting, b"new", None)]), Some(&waiting), 5);
    assert_eq!(
        (rolling.state, rolling.since, rolling.differing.as_deref()),
        (Fate::RollingOut, at(5), Some(&[][..]))
    );
    let healthy = now(&holds(vec![app(AppPhase::Ready, b"new", None)]), Some(&rolling), 41);
    assert_eq!((healthy.state, healthy.since), (Fate::Healthy, at(41)));
    let later = now(&holds(vec![app(AppPhase::Halted, b"later", None)]), Some(&healthy), 90);
    assert_eq!(later, healthy, "what others merge later is theirs");
    let other = now(&holds(vec![app(AppPhase::Restored, b"other", Some(b"before"))]), None, 60);
    assert_eq!((other.state, other.differing.as_deref()), (Fate::Restored, Some(&["web".to_owned()][..])));
    let halted = now(&holds(vec![app(AppPhase::Halted, b"new", None)]), None, 60);
    let mut record = written("plan").1;
    record.previewed.extend(["prod", "stage", "test"].map(|name| (name.to_owned(), previewed.clone())));
    record.outcome = [("dev", healthy), ("prod", other), ("stage", halted), ("test", waiting)]
        .map(|(name, landed)| (name.to_owned(), landed))
        .into();
    assert_eq!(
        outcome(&record, at(0)),
        "## Fairlead: merged, and put back\n\n\
         | Environment | State | After | As previewed |\n\
         | --- | --- | --: | --- |\n\
         | `dev` | applied and healthy | 41 s | yes |\n\
         | `prod` | failed, and what ran before runs again | 1 min 0 s | no: `web` |\n\
         | `stage` | halted | … | yes |\n\
         | `test` | has not seen the merge yet | … | not known yet |\n\n\
         - `prod`: web: the pod `web-1` says: `@all <b>no</b>`\n\
         - `stage`: web: the pod `web-1` says: `@all <b>no</b>`\n"
    );
}

#[test]
fn very_many_apps_leave_the_record_small() {
    let mut made = made("plan");
    made.environments[0].previewed =
        (0..2_000).map(|n| (format!("app-{n}"), Some(Digest::of(b"x")))).collect();
    let line = CommentRecord::new(&made, "head", at(0)).line();
    assert!(line.len() < 4_100, "{}", line.len());
    let record = CommentRecord::read(&line).expect("a record");
    assert_eq!(record.previewed_in("dev"), None);
    // Without their names all apps count, and nobody says that they are what was shown.
    let merge = Revision::new("merge");
    let landing = Landing {
        holds: [merge.clone()].into(),
        suspended: false,
        apps: vec![app(AppPhase::Halted, b"x", None)],
    };
    let landed = land(None, None, &merge, &landing, at(1));
    assert_eq!((landed.state, landed.differing), (Fate::Halted, None));
}

#[test]
fn a_comment_is_never_longer_than_a_forge_takes_however_much_there_is_to_say() {
    // What GitHub takes is 65,536 characters.
    let names: Vec<String> = (0..40).map(|n| format!("environment-{n:0>48}")).collect();
    let apps: BTreeMap<String, Option<Digest>> =
        (0..50).map(|n| (format!("app-{n:0>59}"), Some(Digest::of(b"x")))).collect();
    let environments = names.iter().map(|name| MadeEnvironment {
        name: name.clone(),
        status: StatusState::Success,
        short: String::new(),
        previewed: apps.clone(),
    });
    let plan = "x".repeat(crate::review::markdown::LIMIT - made::AROUND);
    let made = Made { environments: environments.collect(), ..made(&plan) };
    let mut record = CommentRecord::new(&made, &"a".repeat(64), at(0));
    let why = Some("<@ada> `x` ".repeat(1_000));
    let landing = Landing {
        holds: [Revision::new("m")].into(),
        suspended: false,
        apps: vec![AppStatus { message: why, ..app(AppPhase::Halted, b"new", None) }],
    };
    for name in &names {
        let previewed = [("web".to_owned(), "old".to_owned())].into();
        let mut landed = land(None, Some(&previewed), &Revision::new("m"), &landing, at(5));
        landed.differing = Some(apps.keys().cloned().collect());
        record.outcome.insert(name.clone(), landed);
    }
    let said = |id: u64| commands::CommandLine {
        id,
        by: "a".repeat(39),
        said: format!("/fairlead {}", "@".repeat(300)),
        at: at(0),
        state: LineState::Refused,
        environment: names.first().cloned(),
        message: Some("<".repeat(300)),
    };
    record.commands = (0..8).map(said).collect();
    record.answered = (0..60).map(|n| u64::MAX - n).collect();
    let previews: String = names.iter().map(|name| format!("- Preview of {name}: waits\n")).collect();
    let content = Content {
        marker: made.marker.to_string(),
        head: "a".repeat(64),
        outcome: Some(outcome(&record, at(0))),
        plan,
        commands: Some(body::lines_within(&previews)),
    };
    let body = body::write(&content, &record);
    assert!(body.chars().count() <= 65_000, "{}", body.chars().count());
    let (read, kept) = body::read(&body).expect("it is read again");
    assert_eq!(read.digest(), content.digest());
    assert_eq!((kept.head.len(), kept.answered.len()), (64, 60), "what is remembered of commands stays");
    assert!(content.outcome.expect("it is said").contains("and 32 more"));
}
