mod faulty_files;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use relabel::release::{
    ReleaseRemedy, ReleaseVerification, Signer, Trust, TrustedKeys, VerifyScope, check_signature, verify, verify_rows,
};
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::Error;
use relabel::shared::store::{Agreement, Files, FolderFiles, StoreReader, StoreWriter, WriterOptions, encode_shard};

use crate::common::{Ran, hermetic, relabel, store_bytes};
use crate::synthetic_store::{info, manifest, shard_labels};
use faulty_files::FaultyFiles;

const SUMS: &[u8] = b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  README.md\n";

#[test]
fn ssh_keygen_accepts_our_signatures_and_we_accept_its() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("SHA256SUMS"), SUMS).unwrap();
    for (name, passphrase) in [("plain", ""), ("locked", "correct horse")] {
        let key = key(folder.path(), name, "ed25519", passphrase);
        let signer = Signer::open(&key, Some(passphrase).filter(|phrase| !phrase.is_empty())).unwrap();
        let signature = signer.sign(SUMS).unwrap();
        std::fs::write(at("SHA256SUMS.sig"), &signature).unwrap();
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        std::fs::write(at("allowed"), format!("ada@example.org namespaces=\"file\" {public}")).unwrap();
        let verify = ["-Y", "verify", "-f", "allowed", "-I", "ada@example.org", "-n", "file", "-s", "SHA256SUMS.sig"];
        let output = keygen(folder.path(), &verify, Some(&at("SHA256SUMS")));
        assert!(output.contains("Good \"file\" signature for ada@example.org"), "{output}");
        assert!(output.contains(&signer.fingerprint()), "{output}");

        for (file, trust) in [("allowed", Some("ada@example.org".to_owned())), (&format!("{name}.pub"), None)] {
            let trusted = TrustedKeys::open(&at(file)).unwrap();
            let signed_by = check_signature(SUMS, &signature, Some(&trusted)).unwrap();
            assert_eq!(signed_by.trust, Trust::Trusted(trust));
        }
        assert!(signer.public_key().starts_with("ssh-ed25519 ") && !format!("{signer:?}").contains("PRIVATE"));
    }
    std::fs::remove_file(at("SHA256SUMS.sig")).unwrap();
    keygen(folder.path(), &["-Y", "sign", "-f", "plain", "-n", "file", "SHA256SUMS"], None);
    let theirs = std::fs::read(at("SHA256SUMS.sig")).unwrap();
    let trusted = TrustedKeys::open(&at("plain.pub")).unwrap();
    check_signature(SUMS, &theirs, Some(&trusted)).unwrap();
    // Signatures are deterministic, so publishing again does not change a release.
    assert_eq!(theirs, Signer::open(&at("plain"), None).unwrap().sign(SUMS).unwrap());
    let output = check_signature(SUMS, &theirs, None).unwrap().to_string();
    assert!(output.contains("signed by SHA256:") && output.contains("not compared with a trusted key"), "{output}");
}

#[test]
fn signatures_by_others_for_other_purposes_or_of_changed_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [ours, other] = ["ours", "other"].map(|name| key(folder.path(), name, "ed25519", ""));
    let trusted = TrustedKeys::open(&ours.with_extension("pub")).unwrap();
    let refused =
        |sums: &[u8], signature: &[u8]| check_signature(sums, signature, Some(&trusted)).unwrap_err().to_string();
    let signature = Signer::open(&ours, None).unwrap().sign(SUMS).unwrap();
    let mut changed = SUMS.to_vec();
    changed[3] ^= 1;
    assert!(refused(&changed, &signature).contains("one of the files was changed"));
    let foreign = Signer::open(&other, None).unwrap().sign(SUMS).unwrap();
    let output = refused(SUMS, &foreign);
    assert!(output.contains("is not in") && output.contains("ours.pub"), "{output}");
    assert!(check_signature(SUMS, &foreign, None).is_ok());
    assert!(refused(SUMS, b"no signature").contains("not an OpenSSH signature"));
    std::fs::write(at("SHA256SUMS"), SUMS).unwrap();
    keygen(folder.path(), &["-Y", "sign", "-f", "ours", "-n", "git", "SHA256SUMS"], None);
    assert!(refused(SUMS, &std::fs::read(at("SHA256SUMS.sig")).unwrap()).contains("signature for `git`"));
    for kind in ["rsa", "ecdsa"] {
        key(folder.path(), kind, kind, "");
        std::fs::remove_file(at("SHA256SUMS.sig")).unwrap();
        keygen(folder.path(), &["-Y", "sign", "-f", kind, "-n", "file", "SHA256SUMS"], None);
        let output = refused(SUMS, &std::fs::read(at("SHA256SUMS.sig")).unwrap());
        assert!(output.contains("only ed25519 is supported"), "{kind}: {output}");
    }
    // Every changed byte of a signature is found.
    for byte in (0..signature.len()).step_by(7) {
        let mut flipped = signature.clone();
        flipped[byte] ^= 1;
        let checked = check_signature(SUMS, &flipped, Some(&trusted));
        assert!(checked.is_err(), "byte {byte}");
    }
}

#[test]
fn keys_that_cannot_sign_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let locked = key(folder.path(), "locked", "ed25519", "correct horse");
    let refused = |path: &Path, passphrase| Signer::open(path, passphrase).unwrap_err().to_string();
    assert!(refused(&locked, None).contains("encrypted, and no passphrase was given"));
    assert!(refused(&locked, Some("battery staple")).contains("wrong passphrase"));
    assert!(refused(&locked.with_extension("pub"), None).contains("public key (ssh-ed25519)"));
    for kind in ["rsa", "ecdsa"] {
        let output = refused(&key(folder.path(), kind, kind, ""), None);
        assert!(output.contains("ed25519") && output.contains("ssh-keygen -t ed25519 -f KEY"), "{kind}: {output}");
        let output = TrustedKeys::open(&folder.path().join(format!("{kind}.pub"))).unwrap_err().to_string();
        assert!(output.contains("of type") && output.contains(kind), "{output}");
    }
    let pem = folder.path().join("pem");
    std::fs::write(&pem, "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n").unwrap();
    assert!(refused(&pem, None).contains("`RSA PRIVATE KEY`"));
    std::fs::write(&pem, "dear diary").unwrap();
    assert!(refused(&pem, None).contains("not an OpenSSH private key"));
    assert!(refused(&folder.path().join("nowhere"), None).contains("nowhere"));
}

#[test]
fn a_complete_release_is_verified_and_its_signer_reported() {
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), &[0, 1, 2]);
    let output = check(folder.path(), &["release"]).expect(0).stdout;
    for expected in
        ["23 compared with SHA256SUMS", "labelled 9 of 10 images, 1 failed", "not signed", "is complete and undamaged"]
    {
        assert!(output.contains(expected), "{expected} in {output}");
    }
    let unsigned = check(folder.path(), &["release", "--signer", "ours.pub"]);
    assert!(unsigned.expect(1).stderr.contains("ours.pub"));
    let [ours, other] = ["ours", "other"].map(|name| key(folder.path(), name, "ed25519", ""));
    let unsigned = check(folder.path(), &["release", "--signer", "ours.pub"]).expect(3);
    assert!(unsigned.stdout.contains("this release is not signed"), "{}", unsigned.stdout);
    let sums = std::fs::read(release.join("SHA256SUMS")).unwrap();
    std::fs::write(release.join("SHA256SUMS.sig"), Signer::open(&ours, None).unwrap().sign(&sums).unwrap()).unwrap();
    let output = check(folder.path(), &["release", "--signer", "ours.pub"]).expect(0).stdout;
    assert!(output.contains("signed by SHA256:") && output.contains("the trusted key"), "{output}");
    let output = check(folder.path(), &["release"]).expect(0).stdout;
    assert!(output.contains("not compared with a trusted key"), "{output}");
    let public = other.with_extension("pub");
    let output = check(folder.path(), &["release", "--signer", public.to_str().unwrap()]).expect(3).stdout;
    assert!(
        output.contains("SHA256SUMS.sig: signed by an untrusted key: SHA256:") && output.contains("another --signer"),
        "{output}"
    );

    let full = check(folder.path(), &["release", "--full", "--json"]).expect(0).json();
    assert_eq!((&full["kind"], &full["decoded"], &full["passed"]), (&"release".into(), &9.into(), &true.into()));
    let sample = check(folder.path(), &["release", "--sample", "3", "--seed", "1", "--json"]).expect(0).json();
    assert!(sample["decoded"].as_u64().unwrap() <= 3 && sample["seed"] == 1, "{sample}");
    // Without checksums the folder is a store, not a release.
    std::fs::remove_file(release.join("SHA256SUMS")).unwrap();
    assert_eq!(check(folder.path(), &["release", "--json"]).expect(0).json()["kind"], "store");
    let refused = check(folder.path(), &["release", "--signer", "ours.pub"]).expect(1);
    assert!(refused.stderr.contains("this folder has no SHA256SUMS"), "{}", refused.stderr);
}

#[test]
fn every_problem_of_a_release_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), &[0, 1, 2]);
    let problems = || {
        let found = verify_here(&FolderFiles::new(&release), VerifyScope::Everything).unwrap();
        found.problems.into_iter().map(|p| (p.file, p.problem, p.remedy)).collect::<Vec<_>>()
    };
    assert_eq!(problems(), []);
    let files: Vec<PathBuf> = store_bytes(&release).into_iter().map(|(file, _)| file).collect();
    for file in files.iter().filter(|file| *file != Path::new("SHA256SUMS")) {
        let (path, name) = (release.join(file), file.to_str().unwrap());
        let original = std::fs::read(&path).unwrap();
        let mut flipped = original.clone();
        flipped[original.len() / 3] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let found = problems();
        assert!(
            found.iter().any(|(file, _, remedy)| file == name && *remedy == ReleaseRemedy::DownloadAgain),
            "{name}: {found:?}"
        );
        std::fs::write(&path, &original[..original.len() - 1]).unwrap();
        assert!(problems().iter().any(|(file, _, _)| file == name), "{name}, one byte short");
        std::fs::remove_file(&path).unwrap();
        let found = problems();
        assert!(found.iter().any(|(file, problem, _)| file == name && problem == "missing"), "{name}");
        assert_eq!(found.len(), 1, "{name}: one file is missing, and nothing else is reported: {found:?}");
        // If the checksum is changed too, the store's own digests differ; only files outside the store pass.
        std::fs::write(&path, &flipped).unwrap();
        write_sums(&release);
        let is_of_the_store = !["README.md", "provenance.json"].contains(&name);
        assert_eq!(!problems().is_empty(), is_of_the_store, "{name}: {:?}", problems());
        std::fs::write(&path, original).unwrap();
        write_sums(&release);
        assert_eq!(problems(), [], "{name}");
    }
    // Unlisted files, and files of tools.
    std::fs::create_dir(release.join(".git")).unwrap();
    for name in [".git/HEAD", ".gitattributes", "virus.exe"] {
        std::fs::write(release.join(name), "x").unwrap();
    }
    let found = problems();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == "virus.exe" && found[0].2 == ReleaseRemedy::Delete);
    std::fs::remove_file(release.join("virus.exe")).unwrap();
    std::fs::write(release.join(".publishing"), "").unwrap();
    assert!(problems().iter().any(|(file, _, _)| file == ".publishing"));
    std::fs::remove_file(release.join("SHA256SUMS")).unwrap();
    let output = check(folder.path(), &["release"]).expect(3).stdout;
    assert!(output.contains(".publishing: ") && output.contains("SHA256SUMS: missing"), "{output}");
    std::fs::remove_file(release.join(".publishing")).unwrap();
    for bad in ["../../etc/passwd", "/etc/passwd", "README.md"] {
        write_sums(&release);
        let mut sums = std::fs::read(release.join("SHA256SUMS")).unwrap();
        sums.extend(format!("{}  {bad}\n", "0".repeat(64)).bytes());
        std::fs::write(release.join("SHA256SUMS"), sums).unwrap();
        let found = problems();
        assert!(found.iter().any(|(file, problem, _)| file == "SHA256SUMS" && problem.contains(bad)), "{found:?}");
    }
}

#[test]
fn a_partial_release_is_accepted_if_it_is_declared_partial() {
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), &[0, 2]);
    let output = check(folder.path(), &["release"]).expect(3).stdout;
    assert!(output.contains("records: shards are still to do, but the release is not declared partial: 1"), "{output}");
    std::fs::write(release.join("provenance.json"), "{\"partial\": true}").unwrap();
    std::fs::copy(release.join("scores/c.0.0.0.0"), release.join("scores/c.1.0.0.0")).unwrap();
    write_sums(&release);
    let output = check(folder.path(), &["release"]).expect(3).stdout;
    assert!(output.contains("scores/c.1.0.0.0: no record lists it"), "{output}");
    std::fs::remove_file(release.join("scores/c.1.0.0.0")).unwrap();
    write_sums(&release);
    let output = check(folder.path(), &["release"]).expect(0).stdout;
    assert!(output.contains("4 to do (marked as partial)"), "{output}");
}

#[test]
fn a_remote_release_is_verified_without_reading_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), &[0, 1, 2]);
    let labels = |name: &String| name.contains("/c.");
    for lists in [true, false] {
        let remote = FaultyFiles { lists, ..FaultyFiles::new(&release) };
        let mut found = verify_here(&remote, VerifyScope::SmallFiles).unwrap();
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert_eq!((found.by_length, found.compared), (12, 11));
        assert_eq!(remote.was_read().iter().filter(|name| labels(name)).count(), 0);
        let names = remote.was_read();
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len(), "no file is read twice");
        verify_rows(&mut found, &StoreReader::open(&release).unwrap(), &[0, 5, 9], &|_| Ok(())).unwrap();
        assert_eq!((found.decoded, found.problems.len()), (2, 0), "row 5 failed and has no values");

        let scores = "scores/c.1.0.0.0";
        let remote = FaultyFiles { lists, missing: Some(scores), ..FaultyFiles::new(&release) };
        expect(&verify_here(&remote, VerifyScope::SmallFiles).unwrap(), scores, "missing");
        let remote = FaultyFiles { lists, short: Some(scores), ..FaultyFiles::new(&release) };
        expect(&verify_here(&remote, VerifyScope::SmallFiles).unwrap(), scores, "its record lists");
        for file in ["README.md", "records/000001.json", "manifest.parquet", "classes/zarr.json", "zarr.json"] {
            let remote = FaultyFiles { lists, flipped: Some(file), ..FaultyFiles::new(&release) };
            expect(&verify_here(&remote, VerifyScope::SmallFiles).unwrap(), file, "SHA-256 is");
            assert!(!remote.was_read().iter().any(labels), "{file}: labels are not read instead");
        }
        // A flipped bit in a label file is found only by reading it.
        let remote = FaultyFiles { lists, flipped: Some(scores), ..FaultyFiles::new(&release) };
        assert!(verify_here(&remote, VerifyScope::SmallFiles).unwrap().problems.is_empty());
        expect(&verify_here(&remote, VerifyScope::Everything).unwrap(), scores, "SHA-256 is");
        let remote = FaultyFiles { lists, unreachable: Some("records/000002.json"), ..FaultyFiles::new(&release) };
        let stopped = verify_here(&remote, VerifyScope::SmallFiles).unwrap_err();
        assert!(matches!(stopped, Error::Remote { .. }), "{stopped}");
    }
    let mut found = verify_here(&FaultyFiles::new(&release), VerifyScope::SmallFiles).unwrap();
    let scores = release.join("scores/c.0.0.0.0");
    let mut flipped = std::fs::read(&scores).unwrap();
    flipped[5] ^= 1;
    std::fs::write(&scores, flipped).unwrap();
    verify_rows(&mut found, &StoreReader::open(&release).unwrap(), &[0, 9], &|_| Ok(())).unwrap();
    expect(&found, "scores/c.0.0.0.0", "row 0: ");
    let stopped = verify(&FolderFiles::new(&release), None, VerifyScope::Everything, &|_| Err(Error::Interrupted));
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

fn expect(found: &ReleaseVerification, file: &str, text: &str) {
    let named = found.problems.iter().any(|problem| problem.file == file && problem.problem.contains(text));
    assert!(named, "{file}, {text}: {:?}", found.problems);
}

fn verify_here(files: &dyn Files, scope: VerifyScope) -> Result<ReleaseVerification, Error> {
    verify(files, None, scope, &|_| Ok(()))
}

fn check(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).arg("verify").args(args))
}

/// Makes a release of the synthetic store with these shards.
fn release(folder: &Path, shards: &[usize]) -> PathBuf {
    let path = folder.join("release");
    let store = StoreWriter::create(&path, info(), &manifest(), WriterOptions::default()).unwrap();
    for &shard in shards {
        let labels = shard_labels(&info(), shard);
        let files = encode_shard(&info(), &labels).unwrap();
        store.commit(&labels, &files, Agreement::default()).unwrap();
    }
    drop(store);
    for folder in [".staging", ".locks", ".seen", "runs"] {
        std::fs::remove_dir_all(path.join(folder)).unwrap();
    }
    std::fs::write(path.join("README.md"), "# Label maps\n").unwrap();
    std::fs::write(path.join("provenance.json"), "{\"partial\": false}").unwrap();
    write_sums(&path);
    path
}

fn write_sums(release: &Path) {
    let files = store_bytes(release).into_iter().filter(|(name, _)| {
        let name = name.to_str().unwrap();
        !name.starts_with("SHA256SUMS") && !name.starts_with('.')
    });
    let lines: Vec<String> =
        files.map(|(name, bytes)| format!("{}  {}\n", digest_bytes(&bytes), name.display())).collect();
    std::fs::write(release.join("SHA256SUMS"), lines.concat()).unwrap();
}

fn key(folder: &Path, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    keygen(folder, &["-q", "-t", kind, "-f", name, "-N", passphrase, "-C", "test"], None);
    folder.join(name)
}

fn keygen(folder: &Path, args: &[&str], input: Option<&Path>) -> String {
    let input = input.map_or_else(Stdio::null, |path| std::fs::File::open(path).unwrap().into());
    let output = hermetic("ssh-keygen").args(args).current_dir(folder).stdin(input).output();
    let output = output.expect("ssh-keygen runs; scripts/setup installs it");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "ssh-keygen {args:?}: {text}");
    text
}
