use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use relabel::release::{
    BucketDestination, CHECKSUMS, Delivery, DeliveryCallbacks, DeliveryProgress, Existing, FileContent,
    FolderDestination, LinkMode, MARKER, ReleaseDestination, ReleaseFile, deliver, files_to_send,
};
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::Error;
use relabel::shared::remote::{Access, RemoteFiles};
use relabel::shared::store::{StoreWriter, WriterOptions};

use crate::common::{Ran, relabel};
use crate::servers::Server;
use crate::synthetic_store::{fill, info, manifest};

const FILES: usize = 40;

/// Makes the files of a release: some in memory, some of a store in `folder`, one larger than a part of an upload.
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
                FileContent::Disk(stored)
            } else {
                FileContent::Memory(content)
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
        content: FileContent::Memory(sums),
    });
    files
}

fn send(files: &[ReleaseFile], destination: &dyn ReleaseDestination, existing: Existing) -> Result<Delivery, Error> {
    let callbacks = DeliveryCallbacks { on_progress: &|_| (), should_stop: &|| false };
    deliver(files, destination, existing, NonZeroUsize::new(4).unwrap(), &callbacks)
}

/// Delivers, and stops after `some` files.
fn send_some(files: &[ReleaseFile], destination: &dyn ReleaseDestination, some: usize) -> Result<Delivery, Error> {
    let done = AtomicUsize::new(0);
    let on_progress = |progress: DeliveryProgress| {
        if matches!(progress, DeliveryProgress::FileDone { .. }) {
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let callbacks =
        DeliveryCallbacks { on_progress: &on_progress, should_stop: &|| done.load(Ordering::Relaxed) >= some };
    deliver(files, destination, Existing::Keep, NonZeroUsize::MIN, &callbacks)
}

/// Checks that the destination contains exactly these files.
fn check_delivered(files: &[ReleaseFile], destination: &dyn ReleaseDestination) {
    let there = destination.list().unwrap();
    let mut expected: Vec<_> = files.iter().map(|file| (file.path.clone(), file.bytes)).collect();
    expected.sort();
    assert_eq!(there.into_iter().collect::<Vec<_>>(), expected);
    for file in files {
        assert_eq!(destination.digest_of(file).unwrap(), file.sha256, "{}", file.path);
    }
}

fn resume_and_replace(folder: &Path, destination: &dyn ReleaseDestination) {
    let first = files(folder, "first");
    assert_eq!(files_to_send(&first, destination, Existing::Keep).unwrap().len(), FILES + 1);
    let stopped = send_some(&first, destination, 10);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let there = destination.list().unwrap();
    assert!(there.contains_key(MARKER) && !there.contains_key(CHECKSUMS) && there.len() < FILES, "{there:?}");
    let resumed = send(&first, destination, Existing::Keep).unwrap();
    assert_eq!((resumed.files, resumed.sent, resumed.kept), (FILES + 1, FILES + 1 - 10, 10));
    check_delivered(&first, destination);
    // Delivering again changes nothing.
    let again = send(&first, destination, Existing::Keep).unwrap();
    assert_eq!((again.sent, again.kept), (0, FILES + 1));
    assert!(files_to_send(&first, destination, Existing::Keep).unwrap().is_empty());

    // Another release replaces it only on request.
    let second = files(folder, "second");
    let refusal = send(&second, destination, Existing::Keep).unwrap_err().to_string();
    assert!(
        refusal.contains("a different release is already at this location") && refusal.contains("--replace"),
        "{refusal}"
    );
    check_delivered(&first, destination);
    let replaced = send(&second, destination, Existing::Replace).unwrap();
    assert_eq!((replaced.sent, replaced.removed), (FILES / 2 + 1, FILES / 2));
    check_delivered(&second, destination);

    // Files that belong to no release are not touched.
    let foreign = b"mine".to_vec();
    let foreign = ReleaseFile {
        path: "thesis.md".to_owned(),
        bytes: 4,
        sha256: digest_bytes(&foreign),
        content: FileContent::Memory(foreign),
    };
    destination.put(&foreign).unwrap();
    for (release, existing) in [(&second, Existing::Keep), (&first, Existing::Replace)] {
        let refusal = send(release, destination, existing).unwrap_err().to_string();
        assert!(refusal.contains("thesis.md"), "{refusal}");
    }
    destination.remove("thesis.md").unwrap();

    // A missing file is sent again; a changed file of the same length is found.
    destination.remove("scores/c.4").unwrap();
    assert_eq!(send(&second, destination, Existing::Keep).unwrap().sent, 2);
    let changed = vec![9; second[2].bytes as usize];
    let changed =
        ReleaseFile { sha256: digest_bytes(&changed), content: FileContent::Memory(changed), ..second[2].clone() };
    destination.put(&changed).unwrap();
    let found = send(&second, destination, Existing::Keep).unwrap_err().to_string();
    assert!(found.contains("scores/c.2") && found.contains("--replace"), "{found}");
    send(&second, destination, Existing::Replace).unwrap();
    check_delivered(&second, destination);
}

#[test]
fn a_folder_contains_a_complete_release_or_the_marker() {
    let folder = tempfile::tempdir().unwrap();
    for (name, link_mode) in [("copies", LinkMode::Copy), ("links", LinkMode::Hardlink)] {
        let destination = FolderDestination::new(folder.path().join(name).join("release"), link_mode);
        resume_and_replace(&folder.path().join(name), &destination);
    }
}

#[test]
fn a_stopped_delivery_to_a_bucket_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = Server::s3();
    let destination =
        BucketDestination::new(RemoteFiles::open("s3://bucket/sets/one", s3.settings(Access::Write)).unwrap());
    resume_and_replace(folder.path(), &destination);
}

#[test]
fn network_faults_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let release = files(folder.path(), "first");
    let s3 = Server::s3();
    let faults = Server::faults(&s3);
    for (how, every) in [("503", 4), ("drop", 4), ("cut", 7)] {
        faults.inject_faults(&format!(r#"{{"every": {every}, "how": "{how}"}}"#));
        let url = format!("s3://bucket/sets/{how}");
        let destination = BucketDestination::new(RemoteFiles::open(&url, faults.settings(Access::Write)).unwrap());
        send(&release, &destination, Existing::Keep).unwrap();
        // Every second request fails, so that each kind of request fails once.
        faults.inject_faults(&format!(r#"{{"every": 2, "how": "{how}"}}"#));
        destination.remove("never/there").unwrap();
        destination.put(&release[3]).unwrap();
        assert_eq!(destination.digest_of(&release[3]).unwrap(), release[3].sha256);
        assert!(destination.has(&release[3].path, &release[3].sha256).unwrap());
        assert_eq!(destination.list().unwrap().len(), release.len());
        destination.remove("never/there").unwrap();
        faults.inject_faults("{}");
        check_delivered(&release, &destination);
    }
    // Refused half-way: the release is recognised as incomplete, and the delivery can be resumed.
    faults.inject_faults(r#"{"after": 30, "how": "403"}"#);
    let destination =
        BucketDestination::new(RemoteFiles::open("s3://bucket/sets/refused", faults.settings(Access::Write)).unwrap());
    let refusal = send(&release, &destination, Existing::Keep).unwrap_err().to_string();
    assert!(refusal.contains("denies access") && !refusal.contains("SECRETKEY"), "{refusal}");
    faults.inject_faults("{}");
    let there = destination.list().unwrap();
    assert!(there.contains_key(MARKER) && !there.contains_key(CHECKSUMS));
    let resumed = send(&release, &destination, Existing::Keep).unwrap();
    assert!(resumed.kept > 0 && resumed.sent < FILES, "{resumed:?}");
    check_delivered(&release, &destination);
}

#[test]
fn files_that_change_in_transfer_are_found_when_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut release = files(folder.path(), "first");
    // The store's file no longer matches its digest.
    std::fs::write(folder.path().join("store-first/6"), vec![7; release[6].bytes as usize]).unwrap();
    let destination = FolderDestination::new(folder.path().join("release"), LinkMode::Copy);
    let found = send(&release, &destination, Existing::Keep).unwrap_err().to_string();
    assert!(found.contains("scores/c.6") && found.contains(&release[6].sha256.to_string()), "{found}");
    assert!(!destination.list().unwrap().contains_key(CHECKSUMS));
    release.pop();
    let refusal = send(&release, &destination, Existing::Keep).unwrap_err().to_string();
    assert!(refusal.contains(CHECKSUMS), "{refusal}");
}

#[test]
fn a_killed_publish_is_resumed_with_the_missing_files() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        StoreWriter::create(&folder.path().join("labels"), info(), &manifest(), WriterOptions::default()).unwrap();
    fill(&store).unwrap();
    let s3 = Server::s3();
    let faults = Server::faults(&s3);
    faults.inject_faults("{}");
    let publish = || {
        let mut command = relabel(folder.path());
        command.args(["publish", "labels", "--to", "s3://bucket/maps", "--license", "CC0-1.0", "--at-a-time", "1"]);
        command.arg("--json").envs(faults.variables());
        command
    };
    let mut child = publish().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let puts = |requests: &[String]| requests.iter().filter(|request| request.starts_with("PUT")).count();
    while puts(&faults.requests()) < 8 {
        assert!(child.try_wait().unwrap().is_none(), "it has finished already");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let verify = || Ran::of(relabel(folder.path()).args(["verify", "s3://bucket/maps", "--full"]).envs(s3.variables()));
    let half = verify().expect(3).stdout;
    assert!(half.contains(MARKER) && half.contains("SHA256SUMS: missing"), "{half}");

    let sent_before = puts(&faults.requests());
    let resumed = Ran::of(&mut publish()).expect(0).json();
    let (sent, kept) = (&resumed["delivered"]["sent"], &resumed["delivered"]["kept"]);
    assert!(kept.as_u64().unwrap() >= 5, "{resumed}");
    // The marker is written again.
    assert_eq!(sent.as_u64().unwrap() as usize, puts(&faults.requests()) - sent_before - 1);
    let complete = verify().expect(0).stdout;
    assert!(complete.contains("is complete and undamaged"), "{complete}");
    let again = Ran::of(&mut publish()).expect(0).json();
    assert_eq!(again["delivered"]["sent"], 0);

    faults.inject_faults(r#"{"how": "403"}"#);
    let refused = Ran::of(&mut publish()).expect(1);
    assert!(refused.stderr.contains("denies access") && !refused.stderr.contains("SECRETKEY"), "{}", refused.stderr);
}
