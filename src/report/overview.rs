//! What of many apps stands in the status of an Environment, and what in its pages.
//!
//! A small environment says everything in its status. A larger one says of an app that is well one short line, of any other
//! what a person needs, and the rest in pages. Where not even the lines have room, apps that are well are only counted.
//! Everything is bounded in bytes, for what an app says is as long as others make it.

use serde::Serialize;

use crate::api::{AdoptionStatus, AppDetails, AppPhase, AppStatus, PruneStatus, SecretStatus};
use crate::object::{AppName, Digest};

/// Bytes of all apps in full that need no pages. Less is read and written at once than a page more would cost.
const INLINE: usize = 32 << 10;
/// An environment that has pages already gives them up below this, so that it does not go to and fro.
const INLINE_AGAIN: usize = 16 << 10;
/// Bytes of all apps in a status. With [`LEFT`], the conditions and what else stands there it stays below 256 KiB.
const LISTED: usize = 176 << 10;
/// Bytes of what left git.
const LEFT: usize = 32 << 10;
/// So many apps share a page in the middle.
const APPS_OF_A_PAGE: usize = 64;
/// Bytes of a page: it is written as a whole when it is new.
const PAGE: usize = 200 << 10;
/// Bytes of a message beside those of other apps, and of one in a page.
const SHORT: usize = 512;
const LONG: usize = 8 << 10;

/// Where everything stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// The rows of the status.
    pub listed: Vec<AppStatus>,
    /// How many apps are well and stand only in the pages.
    pub unlisted: u32,
    /// The pages; none where there is room for everything in the status.
    pub pages: Vec<Vec<AppDetails>>,
}

/// Divides what is to be told of some apps, which are in the order of their names, between the status and its pages.
pub fn overview(apps: &[AppStatus], is_paged: bool) -> Overview {
    let limit = if is_paged { INLINE_AGAIN } else { INLINE };
    let mut sizes = apps.iter().map(size);
    if sizes.try_fold(0, |sum: usize, size| Some(sum + size).filter(|sum| *sum <= limit)).is_some() {
        return Overview { listed: apps.to_vec(), ..Overview::default() };
    }
    let listed = listed(apps);
    let mut count = 1;
    while count * APPS_OF_A_PAGE < apps.len() {
        count *= 2;
    }
    let mut pages = vec![Vec::new(); count];
    let mut unlisted = 0;
    for (app, listed) in apps.iter().zip(&listed) {
        let whole = app.message.as_ref().filter(|message| message.len() > SHORT);
        unlisted += u32::from(listed.is_none());
        let details = AppDetails {
            name: app.name.clone(),
            stands: listed.is_none().then(|| line(app)),
            message: whole.map(|message| cut(message, LONG)),
            history: app.history.clone(),
            adoption: app.adoption.clone(),
        };
        if let Some(page) = pages.get_mut(page_of(&app.name, count)) {
            page.push(details);
        }
    }
    pages.iter_mut().for_each(|page| fit(page));
    Overview { listed: listed.into_iter().flatten().collect(), unlisted, pages }
}

/// The rows of the status, as far as there is room: `None` for those that only are counted.
fn listed(apps: &[AppStatus]) -> Vec<Option<AppStatus>> {
    let mut rows: Vec<Option<AppStatus>> = vec![None; apps.len()];
    let mut order: Vec<usize> = (0..apps.len()).collect();
    order.sort_by_key(|n| apps.get(*n).map(urgency));
    let mut room = LISTED;
    // A line for each that is not well, then for all that are well or for none of them, then more for who needs more.
    let lines: Vec<AppStatus> = apps.iter().map(line).collect();
    let (well, other): (Vec<usize>, Vec<usize>) =
        order.into_iter().partition(|n| apps.get(*n).is_some_and(is_well));
    let all_well: usize = well.iter().filter_map(|n| lines.get(*n)).map(size).sum();
    for n in &other {
        if let (Some(line), Some(row)) = (lines.get(*n), rows.get_mut(*n))
            && let Some(left) = room.checked_sub(size(line))
        {
            (room, *row) = (left, Some(line.clone()));
        }
    }
    if let Some(left) = room.checked_sub(all_well) {
        room = left;
        for n in &well {
            if let (Some(line), Some(row)) = (lines.get(*n), rows.get_mut(*n)) {
                *row = Some(line.clone());
            }
        }
    }
    for n in &other {
        if let (Some(app), Some(Some(row))) = (apps.get(*n), rows.get_mut(*n)) {
            let more = in_short(app);
            if let Some(left) = (room + size(row)).checked_sub(size(&more)) {
                (room, *row) = (left, more);
            }
        }
    }
    rows
}

/// Whether there is nothing to say of an app but that it runs what git says.
fn is_well(app: &AppStatus) -> bool {
    app.phase == AppPhase::Ready
        && app.desired == app.effective
        && app.quarantined.is_none()
        && app.message.is_none()
        && app.rollback.is_none()
        && app.adoption.is_none()
}

/// What somebody has to see first.
fn urgency(app: &AppStatus) -> u8 {
    match app.phase {
        AppPhase::Refused | AppPhase::Halted | AppPhase::Restored => 0,
        AppPhase::Restoring | AppPhase::RollingBack | AppPhase::RolledBack => 1,
        AppPhase::Applying | AppPhase::Waiting | AppPhase::Proving => 2,
        AppPhase::Suspended | AppPhase::Ready => 3,
        AppPhase::Blocked | AppPhase::Pending => 4,
    }
}

/// Name, phase, digests once, and how many objects.
fn line(app: &AppStatus) -> AppStatus {
    let is_ready = app.phase == AppPhase::Ready;
    AppStatus {
        name: app.name.clone(),
        phase: app.phase,
        desired: app.desired.clone(),
        effective: app
            .effective
            .clone()
            .filter(|effective| !is_ready || app.desired.as_ref() != Some(effective)),
        quarantined: app.quarantined.clone(),
        objects: app.objects,
        wave: None,
        waiting_on: None,
        message: None,
        rollback: None,
        history: Vec::new(),
        adoption: None,
    }
}

/// What a person needs who looks at many.
fn in_short(app: &AppStatus) -> AppStatus {
    let mut waiting_on = app.waiting_on.clone();
    for what in waiting_on.iter_mut().flat_map(|waiting| &mut waiting.what) {
        *what = cut(what, SHORT / 2);
    }
    let mut rollback = app.rollback.clone();
    if let Some(message) = rollback.as_mut().and_then(|rollback| rollback.message.as_mut()) {
        *message = cut(message, SHORT);
    }
    AppStatus {
        wave: app.wave.clone(),
        waiting_on,
        message: app.message.as_ref().map(|message| cut(message, SHORT)),
        rollback,
        adoption: app.adoption.as_ref().map(|adoption| AdoptionStatus {
            count: adoption.count,
            needed: adoption.needed,
            objects: Vec::new(),
        }),
        ..line(app)
    }
}

/// The same page for a name as long as there are as many, so that a new app changes one page.
fn page_of(name: &AppName, count: usize) -> usize {
    let digest = Digest::of(name.as_str().as_bytes());
    let number = digest.as_str().get(..8).and_then(|hex| usize::from_str_radix(hex, 16).ok());
    number.unwrap_or_default() % count
}

/// Shortens the largest rows of a page until it fits: what one app leaves of its share is for the others.
fn fit(page: &mut [AppDetails]) {
    if page.iter().map(size).sum::<usize>() <= PAGE {
        return;
    }
    let mut order: Vec<(usize, &mut AppDetails)> = page.iter_mut().map(|row| (size(row), row)).collect();
    order.sort_by_key(|(size, _)| *size);
    let (mut room, mut left) = (PAGE, order.len());
    for (_, row) in order {
        shorten(row, room / left.max(1));
        room = room.saturating_sub(size(row));
        left -= 1;
    }
}

/// Leaves out the oldest of what became of an app, then what it lists, then the message.
fn shorten(row: &mut AppDetails, limit: usize) {
    while size(row) > limit {
        if row.history.len() > 1 {
            row.history.pop();
        } else if let Some(adoption) = row.adoption.as_mut().filter(|adoption| adoption.objects.len() > 1) {
            let half = adoption.objects.len() / 2;
            adoption.objects.truncate(half);
        } else if row.message.take().is_none() && row.history.pop().is_none() {
            return;
        }
    }
}

/// What left git, as far as there is room.
pub fn bounded(mut prune: PruneStatus) -> PruneStatus {
    let mut room = LEFT - SHORT;
    prune.message = prune.message.map(|message| cut(&message, SHORT));
    let mut fits = |text: &String| match room.checked_sub(text.len() + 8) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    prune.objects = prune.objects.into_iter().take_while(&mut fits).collect();
    prune.kept = prune.kept.into_iter().take_while(&mut fits).collect();
    prune
}

/// Bytes of the rows of secrets, and how many there are at most.
const SECRETS: usize = 24 << 10;
const ROWS: usize = 100;

/// The secrets that a status has room for: the first by name.
pub fn secrets(all: &[SecretStatus]) -> Vec<SecretStatus> {
    let mut room = SECRETS;
    let short = |row: &SecretStatus| SecretStatus {
        trouble: row.trouble.as_deref().map(|trouble| cut(trouble, SHORT)),
        warning: row.warning.as_deref().map(|warning| cut(warning, SHORT)),
        ..row.clone()
    };
    let rows = all.iter().take(ROWS).map(short);
    rows.take_while(|row| {
        let left = room.checked_sub(size(row));
        room = left.unwrap_or_default();
        left.is_some()
    })
    .collect()
}

/// Cuts a text at a character, and says how much is left out.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    // Room for the words on what is left out.
    let kept = text.get(..text.floor_char_boundary(limit.saturating_sub(32))).unwrap_or_default();
    format!("{kept} … ({} bytes more)", text.len() - kept.len())
}

/// Bytes as JSON, and the comma.
fn size(row: &impl Serialize) -> usize {
    serde_json::to_vec(row).map_or(0, |bytes| bytes.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{HandoverStatus, RecordStatus, WaitingOn};
    use crate::object::Outcome;

    fn app(n: usize, phase: AppPhase) -> AppStatus {
        let digest = Digest::of(&n.to_le_bytes());
        let record = RecordStatus {
            outcome: Outcome::Done,
            digest: digest.clone(),
            from: Some(digest.clone()),
            revision: None,
            author: Some("somebody".to_owned()),
            subject: Some("a change of some words".to_owned()),
            started: "2026-11-30T09:33:34Z".to_owned(),
            ended: "2026-11-30T09:33:34Z".to_owned(),
            objects: 4,
            by: None,
            why: None,
            secrets: Default::default(),
        };
        AppStatus {
            name: AppName::new(&format!("app-{n:05}")).unwrap(),
            phase,
            desired: Some(digest.clone()),
            effective: Some(digest),
            quarantined: None,
            objects: 4,
            wave: None,
            waiting_on: None,
            message: None,
            rollback: None,
            history: vec![record; 3],
            adoption: None,
        }
    }

    fn told(overview: &Overview) -> usize {
        overview.listed.iter().map(size).sum()
    }

    #[test]
    fn a_small_environment_has_no_pages() {
        let apps: Vec<AppStatus> = (0..10).map(|n| app(n, AppPhase::Ready)).collect();
        let small = overview(&apps, false);
        assert_eq!((small.listed, small.unlisted, small.pages.len()), (apps, 0, 0));
    }

    #[test]
    fn pages_do_not_come_and_go_at_a_border() {
        let apps: Vec<AppStatus> = (0..23).map(|n| app(n, AppPhase::Ready)).collect();
        let bytes: usize = apps.iter().map(size).sum();
        assert!(bytes > INLINE_AGAIN && bytes < INLINE, "{bytes}");
        assert!(overview(&apps, false).pages.is_empty());
        assert_eq!(overview(&apps, true).pages.len(), 1);
    }

    #[test]
    fn an_app_that_is_well_is_one_short_line() {
        let apps: Vec<AppStatus> = (0..1_000).map(|n| app(n, AppPhase::Ready)).collect();
        let all = overview(&apps, false);
        assert_eq!((all.listed.len(), all.unlisted), (1_000, 0));
        assert!(all.listed.iter().map(size).max() < Some(140), "{:?}", all.listed.first());
        assert_eq!(all.pages.iter().map(Vec::len).sum::<usize>(), 1_000);
        assert_eq!(all.pages[0][0].history.len(), 3);
        assert!(all.pages[0][0].stands.is_none(), "it is listed");
    }

    #[test]
    fn ten_thousand_apps_are_counted_and_who_is_not_well_is_named() {
        let mut apps: Vec<AppStatus> = (0..10_000).map(|n| app(n, AppPhase::Ready)).collect();
        apps[77].phase = AppPhase::Halted;
        apps[77].message = Some("é".repeat(10_000));
        let all = overview(&apps, true);
        assert_eq!((all.listed.len(), all.unlisted), (1, 9_999));
        let message = all.listed[0].message.clone().unwrap();
        assert!(message.len() <= SHORT && message.contains(" bytes more)"), "{message}");
        assert_eq!(all.pages.len(), 256);
        assert!(all.pages.iter().all(|page| page.iter().map(size).sum::<usize>() <= PAGE));
        let stands = all.pages.iter().flatten().filter(|row| row.stands.is_some()).count();
        assert_eq!(stands, 9_999);
        let long = all.pages.iter().flatten().find_map(|row| row.message.clone()).unwrap();
        assert!(long.len() > SHORT && long.len() <= LONG, "{}", long.len());
    }

    #[test]
    fn whatever_they_say_it_fits() {
        for count in [200, 2_000] {
            let apps: Vec<AppStatus> = (0..count)
                .map(|n| AppStatus {
                    message: Some("\u{1}\"\\".repeat(300)),
                    waiting_on: Some(WaitingOn {
                        what: vec!["\u{1}".repeat(500); 5],
                        since: "then".to_owned(),
                        until: None,
                    }),
                    adoption: Some(AdoptionStatus {
                        count: 50,
                        needed: true,
                        objects: vec![HandoverStatus::default(); 50],
                    }),
                    ..app(n, AppPhase::Refused)
                })
                .collect();
            let all = overview(&apps, false);
            assert!(told(&all) <= LISTED, "{count}: {}", told(&all));
            for page in &all.pages {
                let bytes = page.iter().map(size).sum::<usize>();
                assert!(bytes <= PAGE, "{count}: {bytes}");
            }
            assert_eq!(all.listed.len() + all.unlisted as usize, count);
            assert_eq!(all.pages.iter().map(Vec::len).sum::<usize>(), count);
        }
    }

    #[test]
    fn long_troubles_of_secrets_are_cut_and_there_is_room_for_some() {
        let one = SecretStatus {
            name: "aws-sm:a".to_owned(),
            version: None,
            stages: Vec::new(),
            created: None,
            strategy: crate::api::Strategy::default(),
            on_rotation_failure: crate::api::OnRotationFailure::Previous,
            apps: Vec::new(),
            trouble: Some("ä".repeat(5_000)),
            warning: None,
            reason: None,
        };
        let rows = secrets(&vec![one; 300]);
        assert!(rows.iter().map(size).sum::<usize>() <= SECRETS && rows.len() > 20, "{}", rows.len());
        let told = rows[0].trouble.as_deref().unwrap();
        assert!(told.len() <= SHORT && told.ends_with(" bytes more)"), "{told}");
    }

    #[test]
    fn an_app_stays_on_its_page() {
        let mut apps: Vec<AppStatus> = (0..300).map(|n| app(n, AppPhase::Ready)).collect();
        let before = overview(&apps, true);
        apps.remove(100);
        let after = overview(&apps, true);
        let changed = before.pages.iter().zip(&after.pages).filter(|(a, b)| a != b).count();
        assert_eq!((before.pages.len(), changed), (8, 1));
    }
}
