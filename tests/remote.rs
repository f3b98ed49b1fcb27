use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relabel::shared::digest::digest_file;
use relabel::shared::error::Error;
use relabel::shared::remote::{Access, CachedFiles, RemoteFiles, RemoteSettings};
use relabel::shared::store::{Files, RowState, StoreReader, StoreWriter, WriterOptions};

use crate::servers::Server;
use crate::synthetic_store::{self, IMAGES};

/// Creates a complete store of ten images, of which row 5 failed, with the checksums of a release.
fn store(folder: &Path) -> PathBuf {
    let path = folder.join("labels");
    let writer =
        StoreWriter::create(&path, synthetic_store::info(), &synthetic_store::manifest(), WriterOptions::default())
            .unwrap();
    synthetic_store::fill(&writer).unwrap();
    let lines: Vec<String> = crate::common::store_bytes(&path)
        .into_iter()
        .map(|(inside, _)| format!("{}  {}\n", digest_file(&path.join(&inside)).unwrap().0, inside.display()))
        .collect();
    std::fs::write(path.join("SHA256SUMS"), lines.concat()).unwrap();
    path
}

fn open(url: &str, cache: Option<&Path>) -> Result<StoreReader, Error> {
    let remote = RemoteFiles::open(url, RemoteSettings::default())?;
    StoreReader::open_files(Arc::new(CachedFiles::new(remote, cache.map(Path::to_path_buf))))
}

fn rows(reader: &StoreReader) -> Vec<RowState> {
    (0..IMAGES).map(|row| reader.row(row).unwrap()).collect()
}

#[test]
fn a_remote_store_reads_like_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let local = StoreReader::open(&path).unwrap();
    let (expected, cache) = (rows(&local), folder.path().join("cache"));
    for args in [&[][..], &["--no-ranges"]] {
        let server = Server::folder(folder.path(), args);
        let url = format!("{}/labels/", server.url());
        for cache in [None, Some(cache.as_path())] {
            let reader = open(&url, cache).unwrap();
            assert_eq!(reader.info(), local.info());
            assert_eq!(reader.manifest().unwrap().path(3), "c/3.jpg");
            assert_eq!(rows(&reader), expected);
            assert_eq!(rows(&reader), expected, "second read");
            assert_eq!(reader.record(1).unwrap(), local.record(1).unwrap());
            assert!(reader.row(IMAGES).unwrap_err().to_string().contains("row 10"));
        }
    }
}

#[test]
fn only_needed_ranges_are_requested_and_cached() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let server = Server::folder(&path, &[]);
    let cache = folder.path().join("cache");
    let reader = open(&server.url(), None).unwrap();
    reader.row(6).unwrap();
    let requests = server.requests();
    assert!(requests.iter().all(|request| !request.contains("c.0") && !request.contains("c.2")), "{requests:?}");
    let without_range =
        requests.iter().filter(|request| request.contains("scores") && !request.contains("bytes=")).count();
    assert_eq!(without_range, 0, "{requests:?}");
    assert_eq!(
        requests.iter().filter(|request| request.contains("scores/c.1")).count(),
        2,
        "index and map: {requests:?}"
    );

    rows(&open(&server.url(), Some(&cache)).unwrap());
    let filled = server.requests().len();
    rows(&open(&server.url(), Some(&cache)).unwrap());
    let again: Vec<String> = server.requests().split_off(filled);
    // Checksums are always requested, and so are ranges of files of which only a few ranges were read.
    let is_expected = |request: &String| ["SHA256SUMS", "c.1.", "c.2."].iter().any(|part| request.contains(part));
    assert!(again.iter().all(is_expected) && again.len() < filled, "{again:?}");

    // A damaged copy is fetched again.
    for copy in
        walkdir::WalkDir::new(&cache).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
    {
        std::fs::write(copy.path(), b"damaged").unwrap();
    }
    rows(&open(&server.url(), Some(&cache)).unwrap());
    // An unwritable cache is not an error.
    std::fs::write(folder.path().join("file"), b"").unwrap();
    rows(&open(&server.url(), Some(&folder.path().join("file/below"))).unwrap());
}

#[test]
fn remote_damage_is_an_error_and_never_a_wrong_label() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let expected = rows(&StoreReader::open(&path).unwrap());
    let server = Server::folder(&path, &[]);
    let files: Vec<PathBuf> = ["scores", "classes", "image_probs", "image_classes"]
        .iter()
        .flat_map(|array| std::fs::read_dir(path.join(array)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("c."))
        .chain((0..3).map(|shard| path.join(format!("records/{shard:06}.json"))))
        .collect();
    let mut errors = 0;
    for file in files {
        let original = std::fs::read(&file).unwrap();
        let middle = original.len() / 2;
        let (mut flipped, mut at_end) = (original.clone(), original.clone());
        flipped[middle] ^= 4;
        at_end[original.len() - 9] ^= 4;
        for damaged in [flipped, at_end, original[..middle].to_vec(), Vec::new()] {
            std::fs::write(&file, damaged).unwrap();
            let reader = open(&server.url(), None).unwrap();
            for (row, expected) in expected.iter().enumerate() {
                match reader.row(row) {
                    Ok(state) => assert_eq!(state, *expected, "{} row {row}", file.display()),
                    Err(_) => errors += 1,
                }
            }
        }
        std::fs::remove_file(&file).unwrap();
        let reader = open(&server.url(), None).unwrap();
        let is_record = file.parent().unwrap().ends_with("records");
        let refused = (0..IMAGES).any(|row| match reader.row(row) {
            Ok(state) => is_record && state == RowState::ToDo,
            Err(_) => true,
        });
        assert!(refused, "{} is missing", file.display());
        std::fs::write(&file, original).unwrap();
    }
    assert!(errors > 40, "only {errors} errors");
}

#[test]
fn completely_fetched_files_are_verified_against_their_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    // The chunk of the first image is damaged, and the fourth one is read.
    let file = path.join("scores/c.0.0.0.0");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let server = Server::folder(&path, &["--no-ranges"]);
    let reader = open(&server.url(), Some(&folder.path().join("cache"))).unwrap();
    let refusal = reader.row(3).unwrap_err().to_string();
    assert!(refusal.contains("scores/c.0.0.0.0") && refusal.contains("expected"), "{refusal}");
}

#[test]
fn an_s3_compatible_server_is_read_with_faults_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let expected = rows(&StoreReader::open(&path).unwrap());
    let s3 = Server::s3();
    let to = RemoteFiles::open("s3://bucket/some/labels", s3.settings(Access::Write)).unwrap();
    let mut put = Vec::new();
    for (inside, bytes) in crate::common::store_bytes(&path) {
        let (digest, _) = digest_file(&path.join(&inside)).unwrap();
        let inside = inside.to_str().unwrap().to_owned();
        to.put(&inside, relabel::shared::remote::UploadSource::Bytes(&bytes), &digest).unwrap();
        assert_eq!(to.stored_digest(&inside).unwrap().as_deref(), Some(digest.as_str()));
        assert_eq!(to.file_bytes(&inside).unwrap(), Some(bytes.len() as u64));
        put.push((inside, bytes.len() as u64));
    }
    put.sort();
    assert_eq!(to.list().unwrap().unwrap(), put);
    assert_eq!(to.read("not/there").unwrap(), None);
    assert_eq!(to.file_bytes("not/there").unwrap(), None);
    assert_eq!(to.stored_digest("not/there").unwrap(), None);
    to.remove("not/there").unwrap();

    let faults = Server::faults(&s3);
    for how in ["503", "drop", "cut"] {
        faults.inject_faults(&format!(r#"{{"every": 3, "how": "{how}"}}"#));
        let remote = RemoteFiles::open("s3://bucket/some/labels/", faults.settings(Access::Read)).unwrap();
        let reader = StoreReader::open_files(Arc::new(CachedFiles::new(remote, None))).unwrap();
        assert_eq!(rows(&reader), expected, "{how}");
        assert_eq!(reader.manifest().unwrap().len(), IMAGES);
    }
    // Bits that flip in transfer never become labels.
    faults.inject_faults(r#"{"every": 2, "after": 1, "how": "silent-flip"}"#);
    let remote = RemoteFiles::open("s3://bucket/some/labels/", faults.settings(Access::Read)).unwrap();
    if let Ok(reader) = StoreReader::open_files(Arc::new(CachedFiles::new(remote, None))) {
        for (row, expected) in expected.iter().enumerate() {
            assert!(reader.row(row).map_or(true, |state| state == *expected), "row {row}");
        }
    }
}

#[test]
fn credentials_are_never_printed() {
    let s3 = Server::s3();
    let faults = Server::faults(&s3);
    faults.inject_faults(r#"{"how": "403"}"#);
    let remote = RemoteFiles::open("s3://bucket/labels", faults.settings(Access::Write)).unwrap();
    let sums = relabel::shared::digest::digest_bytes(b"x");
    let errors = [
        remote.read("zarr.json").unwrap_err(),
        remote.read_range("zarr.json", 0..4).unwrap_err(),
        remote.list().unwrap_err(),
        remote.put("zarr.json", relabel::shared::remote::UploadSource::Bytes(b"x"), &sums).unwrap_err(),
        remote.file_bytes("zarr.json").unwrap_err(),
    ];
    for error in errors {
        let (message, debug) = (error.to_string(), format!("{error:?} {remote:?}"));
        assert!(message.contains("denies access") && message.contains("status 403"), "{message}");
        for secret in ["SECRETKEY", "AKIAOFTHETESTS"] {
            assert!(!message.contains(secret), "{message}");
        }
        assert!(!debug.contains("SECRETKEY"), "{debug}");
    }
    let bare = RemoteSettings { variables: Vec::new(), access: Access::Write, stop: None };
    let missing = RemoteFiles::open("s3://bucket/labels", bare).unwrap_err().to_string();
    assert!(missing.contains("AWS_ACCESS_KEY_ID") && missing.contains("environment"), "{missing}");
}

#[test]
fn an_unreachable_network_is_an_error_soon() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let started = Instant::now();
    let error = open(&format!("http://127.0.0.1:{port}/labels"), None).err().unwrap().to_string();
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert!(error.contains("zarr.json") && error.contains("check the network"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let server = Server::folder(folder.path(), &[]);
    let error = open(&server.url(), None).err().unwrap().to_string();
    assert!(error.contains("not a store"), "{error}");
}
