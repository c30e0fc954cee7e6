use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn comment(id: u64, author: &str, body: &str) -> Comment {
    Comment {
        id: CommentId(id),
        author: author.to_owned(),
        account: Some(7),
        body: body.to_owned(),
        at: at(0),
        edited: false,
    }
}

fn ada() -> PersonSpec {
    PersonSpec { login: "Ada".into(), user: "ada@example.org".into(), ..PersonSpec::default() }
}

fn pull() -> PullRequest {
    PullRequest {
        number: Number(7),
        head: Revision::new("1234567890abcdef1234567890abcdef12345678"),
        base: "main".into(),
        ..PullRequest::default()
    }
}

/// What becomes of one comment where both environments know Ada.
fn decided(comment: Comment, change: impl Fn(&mut Situation<'_>)) -> (Commands, bool) {
    let (pull, people) = (pull(), [ada()]);
    let known = BTreeMap::from([("dev", &people[..]), ("prod", &people[..])]);
    let mut situation = Situation { pull: &pull, head_since: None, people: known, now: at(5) };
    change(&mut situation);
    let mut commands = Commands::new();
    commands.found(&[comment], "fairlead", situation.now);
    let again = commands.permitted(Ok(true), &situation);
    (commands, again)
}

fn refusal(comment: Comment, change: impl Fn(&mut Situation<'_>)) -> String {
    let (mut commands, _) = decided(comment, change);
    if let Some(CommandStep::CarryOut(order)) = commands.next() {
        // As it is where nothing was done before.
        commands.carried_out(Outcome::Refused(order.refused.expect("it is refused")), at(5));
    }
    assert!(
        matches!(commands.next(), Some(CommandStep::React(_, Reaction::Refused)) | None),
        "{:?}",
        commands.next()
    );
    let line = commands.lines().pop().expect("a line");
    assert_eq!(line.state, LineState::Refused);
    line.message.expect("a reason")
}

#[test]
fn a_command_is_carried_out_as_the_user_that_the_platform_says() {
    let mut commands = Commands::new();
    assert_eq!(commands.next(), Some(CommandStep::Find));
    let comments = [
        comment(1, "fairlead", "/fairlead rollback dev"),
        comment(2, "", "/fairlead rollback dev"),
        comment(3, "ada", "hello"),
        comment(4, "ada", "/fairlead rollback dev web"),
    ];
    commands.found(&comments, "fairlead", at(5));
    assert_eq!(commands.next(), Some(CommandStep::Permit("ada".into(), Some(7))));
    let (commands, _) = decided(comments[3].clone(), |_| {});
    let Some(CommandStep::CarryOut(order)) = commands.next() else { panic!("{:?}", commands.next()) };
    assert_eq!((&*order.person.user, order.environment.as_str()), ("ada@example.org", "dev"));
    assert_eq!(order.refused, None);
}

#[test]
fn who_may_not_write_on_the_forge_gets_a_sign_and_no_line() {
    let mut commands = Commands::new();
    commands.found(&[comment(4, "mallory", "/fairlead rollback dev")], "fairlead", at(5));
    let (pull, people) = (pull(), [ada()]);
    let situation =
        Situation { pull: &pull, head_since: None, people: [("dev", &people[..])].into(), now: at(5) };
    assert!(!commands.permitted(Ok(false), &situation));
    assert_eq!(commands.next(), Some(CommandStep::React(CommentId(4), Reaction::Refused)));
    commands.reacted();
    assert_eq!((commands.next(), commands.text()), (None, None));
    // Nor is it taken up when it is seen again.
    commands.found(&[comment(4, "mallory", "/fairlead rollback dev")], "fairlead", at(6));
    assert_eq!(commands.next(), None);
}

#[test]
fn what_may_not_be_what_its_author_wrote_or_meant_is_refused() {
    let rollback = || comment(4, "ada", "/fairlead rollback dev web");
    let edited = Comment { edited: true, ..rollback() };
    assert!(refusal(edited, |_| {}).contains("edited"));
    let why = refusal(rollback(), |situation| situation.head_since = Some(at(2)));
    assert!(why.contains("got 1234567890 after"), "{why}");
    let why = refusal(comment(4, "ada", "/fairlead rollback dev @abcdef0"), |_| {});
    assert!(why.contains("at 1234567890 by now"), "{why}");
    assert!(refusal(comment(4, "eve", "/fairlead rollback dev"), |_| {}).contains("which user"));
    assert!(refusal(comment(4, "ada", "/fairlead rollback qa"), |_| {}).contains("dev, prod"));
    assert!(refusal(comment(4, "ada", "/fairlead retry"), |_| {}).contains("which environment"));
    assert!(refusal(comment(4, "ada", "/fairlead explode"), |_| {}).contains("nobody knows"));
    let why = refusal(comment(4, "ada", "/fairlead keep"), |situation| situation.now = at(3601));
    assert!(why.contains("more than an hour"), "{why}");
    let people = [PersonSpec { account: Some(8), ..ada() }];
    let why = refusal(rollback(), |situation| {
        situation.people = BTreeMap::from([("dev", &[][..])]);
    });
    assert!(why.contains("which user"), "{why}");
    let (pull, known) = (pull(), BTreeMap::from([("dev", &people[..])]));
    let mut commands = Commands::new();
    commands.found(&[rollback()], "fairlead", at(5));
    commands.permitted(Ok(true), &Situation { pull: &pull, head_since: None, people: known, now: at(5) });
    let line = commands.lines().pop().expect("a line");
    assert!(line.message.expect("a reason").contains("which user"), "the name is another account's by now");
}

#[test]
fn a_named_commit_is_meant_also_where_it_came_later() {
    let named = comment(4, "ada", "/fairlead rollback dev @1234567");
    let (commands, _) = decided(named, |situation| situation.head_since = Some(at(2)));
    assert!(matches!(commands.next(), Some(CommandStep::CarryOut(_))), "{:?}", commands.next());
}

#[test]
fn too_late_only_what_was_done_before_is_looked_for() {
    let (commands, _) =
        decided(comment(4, "ada", "/fairlead rollback dev"), |situation| situation.now = at(3601));
    let Some(CommandStep::CarryOut(order)) = commands.next() else { panic!("{:?}", commands.next()) };
    assert!(order.refused.is_some_and(|why| why.contains("more than an hour")));
    let (mut commands, _) = decided(comment(4, "ada", "/fairlead rollback dev"), |_| {});
    commands.not_carried_out(at(3601));
    let Some(CommandStep::CarryOut(order)) = commands.next() else { panic!("{:?}", commands.next()) };
    assert!(order.refused.is_some(), "it failed for an hour");
    let (commands, _) = decided(comment(4, "ada", "/fairlead plan"), |situation| situation.now = at(90_000));
    assert_eq!(commands.next(), None, "of yesterday");
}

#[test]
fn a_plan_is_made_anew_and_every_line_is_remembered_once() {
    let (mut commands, again) = decided(comment(4, "ada", "/fairlead plan"), |_| {});
    assert!(again);
    assert_eq!(commands.next(), Some(CommandStep::React(CommentId(4), Reaction::Taken)));
    assert_eq!(commands.take_told().len(), 1);
    assert!(commands.take_told().is_empty());
    let (lines, answered) = (commands.lines(), commands.answered());
    assert_eq!(answered, [4]);
    let mut anew = Commands::new();
    anew.recall(&lines, &answered);
    anew.found(&[comment(4, "ada", "/fairlead plan")], "fairlead", at(9));
    assert_eq!((anew.next(), anew.text()), (None, commands.text()));
}

#[test]
fn what_came_of_a_request_is_said_and_hostile_words_stay_words() {
    let body = "/fairlead rollback dev `<!-- fairlead:plan -->`\u{202e} @everyone";
    assert!(refusal(comment(4, "ada", body), |_| {}).contains("characters"));
    let (mut commands, _) = decided(comment(4, "ada", "/fairlead rollback dev web"), |_| {});
    commands.carried_out(Outcome::Asked, at(6));
    assert!(commands.goes_on(at(7)));
    assert_eq!(commands.asked().collect::<Vec<_>>(), [(CommentId(4), "dev")]);
    commands.reacted();
    let hostile = "web: <!-- fairlead:plan --> @everyone\n```";
    commands.requested(CommentId(4), RequestState::Failed, Some(hostile));
    let text = commands.text().expect("a section");
    assert!(text.contains("**failed**") && !text.contains("<!--"), "{text}");
    assert!(!commands.goes_on(at(8)) && commands.asked().count() == 0);
    // What came to its end does not change any more.
    commands.requested(CommentId(4), RequestState::Done, None);
    assert_eq!(commands.text(), Some(text));
}

#[test]
fn where_no_signs_may_be_made_the_comment_has_to_do() {
    let (mut commands, _) = decided(comment(4, "ada", "/fairlead plan"), |_| {});
    commands.without_reactions();
    assert_eq!(commands.next(), None);
    commands.found(&[comment(5, "ada", "/fairlead explode")], "fairlead", at(5));
    let (pull, people) = (pull(), [ada()]);
    let known = BTreeMap::from([("dev", &people[..])]);
    commands.permitted(Ok(true), &Situation { pull: &pull, head_since: None, people: known, now: at(5) });
    assert_eq!((commands.next(), commands.lines().len()), (None, 2));
}

#[test]
fn a_request_of_a_comment_has_one_name_and_another_repository_another() {
    let name = |place: &str| request_name(place, Number(7), CommentId(99));
    assert_eq!(name("a"), name("a"));
    assert_ne!(name("a"), name("b"));
    assert!(name("a").len() < 63 && name("a").starts_with("comment-") && name("a").ends_with("-7-99"));
}

#[test]
fn a_flood_of_commands_of_one_account_holds_nobody_up() {
    let mut commands = Commands::new();
    let mut all: Vec<Comment> = (1..=500).map(|id| comment(id, "mallory", "/fairlead plan")).collect();
    all.push(comment(501, "ada", "/fairlead plan"));
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for second in 0..60 {
        commands.look();
        commands.found(&all, "fairlead", at(second));
        while let Some(step) = commands.next() {
            match step {
                CommandStep::Permit(login, _) => {
                    *asked.entry(login).or_default() += 1;
                    let (pull, people) = (pull(), BTreeMap::new());
                    let situation = Situation { pull: &pull, head_since: None, people, now: at(second) };
                    commands.permitted(Ok(false), &situation);
                }
                CommandStep::React(..) => commands.reacted(),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(asked, [("ada".to_owned(), 1), ("mallory".to_owned(), BY_ONE)].into());
}
