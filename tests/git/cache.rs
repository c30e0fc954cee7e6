//! The cache on disk: shared, bounded, healed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fairlead::git::{Credentials, GitError, Limits, News, Reach, Remote, Remotes};
use fairlead::object::Tree;

use crate::bed::*;
use crate::web::{Manners, Web};

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                bytes_below(&entry.path())
            } else {
                entry.metadata().map_or(0, |facts| facts.len())
            }
        })
        .sum()
}

fn packs(generation: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(generation.join("objects/pack")).unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pack"))
        .collect()
}

#[test]
fn two_who_follow_one_remote_share_its_mirror() {
    let (origin, _) = Origin::with_one_commit();
    let cache = Cache::new();
    let (one, two) = (cache.mirror(&origin.url()), cache.mirror(&origin.url()));
    assert!(Arc::ptr_eq(&one, &two));
}

#[test]
fn a_restart_keeps_what_was_fetched() {
    let (origin, first) = Origin::with_one_commit();
    let cache = Cache::new();
    revision(&cache.mirror(&origin.url()), "main");
    cache.wait_until_closed();
    let again = Remotes::new(cache.folder.path(), Limits::default(), Reach::anywhere());
    let mirror = again.get(&Remote::new(&origin.url(), Credentials::None).unwrap()).unwrap();
    assert_eq!(read(&mirror.tree(&first).unwrap(), "base/web.yaml"), "kind: Service\n");
    assert_eq!(fetch(&mirror, "main").unwrap().news, News::Unchanged);
}

#[test]
fn a_cache_that_a_crash_left_half_made_is_not_used() {
    let (origin, first) = Origin::with_one_commit();
    let cache = Cache::new();
    revision(&cache.mirror(&origin.url()), "main");
    cache.wait_until_closed();
    let good = cache.generations()[0].clone();
    let half = good.with_file_name("g-7");
    std::fs::create_dir_all(half.join("objects/pack")).unwrap();
    std::fs::write(half.join("objects/pack/tmp_pack_1"), "half").unwrap();
    let mirror = cache.mirror(&origin.url());
    assert_eq!(cache.generations(), [good]);
    assert_eq!(revision(&mirror, "main"), first);
}

#[test]
fn five_hundred_pushes_leave_a_bounded_cache() {
    // Over http each fetch runs four git processes, so fewer pushes must do, with a smaller cache.
    for (over_http, pushes, limit) in [(false, 500, 24), (true, 80, 6)] {
        let (origin, _) = Origin::with_one_commit();
        for n in 0..100 {
            origin.write(&format!("base/{n}.yaml"), &format!("name: n{n}\n"));
        }
        origin.push("main");
        let web = over_http.then(|| Web::start(origin.folder.path(), Manners::default()));
        let url = web.as_ref().map_or(origin.url(), Web::url);
        let cache = Cache::with(Limits { packs: limit, ..Limits::default() });
        let mirror = cache.mirror(&url);
        revision(&mirror, "main");
        // Commits by plumbing: a porcelain commit and push take 20 times as long.
        let stream: String = (0..pushes)
            .map(|n| {
                let from = if n == 0 { "refs/heads/main^0".to_owned() } else { format!(":{n}") };
                format!(
                    "commit refs/heads/step{n}\nmark :{}\ncommitter Ada <a@b> {n} +0000\ndata 1\nx\nfrom {from}\n\
                     M 644 inline base/{}.yaml\ndata 10\n{n:010}\n",
                    n + 1,
                    n % 100
                )
            })
            .collect();
        std::fs::write(origin.folder.path().join("stream"), stream).unwrap();
        let input = std::fs::File::open(origin.folder.path().join("stream")).unwrap();
        assert!(
            git_command(&origin.bare())
                .args(["fast-import", "--quiet"])
                .stdin(input)
                .status()
                .unwrap()
                .success()
        );
        let (mut most_packs, mut most_bytes, mut most_early) = (0, 0, 0);
        for n in 0..pushes {
            std::fs::copy(
                origin.bare().join(format!("refs/heads/step{n}")),
                origin.bare().join("refs/heads/main"),
            )
            .unwrap();
            let tree = mirror.tree(&revision(&mirror, "main")).unwrap();
            assert_eq!(read(&tree, &format!("base/{}.yaml", n % 100)), format!("{n:010}"));
            most_packs =
                most_packs.max(cache.generations().iter().map(|generation| packs(generation).len()).sum());
            most_bytes = most_bytes.max(bytes_below(cache.folder.path()));
            if n == 3 * limit {
                most_early = most_bytes;
            }
        }
        assert!(most_packs <= 2 * (limit + 2), "{most_packs} packs");
        assert!(
            most_bytes * 4 < most_early * 5,
            "{most_bytes} bytes, {most_early} after {} pushes",
            3 * limit
        );
        assert!(cache.generations().len() <= 2);
        let generation = cache.generations().pop().unwrap();
        let shallow = std::fs::read_to_string(generation.join("shallow")).unwrap_or_default();
        assert!(shallow.lines().count() <= limit + 2, "{} shallow roots", shallow.lines().count());
    }
}

#[test]
fn an_old_generation_stays_for_those_who_read_it_and_goes_with_them() {
    let (origin, first) = Origin::with_one_commit();
    let cache = Cache::with(Limits { packs: 1, ..Limits::default() });
    let mirror = cache.mirror(&origin.url());
    let old = mirror.tree(&revision(&mirror, "main")).unwrap();
    for n in 0..6 {
        origin.write("base/web.yaml", &n.to_string());
        let pushed = origin.push("main");
        assert_eq!(read(&mirror.tree(&revision(&mirror, "main")).unwrap(), "base/web.yaml"), n.to_string());
        assert_eq!(mirror.commit_info(&pushed).unwrap().subject, "A change");
    }
    assert_eq!(old.revision(), &first);
    assert_eq!(read(&old, "base/web.yaml"), "kind: Service\n");
    assert_eq!(cache.generations().len(), 3, "the current, the one before, and the one that is read");
    drop(old);
    assert_eq!(cache.generations().len(), 2);
}

#[test]
fn a_damaged_cache_is_thrown_away_and_fetched_anew() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("a pack is cut", |generation| {
            for pack in packs(generation) {
                let half = std::fs::metadata(&pack).unwrap().len() / 2;
                let bytes = std::fs::read(&pack).unwrap();
                std::fs::remove_file(&pack).unwrap();
                std::fs::write(&pack, &bytes[..half as usize]).unwrap();
            }
        }),
        ("a pack is overwritten", |generation| {
            for pack in packs(generation) {
                let size = std::fs::metadata(&pack).unwrap().len();
                std::fs::remove_file(&pack).unwrap();
                std::fs::write(&pack, vec![b'x'; size as usize]).unwrap();
            }
        }),
        ("the packs are gone", |generation| {
            std::fs::remove_dir_all(generation.join("objects/pack")).unwrap()
        }),
        ("HEAD is rubbish", |generation| std::fs::write(generation.join("HEAD"), "rubbish").unwrap()),
        ("the config is rubbish", |generation| std::fs::write(generation.join("config"), "[[[").unwrap()),
        ("a ref is rubbish", |generation| {
            std::fs::write(generation.join("refs/heads/main"), "rubbish").unwrap()
        }),
    ];
    for (what, damage) in damages {
        for while_open in [false, true] {
            for over_http in [false, true] {
                let (origin, _) = Origin::with_one_commit();
                let web = over_http.then(|| Web::start(origin.folder.path(), Manners::default()));
                let url = web.as_ref().map_or(origin.url(), Web::url);
                let cache = Cache::new();
                let held = cache.mirror(&url);
                revision(&held, "main");
                let kept = while_open.then_some(held);
                if !while_open {
                    cache.wait_until_closed();
                }
                damage(&cache.generations()[0]);
                origin.write("x", "1");
                let pushed = origin.push("main");
                let mirror = cache.mirror(&url);
                // A transfer that fails on a damaged cache cannot be told from one that the server broke, once.
                let fetched = fetch(&mirror, "main").or_else(|_| fetch(&mirror, "main"));
                let fetched = fetched
                    .unwrap_or_else(|error| panic!("{what}, {while_open}, {over_http}: {}", chain(&error)));
                assert_eq!(fetched.revisions["main"], pushed, "{what}");
                let tree = mirror.tree(&pushed).unwrap();
                if let Err(error) = tree.read(&path("base/web.yaml"), 99) {
                    // What was damaged shows when it is read, and the next fetch heals it.
                    revision(&mirror, "main");
                    let again = mirror.tree(&pushed).unwrap().read(&path("base/web.yaml"), 99);
                    assert!(again.is_ok(), "{what}: {error}, then {again:?}");
                }
                drop(kept);
            }
        }
    }
}

#[test]
fn a_second_process_gets_a_folder_of_its_own() {
    let (origin, first) = Origin::with_one_commit();
    let cache = Cache::new();
    let mirror = cache.mirror(&origin.url());
    revision(&mirror, "main");
    let second = Remotes::new(cache.folder.path(), Limits::default(), Reach::anywhere());
    let other = second.get(&Remote::new(&origin.url(), Credentials::None).unwrap()).unwrap();
    assert_eq!(revision(&other, "main"), first);
    assert_eq!(cache.generations().len(), 2);
}

#[test]
fn folders_that_nobody_follows_are_swept() {
    let (origin, _) = Origin::with_one_commit();
    let (other, _) = Origin::with_one_commit();
    let cache = Cache::new();
    let kept = cache.mirror(&origin.url());
    revision(&kept, "main");
    revision(&cache.mirror(&other.url()), "main");
    // The other is let go of a moment after its fetch was answered.
    while cache.generations().len() > 1 {
        cache.remotes.sweep().unwrap();
    }
    assert_eq!(fetch(&kept, "main").unwrap().news, News::Unchanged);
}

/// Runs in a mount namespace of its own, with a disk of 1 MB.
#[test]
fn a_full_disk_is_named_and_passes() {
    const NAME: &str = "cache::a_full_disk_is_named_and_passes";
    let Some(small) = std::env::var_os("FAIRLEAD_TEST_DISK") else {
        let disk = tempfile::TempDir::new().unwrap();
        let script = format!(
            "mount -t tmpfs -o size=1m none {0} && exec \"$0\" {NAME} --exact --nocapture",
            disk.path().display()
        );
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env("FAIRLEAD_TEST_DISK", disk.path())
            .output()
            .expect("unshare is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let (origin, first) = Origin::with_one_commit();
    let web = Web::start(origin.folder.path(), Manners::default());
    for url in [origin.url(), web.url()] {
        let folder = Path::new(&small).join("cache");
        let remotes = Remotes::new(&folder, Limits::default(), Reach::anywhere());
        let mirror = remotes.get(&Remote::new(&url, Credentials::None).unwrap()).unwrap();
        git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
        origin.push("main");
        let small_one = revision(&mirror, "main");
        let noise: String = (0..2_000_000).map(|_| fastrand::alphanumeric()).collect();
        origin.write("noise", &noise);
        origin.push("main");
        let error = fetch(&mirror, "main").unwrap_err();
        assert!(matches!(error, GitError::DiskFull { .. }), "{url}: {}", chain(&error));
        assert_eq!(read(&mirror.tree(&small_one).unwrap(), "base/web.yaml"), "kind: Service\n");
        git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
        origin.write("y", "1");
        let next = origin.push("main");
        assert_eq!(revision(&mirror, "main"), next, "{url}");
        drop(mirror);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
