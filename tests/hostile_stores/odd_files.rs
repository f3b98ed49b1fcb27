//! Pipes, sockets, links and folders in place of files: nothing blocks, and nothing outside the store is written to.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use relabel::release::{ReleaseRemedy, VerifyScope};
use relabel::shared::store::{
    Agreement, CopyMode, Depth, FolderFiles, Merge, Repair, RowState, StoreReader, StoreStatus, StoreWriter,
    WriterOptions, encode_shard, run_notes, verify,
};

use crate::common::{Ran, hermetic, relabel};
use crate::synthetic_store::{self, IMAGES};

/// One file of each kind in a store.
const FILES: [&str; 9] = [
    "zarr.json",
    "scores/zarr.json",
    "manifest.parquet",
    "scores/c.1.0.0.0",
    "image_probs/c.1.0",
    "records/000001.json",
    ".seen/0-of-1",
    ".locks/0-of-1",
    ".source-index",
];

#[test]
fn pipes_sockets_and_folders_in_place_of_files_do_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let store = complete_store(folder.path());
    let _listeners: Vec<UnixListener> = FILES
        .iter()
        .flat_map(|file| [(file, "pipe"), (file, "socket"), (file, "folder"), (file, "loop"), (file, "device")])
        .filter_map(|(file, kind)| {
            let path = store.join(file);
            let good = std::fs::read(&path).ok();
            let _ = std::fs::remove_file(&path);
            let listener = put(&path, kind);
            check_readers_return(&store, &format!("{file}, a {kind}"));
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
            if let Some(good) = good {
                std::fs::write(&path, good).unwrap();
            }
            listener
        })
        .collect();
    // Also at paths where no file belongs.
    for (file, kind) in [("runs/x.json", "pipe"), ("scores/c.9.0.0.0", "pipe"), ("records/000009.json", "pipe")] {
        put(&store.join(file), kind);
        check_readers_return(&store, file);
        let found = verify(&store, Depth::Files, &|_| ()).unwrap();
        assert!(found.problems.iter().any(|problem| problem.file == file), "{file}: {:?}", found.problems);
        std::fs::remove_file(store.join(file)).unwrap();
    }
    assert!(verify(&store, Depth::Values, &|_| ()).unwrap().problems.is_empty());
}

fn put(path: &Path, kind: &str) -> Option<UnixListener> {
    match kind {
        "pipe" => {
            let fifo = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        }
        "socket" => return Some(UnixListener::bind(path).unwrap()),
        "folder" => std::fs::create_dir(path).unwrap(),
        "loop" => symlink(path.file_name().unwrap(), path).unwrap(),
        _ => symlink("/dev/zero", path).unwrap(),
    }
    None
}

/// Checks that every reader returns, with or without an error.
fn check_readers_return(store: &Path, what: &str) {
    let started = Instant::now();
    let _ = StoreStatus::read(store);
    let _ = verify(store, Depth::Values, &|_| ());
    if let Ok(reader) = StoreReader::open(store) {
        let _ = (reader.manifest(), reader.source_index(), run_notes(store));
        for row in 0..IMAGES {
            let _ = reader.row(row);
        }
    }
    let out = store.with_file_name("merged");
    if let Ok(plan) = Merge::plan(&[store.to_path_buf()], &out, &|_| Ok(())) {
        let _ = plan.run(CopyMode::Link, WriterOptions::default(), &|_| Ok(()));
        let _ = std::fs::remove_dir_all(&out);
    }
    let _ = relabel::release::verify(&FolderFiles::new(store), None, VerifyScope::Everything, &|_| Ok(()));
    if let Ok((writer, _)) =
        StoreWriter::resume(store, WriterOptions::default(), &mut || Ok(synthetic_store::manifest()))
    {
        let _ = writer.source_index();
        let _ = writer.part_state(&|_| ());
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{what}: {:?}", started.elapsed());
}

#[test]
fn nothing_is_written_through_a_link_in_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let mine = ["0-of-1", "start", "000000.json", "c.0.0.0.0", "scores~c.0.0.0.0", "zarr.json", "x.json"];
    for name in mine {
        std::fs::write(outside.join(name), "mine").unwrap();
    }
    let links =
        ["scores", "records", "runs", ".staging", ".locks", ".seen", ".locks/start", ".locks/0-of-1", ".seen/0-of-1"];
    let files = [".staging/0-of-1", "scores/c.0.0.0.0", "records/000000.json", "runs/x.json", ".source-index"];
    for link in links.iter().chain(&files) {
        let store = folder.path().join("store");
        let writer = StoreWriter::create(
            &store,
            synthetic_store::info(),
            &synthetic_store::manifest(),
            WriterOptions::default(),
        )
        .unwrap();
        drop(writer);
        let path = store.join(link);
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        let target = outside.join(path.file_name().unwrap());
        symlink(if target.is_file() { target } else { outside.clone() }, &path).unwrap();
        let resumed = StoreWriter::resume(&store, WriterOptions::default(), &mut || Ok(synthetic_store::manifest()));
        let written = resumed.and_then(|(writer, _)| {
            synthetic_store::fill(&writer)?;
            writer.write_run_note("x", serde_json::Map::new())?;
            writer.write_source_index(b"x")
        });
        let problem = written.err().map(|error| error.to_string());
        assert_eq!(problem.is_some(), links.contains(link), "{link}: {problem:?}");
        assert!(problem.is_none_or(|problem| problem.contains("symbolic link")), "{link}");
        let names = std::fs::read_dir(&outside).unwrap().count();
        assert_eq!(names, mine.len(), "{link}: a file was added");
        for name in mine {
            assert_eq!(std::fs::read(outside.join(name)).unwrap(), b"mine", "{link}: {name}");
        }
        std::fs::remove_dir_all(&store).unwrap();
    }
}

#[test]
fn linked_folders_of_a_release_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = complete_store(folder.path());
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("virus.exe"), "x").unwrap();
    let lines = crate::common::store_bytes(&store).into_iter();
    let lines =
        lines.map(|(path, bytes)| format!("{}  {}\n", relabel::shared::digest::digest_bytes(&bytes), path.display()));
    std::fs::write(store.join("SHA256SUMS"), lines.collect::<String>()).unwrap();
    let problems = || {
        let files = FolderFiles::new(&store);
        relabel::release::verify(&files, None, VerifyScope::Everything, &|_| Ok(())).unwrap().problems
    };
    assert_eq!(problems(), []);
    symlink(&outside, store.join("more")).unwrap();
    symlink("nowhere", store.join("dangling")).unwrap();
    put(&store.join("pipe"), "pipe");
    let found: Vec<_> = problems().into_iter().map(|problem| (problem.file, problem.remedy)).collect();
    let named = ["dangling", "more", "pipe"].map(|name| (name.to_owned(), ReleaseRemedy::Delete));
    assert_eq!(found, named);
    for name in ["dangling", "more", "pipe"] {
        std::fs::remove_file(store.join(name)).unwrap();
    }
    // A linked folder of the release is not read.
    std::fs::rename(store.join("scores"), outside.join("scores")).unwrap();
    symlink(outside.join("scores"), store.join("scores")).unwrap();
    assert!(problems().iter().any(|problem| problem.file == "scores"), "{:?}", problems());
}

#[test]
fn too_many_open_files_are_not_reported_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    complete_store(folder.path());
    for (limit, subcommand) in (3..24).flat_map(|limit| [(limit, "status"), (limit, "verify")]) {
        let mut command = hermetic("prlimit");
        let program = env!("CARGO_BIN_EXE_relabel");
        command
            .arg(format!("--nofile={limit}"))
            .arg(program)
            .args([subcommand, "store", "--json"])
            .current_dir(folder.path());
        let ran = Ran::of(&mut command);
        let is_refusal = ran.code == 1 && ran.stderr.contains("open files");
        let is_loader = ran.code == 127 || ran.stderr.contains("shared libraries");
        assert!(
            ran.code == 0 || is_refusal || is_loader,
            "{limit}, {subcommand}: {} {} {}",
            ran.code,
            ran.stdout,
            ran.stderr
        );
    }
    Ran::of(relabel(folder.path()).args(["verify", "store"])).expect(0);
}

#[test]
fn a_store_being_written_has_no_stray_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut info = synthetic_store::info();
    info.shard_images = 1;
    let store = folder.path().join("store");
    let writer = StoreWriter::create(&store, info, &synthetic_store::manifest(), WriterOptions::default()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..8 {
                for shard in 0..IMAGES {
                    let labels = synthetic_store::shard_labels(writer.info(), shard);
                    let files = encode_shard(writer.info(), &labels).unwrap();
                    writer.commit(&labels, &files, Agreement::default()).unwrap();
                }
                if !done.load(Ordering::Relaxed) {
                    for shard in 0..IMAGES {
                        let _ = std::fs::remove_file(store.join(format!("records/{shard:06}.json")));
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for depth in [Depth::Files, Depth::Values] {
                    let found = verify(&store, depth, &|_| ()).unwrap();
                    let wrong: Vec<_> =
                        found.problems.iter().filter(|problem| problem.repair != Repair::Resume).collect();
                    assert!(wrong.is_empty(), "{wrong:?}");
                }
            }
        });
    });
}

/// Creates a complete store of ten images.
fn complete_store(folder: &Path) -> PathBuf {
    let store = folder.join("store");
    let writer =
        StoreWriter::create(&store, synthetic_store::info(), &synthetic_store::manifest(), WriterOptions::default())
            .unwrap();
    synthetic_store::fill(&writer).unwrap();
    let reader = StoreReader::open(&store).unwrap();
    assert!(matches!(reader.row(0), Ok(RowState::Labelled(_))));
    store
}
