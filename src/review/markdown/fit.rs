//! Chooses what of a comment fits.

use std::fmt::Write;

/// One object of a group.
pub struct Item {
    /// Higher ones come first where there is not room for all.
    pub priority: u8,
    /// What is shown in the place of all where that is too long.
    pub brief: String,
    pub full: String,
}

/// What is folded together.
pub struct Group {
    /// HTML, on one line.
    pub summary: String,
    /// What it is called where it is said what was left out.
    pub name: String,
    pub items: Vec<Item>,
}

/// A comment in the making.
pub struct Fit {
    out: String,
    used: usize,
    limit: usize,
    sections: Vec<Section>,
    tail: &'static str,
}

enum Section {
    Lines { heading: &'static str, lines: Vec<String> },
    Groups { heading: &'static str, groups: Vec<Group>, what: fn(usize) -> String },
}

/// What of a section is not shown, in words.
struct Missing {
    what: String,
    count: usize,
}

const LEFT_OUT: &str = "---\n\n**Left out, because a comment has a limit:** ";
const TAIL: &str = ". The JSON of this report has all of it.\n";

fn length(text: &str) -> usize {
    text.chars().count()
}

fn opening(group: &Group) -> String {
    format!("<details><summary>{}</summary>\n\n", group.summary)
}

const CLOSING: &str = "</details>\n\n";

impl Fit {
    pub fn new(limit: usize, head: &str) -> Self {
        Self { out: head.to_owned(), used: length(head), limit, sections: Vec::new(), tail: TAIL }
    }

    /// Says otherwise where what was left out can be seen.
    pub fn ending(self, tail: &'static str) -> Self {
        Self { tail, ..self }
    }

    pub fn lines(&mut self, heading: &'static str, lines: impl Iterator<Item = String>) {
        self.sections.push(Section::Lines { heading, lines: lines.collect() });
    }

    pub fn groups(&mut self, heading: &'static str, groups: Vec<Group>, what: fn(usize) -> String) {
        self.sections.push(Section::Groups { heading, groups, what });
    }

    /// Everything that fits, in the order in which the sections came.
    pub fn finish(mut self) -> String {
        let sections = std::mem::take(&mut self.sections);
        // What would be said if nothing fitted: fewer things are never said in more words.
        let all: Vec<Missing> = sections.iter().flat_map(everything).collect();
        let most = self.limit / 5;
        let reserve = reserve(&all, most, self.tail);
        let mut room = self.limit.saturating_sub(self.used + reserve);
        let whole: usize = sections.iter().map(whole).sum();
        if self.used + whole <= self.limit {
            // All of it fits, and nothing has to be said about what does not.
            room = whole;
        }
        let largest = if room >= whole { usize::MAX } else { self.limit / 4 };
        let mut missing = Vec::new();
        for section in sections {
            match section {
                Section::Lines { heading, lines } => {
                    let shown = fit_lines(heading, &lines, &mut room);
                    self.write_lines(heading, &lines, shown);
                    if lines.len() > shown {
                        let count = lines.len() - shown;
                        missing.push(Missing { what: risks(count), count });
                    }
                }
                Section::Groups { heading, groups, what } => {
                    let chosen = fit_groups(heading, &groups, largest, &mut room);
                    self.write_groups(heading, &groups, &chosen);
                    for (group, chosen) in groups.iter().zip(&chosen) {
                        let count = chosen.iter().filter(|choice| **choice != Choice::Full).count();
                        if count > 0 {
                            missing
                                .push(Missing { what: format!("{} of {}", what(count), group.name), count });
                        }
                    }
                }
            }
        }
        if !missing.is_empty() {
            self.out.push_str(&left_out(&missing, most, self.tail));
        }
        self.out
    }

    fn write_lines(&mut self, heading: &str, lines: &[String], shown: usize) {
        if shown > 0 {
            self.out.push_str(heading);
            self.out.extend(lines.iter().take(shown).map(String::as_str));
            self.out.push('\n');
        }
    }

    fn write_groups(&mut self, heading: &str, groups: &[Group], chosen: &[Vec<Choice>]) {
        if chosen.iter().flatten().any(|choice| *choice != Choice::Nothing)
            || chosen.iter().any(Vec::is_empty)
        {
            self.out.push_str(heading);
        }
        for (group, chosen) in groups.iter().zip(chosen) {
            if !chosen.is_empty() && chosen.iter().all(|choice| *choice == Choice::Nothing) {
                continue;
            }
            self.out.push_str(&opening(group));
            for (item, choice) in group.items.iter().zip(chosen) {
                match choice {
                    Choice::Full => self.out.push_str(&item.full),
                    Choice::Brief => self.out.push_str(&item.brief),
                    Choice::Nothing => {}
                }
            }
            self.out.push_str(CLOSING);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Nothing,
    Brief,
    Full,
}

fn everything(section: &Section) -> Vec<Missing> {
    match section {
        Section::Lines { lines, .. } if lines.is_empty() => Vec::new(),
        Section::Lines { lines, .. } => vec![Missing { what: risks(lines.len()), count: lines.len() }],
        Section::Groups { groups, what, .. } => groups
            .iter()
            .map(|group| {
                // A fold without items can be left out, too.
                let count = group.items.len().max(1);
                Missing { what: format!("{} of {}", what(count), group.name), count }
            })
            .collect(),
    }
}

fn risks(count: usize) -> String {
    if count == 1 { "1 risk".to_owned() } else { format!("{count} risks") }
}

fn whole(section: &Section) -> usize {
    match section {
        Section::Lines { lines, .. } if lines.is_empty() => 0,
        Section::Lines { heading, lines } => {
            length(heading) + 1 + lines.iter().map(|line| length(line)).sum::<usize>()
        }
        Section::Groups { groups, .. } if groups.is_empty() => 0,
        Section::Groups { heading, groups, .. } => {
            let items = groups.iter().flat_map(|group| &group.items).map(|item| length(&item.full));
            let folds = groups.iter().map(|group| length(&opening(group)) + length(CLOSING));
            length(heading) + items.sum::<usize>() + folds.sum::<usize>()
        }
    }
}

/// How many of the lines fit.
fn fit_lines(heading: &str, lines: &[String], room: &mut usize) -> usize {
    let mut shown = 0;
    let mut cost = length(heading) + 1;
    for line in lines {
        if cost + length(line) > *room {
            break;
        }
        cost += length(line);
        shown += 1;
    }
    if shown > 0 {
        *room -= cost;
    }
    shown
}

/// First all that fit in full, the graver ones first, then single lines of the others.
fn fit_groups(heading: &str, groups: &[Group], largest: usize, room: &mut usize) -> Vec<Vec<Choice>> {
    let mut chosen: Vec<Vec<Choice>> =
        groups.iter().map(|group| vec![Choice::Nothing; group.items.len()]).collect();
    let mut order: Vec<(u8, usize, usize)> = Vec::new();
    for (g, group) in groups.iter().enumerate() {
        order.extend(group.items.iter().enumerate().map(|(n, item)| (item.priority, g, n)));
    }
    order.sort_by_key(|a| (std::cmp::Reverse(a.0), a.1, a.2));
    let mut begun = vec![false; groups.len()];
    let mut has_heading = false;
    // A fold without items says what it says by its summary.
    for (g, group) in groups.iter().enumerate().filter(|(_, group)| group.items.is_empty()) {
        let cost = length(&opening(group)) + length(CLOSING) + if has_heading { 0 } else { length(heading) };
        match room.checked_sub(cost) {
            Some(left) => (*room, has_heading, begun[g]) = (left, true, true),
            None => chosen[g] = vec![Choice::Nothing],
        }
    }
    for wanted in [Choice::Full, Choice::Brief] {
        for &(_, g, n) in &order {
            if chosen[g][n] != Choice::Nothing {
                continue;
            }
            let (group, item) = (&groups[g], &groups[g].items[n]);
            // What is too large to be shown takes its one line while there is room.
            let (choice, size) = match length(&item.full) {
                full if wanted == Choice::Full && full <= largest => (Choice::Full, full),
                _ => (Choice::Brief, length(&item.brief)),
            };
            let fold = if begun[g] { 0 } else { length(&opening(group)) + length(CLOSING) };
            let cost = size + fold + if has_heading { 0 } else { length(heading) };
            if let Some(left) = room.checked_sub(cost) {
                (*room, has_heading, begun[g], chosen[g][n]) = (left, true, true, choice);
            }
        }
    }
    chosen
}

/// At most so many characters are needed to say that some of these were left out.
fn reserve(all: &[Missing], most: usize, tail: &str) -> usize {
    const REST: usize = 80;
    let whole = length(LEFT_OUT) + all.iter().map(|one| length(&one.what) + 2).sum::<usize>() + length(tail);
    let longest = all.iter().map(|one| length(&one.what)).max().unwrap_or(0);
    whole.min(most.max(length(LEFT_OUT) + longest) + REST + length(tail))
}

/// Says what was left out, in about so many characters at most.
fn left_out(missing: &[Missing], most: usize, tail: &str) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let mut out = LEFT_OUT.to_owned();
    for (n, one) in missing.iter().enumerate() {
        if n > 0 && length(&out) + length(&one.what) > most {
            let count: usize = missing.iter().skip(n).map(|one| one.count).sum();
            let _ = write!(out, "; and {count} more in {} other places", missing.len() - n);
            break;
        }
        if n > 0 {
            out.push_str("; ");
        }
        out.push_str(&one.what);
    }
    out.push_str(tail);
    out
}
