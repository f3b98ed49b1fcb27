use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use relabel::release::{
    BucketTarget, CHECKSUMS, Content, Delivery, Existing, FolderTarget, MARKER, Progress, ReleaseFile, StoredAs,
    Target, Watch, deliver, would_send,
};
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::Error;
use relabel::shared::remote::{Access, RemoteFiles};
use relabel::shared::store::{StoreWriter, WriterOptions};

use crate::common::{Ran, relabel};
use crate::servers::Server;
use crate::synthetic::{fill, info, manifest};

const FILES: usize = 40;

/// Files of a release: some in memory, some of a store in `folder`, one of them larger than what is sent in one piece.
fn files(folder: &Path, version: &str) -> Vec<ReleaseFile> {
    let store = folder.join(format!("store-{version}"));
    std::fs::create_dir_all(&store).unwrap();
    let mut files: Vec<ReleaseFile> = (0..FILES)
        .map(|number| {
            let content = match number {
                0 => vec![number as u8; 20 << 20],
                // Every other file is the same in all versions.
                _ if number % 2 == 0 => vec![number as u8; 100 * number],
                _ => format!("{version} {number}").into_bytes(),
            };
            let (bytes, sha256) = (content.len() as u64, digest_bytes(&content));
            let stored = store.join(number.to_string());
            let content = if number % 3 == 0 {
                std::fs::write(&stored, content).unwrap();
                Content::Stored(stored)
            } else {
                Content::Made(content)
            };
            let path = if number % 2 == 0 { format!("scores/c.{number}") } else { format!("{version}-{number}.md") };
            ReleaseFile { path, bytes, sha256, content }
        })
        .collect();
    let lines: Vec<String> = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    let sums = lines.concat().into_bytes();
    files.push(ReleaseFile {
        path: CHECKSUMS.to_owned(),
        bytes: sums.len() as u64,
        sha256: digest_bytes(&sums),
        content: Content::Made(sums),
    });
    files
}

fn bring(files: &[ReleaseFile], target: &dyn Target, existing: Existing) -> Result<Delivery, Error> {
    let watch = Watch { heard: &|_| (), stop: &|| false };
    deliver(files, target, existing, NonZeroUsize::new(4).unwrap(), &watch)
}

/// Stops after so many files.
fn bring_some(files: &[ReleaseFile], target: &dyn Target, some: usize) -> Result<Delivery, Error> {
    let done = AtomicUsize::new(0);
    let heard = |progress: Progress| {
        if matches!(progress, Progress::FileDone { .. }) {
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let watch = Watch { heard: &heard, stop: &|| done.load(Ordering::Relaxed) >= some };
    deliver(files, target, Existing::Keep, NonZeroUsize::MIN, &watch)
}

/// Everything is there as it should be, and nothing else.
fn holds(files: &[ReleaseFile], target: &dyn Target) {
    let there = target.list().unwrap();
    let mut expected: Vec<_> = files.iter().map(|file| (file.path.clone(), file.bytes)).collect();
    expected.sort();
    assert_eq!(there.into_iter().collect::<Vec<_>>(), expected);
    for file in files {
        assert_eq!(target.digest_of(file).unwrap(), file.sha256, "{}", file.path);
    }
}

fn a_delivery_goes_on_and_gives_way(folder: &Path, target: &dyn Target) {
    let first = files(folder, "first");
    assert_eq!(would_send(&first, target, Existing::Keep).unwrap().len(), FILES + 1);
    let stopped = bring_some(&first, target, 10);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let there = target.list().unwrap();
    assert!(there.contains_key(MARKER) && !there.contains_key(CHECKSUMS) && there.len() < FILES, "{there:?}");
    let gone_on = bring(&first, target, Existing::Keep).unwrap();
    assert_eq!((gone_on.files, gone_on.sent, gone_on.kept), (FILES + 1, FILES + 1 - 10, 10));
    holds(&first, target);
    // Once more changes nothing.
    let again = bring(&first, target, Existing::Keep).unwrap();
    assert_eq!((again.sent, again.kept), (0, FILES + 1));
    assert!(would_send(&first, target, Existing::Keep).unwrap().is_empty());

    // Another release does not push it aside unless it is told to.
    let second = files(folder, "second");
    let refusal = bring(&second, target, Existing::Keep).unwrap_err().to_string();
    assert!(refusal.contains("another release is there") && refusal.contains("--replace"), "{refusal}");
    holds(&first, target);
    let replaced = bring(&second, target, Existing::Replace).unwrap();
    assert_eq!((replaced.sent, replaced.removed), (FILES / 2 + 1, FILES / 2));
    holds(&second, target);

    // What belongs to no release is not touched.
    let stranger = b"mine".to_vec();
    let stranger = ReleaseFile {
        path: "thesis.md".to_owned(),
        bytes: 4,
        sha256: digest_bytes(&stranger),
        content: Content::Made(stranger),
    };
    target.put(&stranger).unwrap();
    for (release, existing) in [(&second, Existing::Keep), (&first, Existing::Replace)] {
        let refusal = bring(release, target, existing).unwrap_err().to_string();
        assert!(refusal.contains("thesis.md"), "{refusal}");
    }
    target.remove("thesis.md").unwrap();

    // A file that was taken away comes back; one that was changed without changing its length is found.
    target.remove("scores/c.4").unwrap();
    assert_eq!(bring(&second, target, Existing::Keep).unwrap().sent, 2);
    let changed = vec![9; second[2].bytes as usize];
    let changed = ReleaseFile { sha256: digest_bytes(&changed), content: Content::Made(changed), ..second[2].clone() };
    target.put(&changed).unwrap();
    let found = bring(&second, target, Existing::Keep).unwrap_err().to_string();
    assert!(found.contains("scores/c.2") && found.contains("--replace"), "{found}");
    bring(&second, target, Existing::Replace).unwrap();
    holds(&second, target);
}

#[test]
fn a_folder_gets_a_release_whole_or_with_its_marker() {
    let folder = tempfile::tempdir().unwrap();
    for (name, stored_as) in [("copies", StoredAs::Copies), ("links", StoredAs::Links)] {
        let target = FolderTarget::new(folder.path().join(name).join("release"), stored_as);
        a_delivery_goes_on_and_gives_way(&folder.path().join(name), &target);
    }
}

#[test]
fn a_delivery_that_was_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = Server::s3();
    let target = BucketTarget::new(RemoteFiles::open("s3://bucket/sets/one", s3.settings(Access::Write)).unwrap());
    a_delivery_goes_on_and_gives_way(folder.path(), &target);
}

#[test]
fn faults_of_the_network_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let release = files(folder.path(), "first");
    let s3 = Server::s3();
    let faults = Server::faults(&s3);
    for (how, every) in [("503", 4), ("drop", 4), ("cut", 7)] {
        faults.disturb(&format!(r#"{{"every": {every}, "how": "{how}"}}"#));
        let place = format!("s3://bucket/sets/{how}");
        let target = BucketTarget::new(RemoteFiles::open(&place, faults.settings(Access::Write)).unwrap());
        bring(&release, &target, Existing::Keep).unwrap();
        // Each second one, so that every kind of request meets it.
        faults.disturb(&format!(r#"{{"every": 2, "how": "{how}"}}"#));
        target.remove("never/there").unwrap();
        target.put(&release[3]).unwrap();
        assert_eq!(target.digest_of(&release[3]).unwrap(), release[3].sha256);
        assert!(target.has(&release[3].path, &release[3].sha256).unwrap());
        assert_eq!(target.list().unwrap().len(), release.len());
        target.remove("never/there").unwrap();
        faults.disturb("{}");
        holds(&release, &target);
    }
    // Refused half way: nothing looks whole, and the same delivery goes on.
    faults.disturb(r#"{"after": 30, "how": "403"}"#);
    let target =
        BucketTarget::new(RemoteFiles::open("s3://bucket/sets/refused", faults.settings(Access::Write)).unwrap());
    let refusal = bring(&release, &target, Existing::Keep).unwrap_err().to_string();
    assert!(refusal.contains("denies access") && !refusal.contains("SECRETKEY"), "{refusal}");
    faults.disturb("{}");
    let there = target.list().unwrap();
    assert!(there.contains_key(MARKER) && !there.contains_key(CHECKSUMS));
    let gone_on = bring(&release, &target, Existing::Keep).unwrap();
    assert!(gone_on.kept > 0 && gone_on.sent < FILES, "{gone_on:?}");
    holds(&release, &target);
}

#[test]
fn what_changes_on_its_way_is_found_when_it_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut release = files(folder.path(), "first");
    // The store's file is not what was recorded any more.
    std::fs::write(folder.path().join("store-first/6"), vec![7; release[6].bytes as usize]).unwrap();
    let target = FolderTarget::new(folder.path().join("release"), StoredAs::Copies);
    let found = bring(&release, &target, Existing::Keep).unwrap_err().to_string();
    assert!(found.contains("scores/c.6") && found.contains(&release[6].sha256.to_string()), "{found}");
    assert!(!target.list().unwrap().contains_key(CHECKSUMS));
    release.pop();
    let refusal = bring(&release, &target, Existing::Keep).unwrap_err().to_string();
    assert!(refusal.contains(CHECKSUMS), "{refusal}");
}

#[test]
fn a_publish_that_was_killed_sends_only_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        StoreWriter::create(&folder.path().join("labels"), info(), &manifest(), WriterOptions::default()).unwrap();
    fill(&store).unwrap();
    let s3 = Server::s3();
    let faults = Server::faults(&s3);
    faults.disturb("{}");
    let publish = || {
        let mut command = relabel(folder.path());
        command.args(["publish", "labels", "--to", "s3://bucket/maps", "--license", "CC0-1.0", "--at-a-time", "1"]);
        command.arg("--json").envs(faults.variables());
        command
    };
    let mut child = publish().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let puts = |requests: &[String]| requests.iter().filter(|request| request.starts_with("PUT")).count();
    while puts(&faults.requests()) < 8 {
        assert!(child.try_wait().unwrap().is_none(), "it is done already");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let verify = || Ran::of(relabel(folder.path()).args(["verify", "s3://bucket/maps", "--full"]).envs(s3.variables()));
    let half = verify().expect(3).stdout;
    assert!(half.contains(MARKER) && half.contains("SHA256SUMS: it is not there"), "{half}");

    let sent_before = puts(&faults.requests());
    let gone_on = Ran::of(&mut publish()).expect(0).json();
    let (sent, kept) = (&gone_on["delivered"]["sent"], &gone_on["delivered"]["kept"]);
    assert!(kept.as_u64().unwrap() >= 5, "{gone_on}");
    // The marker is put again.
    assert_eq!(sent.as_u64().unwrap() as usize, puts(&faults.requests()) - sent_before - 1);
    let whole = verify().expect(0).stdout;
    assert!(whole.contains("is complete and undamaged"), "{whole}");
    let again = Ran::of(&mut publish()).expect(0).json();
    assert_eq!(again["delivered"]["sent"], 0);

    faults.disturb(r#"{"how": "403"}"#);
    let refused = Ran::of(&mut publish()).expect(1);
    assert!(refused.stderr.contains("denies access") && !refused.stderr.contains("SECRETKEY"), "{}", refused.stderr);
}
