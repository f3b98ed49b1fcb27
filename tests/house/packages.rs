use super::sources::sources;

/// Packages, and the modules that may use them.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("ort::", &["labelling/teacher"]),
    ("prost::", &["labelling/teacher"]),
    ("ndarray::", &["training/labels"]),
    ("zarrs::", &["shared/store"]),
    ("zstd::", &["shared/store"]),
    ("crc32c::", &["shared/store"]),
    ("turbojpeg::", &["labelling/pixels"]),
    ("webp::", &["labelling/pixels"]),
    ("flate2::", &["labelling/pixels"]),
    ("parquet::", &["shared/manifest", "labelling/source", "inspection/table", "evaluation/truth"]),
    ("quick_xml::", &["evaluation/truth"]),
    ("::tar::", &["labelling/source"]),
    ("glob::", &["labelling/source"]),
    ("hashbrown::", &["shared/manifest"]),
    ("icu_normalizer::", &["shared/spelling"]),
    ("tiny_skia::", &["inspection/picture"]),
    ("ab_glyph::", &["inspection/picture"]),
    ("png::", &["inspection/picture"]),
    ("argmin::", &["evaluation/calibrate"]),
    ("base64::", &["inspection/report"]),
    ("object_store::", &["shared/remote"]),
    ("reqwest::", &["shared/remote"]),
    ("tokio::", &["shared/remote"]),
    ("futures_util::", &["shared/remote"]),
    ("url::", &["shared/remote"]),
    ("ssh_key::", &["release"]),
    ("clap::", &["cli"]),
    ("clap_complete::", &["cli/completions", "cli/args"]),
    ("clap_mangen::", &["cli/man_pages"]),
    ("indicatif::", &["cli"]),
    ("anstyle::", &["cli"]),
    ("anstyle_query::", &["cli"]),
    ("signal_hook::", &["cli"]),
];

/// Calls that the library must not contain.
const NEVER_IN_LIBRARY: &[&str] =
    &["println!", "eprintln!", "process::exit", "env::var", "env::current_dir", "Instant::now", "SystemTime::now"];

#[test]
fn packages_are_used_only_in_their_modules() {
    for (package, homes) in ONLY_IN {
        let mut is_used = false;
        for source in sources() {
            let uses = source.code().any(|line| {
                line.match_indices(package)
                    .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
            });
            let is_home = homes
                .iter()
                .any(|home| source.file == format!("{home}.rs") || source.file.starts_with(&format!("{home}/")));
            assert!(!uses || is_home, "{} uses `{package}`, which is reserved for {homes:?}", source.file);
            is_used |= uses;
        }
        assert!(is_used, "nothing uses `{package}`");
    }
}

#[test]
fn the_library_does_not_print_exit_or_read_its_environment() {
    for source in sources().iter().filter(|source| !source.is_program()) {
        for word in NEVER_IN_LIBRARY {
            assert!(!source.code().any(|line| line.contains(word)), "{} uses `{word}`", source.file);
        }
    }
}
