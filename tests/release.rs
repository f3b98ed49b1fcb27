use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use relabel::release::{Signer, Trust, TrustedKeys, check_signature};

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
        let said = keygen(folder.path(), &verify, Some(&at("SHA256SUMS")));
        assert!(said.contains("Good \"file\" signature for ada@example.org"), "{said}");
        assert!(said.contains(&signer.fingerprint()), "{said}");

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
    // The same key signs the same bytes in the same way: a release that is published again stays what it was.
    assert_eq!(theirs, Signer::open(&at("plain"), None).unwrap().sign(SUMS).unwrap());
    let said = check_signature(SUMS, &theirs, None).unwrap().to_string();
    assert!(said.contains("signed by SHA256:") && said.contains("not compared with a key that you trust"), "{said}");
}

#[test]
fn what_is_signed_by_others_or_for_something_else_or_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [ours, other] = ["ours", "other"].map(|name| key(folder.path(), name, "ed25519", ""));
    let trusted = TrustedKeys::open(&ours.with_extension("pub")).unwrap();
    let refused = |sums: &[u8], signature: &[u8]| check_signature(sums, signature, Some(&trusted)).unwrap_err();
    let signature = Signer::open(&ours, None).unwrap().sign(SUMS).unwrap();
    let mut changed = SUMS.to_vec();
    changed[3] ^= 1;
    assert!(refused(&changed, &signature).contains("one of the two was changed"));
    let foreign = Signer::open(&other, None).unwrap().sign(SUMS).unwrap();
    let said = refused(SUMS, &foreign);
    assert!(said.contains("is not in") && said.contains("ours.pub"), "{said}");
    assert!(check_signature(SUMS, &foreign, None).is_ok());
    assert!(refused(SUMS, b"no signature").contains("no OpenSSH signature"));
    std::fs::write(at("SHA256SUMS"), SUMS).unwrap();
    keygen(folder.path(), &["-Y", "sign", "-f", "ours", "-n", "git", "SHA256SUMS"], None);
    assert!(refused(SUMS, &std::fs::read(at("SHA256SUMS.sig")).unwrap()).contains("a signature for `git`"));
    for kind in ["rsa", "ecdsa"] {
        key(folder.path(), kind, kind, "");
        std::fs::remove_file(at("SHA256SUMS.sig")).unwrap();
        keygen(folder.path(), &["-Y", "sign", "-f", kind, "-n", "file", "SHA256SUMS"], None);
        let said = refused(SUMS, &std::fs::read(at("SHA256SUMS.sig")).unwrap());
        assert!(said.contains("only ed25519 is checked here"), "{kind}: {said}");
    }
    // Any changed byte of a signature is seen.
    for byte in (0..signature.len()).step_by(7) {
        let mut flipped = signature.clone();
        flipped[byte] ^= 1;
        let checked = check_signature(SUMS, &flipped, Some(&trusted));
        assert!(checked.is_err(), "byte {byte}");
    }
}

#[test]
fn keys_that_cannot_sign_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let locked = key(folder.path(), "locked", "ed25519", "correct horse");
    let refused = |path: &Path, passphrase| Signer::open(path, passphrase).unwrap_err().to_string();
    assert!(refused(&locked, None).contains("it is encrypted, and no passphrase was given"));
    assert!(refused(&locked, Some("battery staple")).contains("does not open it"));
    assert!(refused(&locked.with_extension("pub"), None).contains("it is a public key (ssh-ed25519)"));
    for kind in ["rsa", "ecdsa"] {
        let said = refused(&key(folder.path(), kind, kind, ""), None);
        assert!(said.contains("ed25519") && said.contains("ssh-keygen -t ed25519 -f KEY"), "{kind}: {said}");
        let said = TrustedKeys::open(&folder.path().join(format!("{kind}.pub"))).unwrap_err().to_string();
        assert!(said.contains("of the kind") && said.contains(kind), "{said}");
    }
    let pem = folder.path().join("pem");
    std::fs::write(&pem, "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n").unwrap();
    assert!(refused(&pem, None).contains("`RSA PRIVATE KEY`"));
    std::fs::write(&pem, "dear diary").unwrap();
    assert!(refused(&pem, None).contains("no OpenSSH private key"));
    assert!(refused(&folder.path().join("nowhere"), None).contains("nowhere"));
}

fn key(folder: &Path, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    keygen(folder, &["-q", "-t", kind, "-f", name, "-N", passphrase, "-C", "test"], None);
    folder.join(name)
}

fn keygen(folder: &Path, words: &[&str], input: Option<&Path>) -> String {
    let input = input.map_or_else(Stdio::null, |path| std::fs::File::open(path).unwrap().into());
    let output = Command::new("ssh-keygen").args(words).current_dir(folder).stdin(input).output();
    let output = output.expect("ssh-keygen runs; scripts/setup installs it");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "ssh-keygen {words:?}: {said}");
    said
}
