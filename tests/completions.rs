use crate::common::{Ran, hermetic, relabel};

#[test]
fn completion_scripts_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let script = |shell: &str| Ran::of(relabel(folder.path()).args(["completions", shell])).expect(0).stdout;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell);
        assert!(script.contains("export-teacher") && script.contains("image-root"), "{shell}");
        assert!(!script.contains("\\u{"), "{shell}: the script is printed as it is");
    }
    std::fs::write(folder.path().join("relabel.bash"), script("bash")).unwrap();
    let complete = "source ./relabel.bash; COMP_WORDS=(relabel exp); COMP_CWORD=1; _relabel relabel exp relabel; \
                    echo \"${COMPREPLY[@]}\"";
    let mut bash = hermetic("bash");
    let completed = Ran::of(bash.args(["--norc", "-c", complete]).current_dir(folder.path())).expect(0).stdout;
    assert_eq!(completed, "export export-teacher\n");
    Ran::of(relabel(folder.path()).args(["completions", "dos"])).expect(2);
}

#[test]
fn man_pages_have_examples_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let files = Ran::of(relabel(folder.path()).args(["man-pages", "man1", "--json"])).expect(0).json();
    let files: Vec<&str> = files["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert!(files.contains(&"man1/relabel.1") && files.contains(&"man1/relabel-export-teacher.1"), "{files:?}");
    assert!(!files.contains(&"man1/relabel-man-pages.1") && files.len() == 18, "{files:?}");
    for file in files {
        let page = std::fs::read_to_string(folder.path().join(file)).unwrap();
        for section in [".TH relabel", ".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLES\n.nf\nrelabel "] {
            assert!(page.contains(section), "{file}: {section}");
        }
        // `relabel audit` has no exit codes of its own.
        assert!(page.contains(".SH \"EXIT STATUS\"") || file.ends_with("-audit.1"), "{file}");
    }
    let listed = Ran::of(relabel(folder.path()).arg("--help")).expect(0).stdout;
    assert!(!listed.contains("man-pages"), "the command is hidden");
}
