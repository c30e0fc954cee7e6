//! Reads a command out of a comment, which anybody may have written.
//!
//! The first line of the comment is the command, and nothing but it: what is quoted, or stands in a block of code, or below
//! other words, asks for nothing. What follows it says why.

use crate::api::Span;
use crate::object::{AppName, EnvironmentName};

/// With which a command begins.
const WORD: &str = "/fairlead";
/// A command is a line of a few words.
const LONGEST: usize = 300;
/// Why somebody asks is a line or two, too.
const REASON: usize = 200;
/// Fewer digits of a commit, or of a digest, name too much.
const SHORTEST: usize = 7;

/// How each is written, for who wrote something else.
pub const USAGE: &str = "plan, preview, preview stop, keep, approve [ENVIRONMENT] DIGEST, rollback ENVIRONMENT [APP], \
                         retry [ENVIRONMENT [APP]], hold ENVIRONMENT [APP] for TIME [deploys], explain OBJECT [FIELD]; \
                         with @COMMIT behind it only while the pull request is at that commit";

/// What a comment asks for. Where there is no environment, the only one is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the report anew.
    Plan,
    /// Give it a preview, also where no label says so.
    Preview,
    PreviewStop,
    /// Let its preview stay for another while.
    Keep,
    Approve {
        environment: Option<EnvironmentName>,
        /// The set that was shown, or the beginning of its digest.
        digest: String,
    },
    Rollback {
        environment: EnvironmentName,
        app: Option<AppName>,
    },
    Retry {
        environment: Option<EnvironmentName>,
        app: Option<AppName>,
    },
    Hold {
        environment: EnvironmentName,
        app: Option<AppName>,
        span: Span,
        deploys: bool,
    },
    Explain {
        object: String,
        field: Option<String>,
    },
}

impl Command {
    /// The verb, as it is written.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Preview => "preview",
            Self::PreviewStop => "preview stop",
            Self::Keep => "keep",
            Self::Approve { .. } => "approve",
            Self::Rollback { .. } => "rollback",
            Self::Retry { .. } => "retry",
            Self::Hold { .. } => "hold",
            Self::Explain { .. } => "explain",
        }
    }

    /// The environment that it names.
    pub fn environment(&self) -> Option<&EnvironmentName> {
        match self {
            Self::Rollback { environment, .. } | Self::Hold { environment, .. } => Some(environment),
            Self::Approve { environment, .. } | Self::Retry { environment, .. } => environment.as_ref(),
            _ => None,
        }
    }

    /// Whether it asks for something to be done to one environment.
    pub fn is_of_environment(&self) -> bool {
        matches!(self, Self::Approve { .. } | Self::Rollback { .. } | Self::Retry { .. } | Self::Hold { .. })
    }
}

/// A command with what stands beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    pub command: Command,
    /// The beginning of the only commit for which it is meant.
    pub commit: Option<String>,
    pub reason: Option<String>,
}

/// Reads a comment: `None` where it is none of ours, and why not where nothing can be made of it.
pub fn parse(body: &str) -> Option<Result<Spoken, String>> {
    let body = body.trim_start_matches('\u{feff}');
    let (line, rest) = body.split_once('\n').unwrap_or((body, ""));
    let words = line.strip_prefix(WORD)?;
    // `/fairleader` is another one's word.
    if !words.is_empty() && !words.starts_with(|c: char| c.is_whitespace()) {
        return None;
    }
    Some(read(words).map(|(command, commit)| Spoken { command, commit, reason: reason(rest) }))
}

/// The command as it is shown: the first line, and no more of it than anybody reads.
pub fn shown(body: &str) -> String {
    let line = body.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(100).collect()
}

fn reason(rest: &str) -> Option<String> {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = rest.trim().chars().map(plain).take(REASON).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(text).filter(|text| !text.is_empty())
}

fn is_digits(text: &str) -> bool {
    (SHORTEST..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read(line: &str) -> Result<(Command, Option<String>), String> {
    if line.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    if line.chars().any(|c| !matches!(c, ' ' | '\t' | '\r') && (c.is_control() || !c.is_ascii())) {
        return Err("it has characters that no command has".to_owned());
    }
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut commit = None;
    if let Some(last) = words.last().and_then(|word| word.strip_prefix('@')) {
        if !is_digits(last) {
            return Err(format!("behind the @ stands a commit, or at least {SHORTEST} digits of it"));
        }
        commit = Some(last.to_ascii_lowercase());
        words.pop();
    }
    let Some((verb, words)) = words.split_first() else {
        return Err(format!("it says nothing. It can be {USAGE}"));
    };
    let usage = |how: &str| Err(format!("write {WORD} {how}"));
    let command = match (*verb, words) {
        ("plan", []) => Command::Plan,
        ("preview", []) => Command::Preview,
        ("preview", ["stop"]) => Command::PreviewStop,
        ("keep", []) => Command::Keep,
        ("approve", [digest]) => Command::Approve { environment: None, digest: digits(digest)? },
        ("approve", [of, digest]) => {
            Command::Approve { environment: Some(environment(of)?), digest: digits(digest)? }
        }
        ("rollback", [of]) => Command::Rollback { environment: environment(of)?, app: None },
        ("rollback", [of, name]) => {
            Command::Rollback { environment: environment(of)?, app: Some(app(name)?) }
        }
        ("retry", []) => Command::Retry { environment: None, app: None },
        ("retry", [of]) => Command::Retry { environment: Some(environment(of)?), app: None },
        ("retry", [of, name]) => {
            Command::Retry { environment: Some(environment(of)?), app: Some(app(name)?) }
        }
        ("hold", [of, rest @ ..]) => hold(environment(of)?, rest)?,
        ("explain", [object]) => Command::Explain { object: (*object).to_owned(), field: None },
        ("explain", [object, field]) => {
            Command::Explain { object: (*object).to_owned(), field: Some((*field).to_owned()) }
        }
        ("plan" | "keep", _) => return usage(verb),
        ("preview", _) => return usage("preview, or preview stop"),
        ("approve", _) => return usage("approve [ENVIRONMENT] DIGEST"),
        ("rollback", _) => return usage("rollback ENVIRONMENT [APP]"),
        ("retry", _) => return usage("retry [ENVIRONMENT [APP]]"),
        ("hold", _) => return usage(HOLD),
        ("explain", _) => return usage("explain OBJECT [FIELD], as deployment/web spec.replicas"),
        _ => return Err(format!("nobody knows that word. It can be {USAGE}")),
    };
    Ok((command, commit))
}

const HOLD: &str = "hold ENVIRONMENT [APP] for TIME, such as 2h, and deploys where commits are to wait, too";

fn hold(environment: EnvironmentName, words: &[&str]) -> Result<Command, String> {
    let (words, deploys) = match words {
        [words @ .., "deploys"] => (words, true),
        words => (words, false),
    };
    let (name, span) = match words {
        ["for", span] => (None, span),
        [name, "for", span] => (Some(app(name)?), span),
        _ => return Err(format!("write {WORD} {HOLD}")),
    };
    let span: Span = span.parse().map_err(|error| format!("{error}"))?;
    Ok(Command::Hold { environment, app: name, span, deploys })
}

fn environment(word: &str) -> Result<EnvironmentName, String> {
    EnvironmentName::new(word).map_err(|error| error.to_string())
}

fn app(word: &str) -> Result<AppName, String> {
    AppName::new(word).map_err(|error| error.to_string())
}

fn digits(word: &str) -> Result<String, String> {
    match is_digits(word) {
        true => Ok(word.to_ascii_lowercase()),
        false => Err(format!("a digest is what the report shows, or at least {SHORTEST} digits of it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> EnvironmentName {
        EnvironmentName::new(name).expect("a name")
    }

    fn web() -> Option<AppName> {
        Some(AppName::new("web").expect("a name"))
    }

    #[test]
    fn each_command_is_read_as_it_is_written() {
        let dev = || Some(env("dev"));
        for (line, expected) in [
            ("plan", Command::Plan),
            ("preview", Command::Preview),
            ("preview stop", Command::PreviewStop),
            ("keep", Command::Keep),
            ("approve 3F2a91c", Command::Approve { environment: None, digest: "3f2a91c".into() }),
            ("approve dev 3f2a91c0", Command::Approve { environment: dev(), digest: "3f2a91c0".into() }),
            ("rollback dev", Command::Rollback { environment: env("dev"), app: None }),
            ("rollback  dev\tweb ", Command::Rollback { environment: env("dev"), app: web() }),
            ("retry", Command::Retry { environment: None, app: None }),
            ("retry dev", Command::Retry { environment: dev(), app: None }),
            ("retry dev web\r", Command::Retry { environment: dev(), app: web() }),
            (
                "hold dev for 2h",
                Command::Hold {
                    environment: env("dev"),
                    app: None,
                    span: Span::seconds(7200),
                    deploys: false,
                },
            ),
            (
                "hold dev web for 90m deploys",
                Command::Hold {
                    environment: env("dev"),
                    app: web(),
                    span: Span::seconds(5400),
                    deploys: true,
                },
            ),
            (
                "explain deployment/web spec.replicas",
                Command::Explain { object: "deployment/web".into(), field: Some("spec.replicas".into()) },
            ),
        ] {
            let spoken = parse(&format!("/fairlead {line}")).expect("a command").expect(line);
            assert_eq!((spoken.command, spoken.commit, spoken.reason), (expected, None, None), "{line}");
        }
        let spoken = parse("/fairlead retry dev @1A2B3C4\n\nthe registry\nis back\u{7}\n").unwrap().unwrap();
        assert_eq!(spoken.commit.as_deref(), Some("1a2b3c4"));
        assert_eq!(spoken.reason.as_deref(), Some("the registry is back"));
    }

    #[test]
    fn only_the_first_line_of_a_comment_is_a_command() {
        for none in [
            "",
            "hello",
            "> /fairlead rollback dev",
            " /fairlead rollback dev",
            "```\n/fairlead rollback dev\n```",
            "please\n/fairlead rollback dev",
            "`/fairlead rollback dev`",
            "/fairleader plan",
            "/fairlead-plan",
            "<!-- -->/fairlead plan",
        ] {
            assert!(parse(none).is_none(), "{none}");
        }
    }

    #[test]
    fn what_is_no_command_is_told_how_one_is_written() {
        for (line, words) in [
            ("", "It can be plan"),
            ("explode", "nobody knows that word"),
            ("plan now", "write /fairlead plan"),
            ("preview start", "preview stop"),
            ("approve", "approve [ENVIRONMENT] DIGEST"),
            ("approve dev", "at least 7 digits"),
            ("approve dev 3f2a91c x", "approve [ENVIRONMENT] DIGEST"),
            ("rollback", "rollback ENVIRONMENT"),
            ("rollback Dev!", "Dev!"),
            ("rollback dev web to main", "rollback ENVIRONMENT"),
            ("hold dev", "for TIME"),
            ("hold dev for soon", "not a length of time"),
            ("hold dev web api for 2h", "for TIME"),
            ("retry dev @main", "behind the @"),
            ("retry d\u{202e}ev", "characters"),
            ("retry d\u{0}ev", "characters"),
        ] {
            let why = parse(&format!("/fairlead {line}")).expect("ours").expect_err(line);
            assert!(why.contains(words), "{line}: {why}");
        }
        let long = format!("/fairlead explain {}", "x".repeat(400));
        assert!(parse(&long).unwrap().unwrap_err().contains("longer"));
    }
}
