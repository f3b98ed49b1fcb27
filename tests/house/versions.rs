use crate::common::repository;

/// The version of the program, which `Cargo.toml` defines.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn the_wheel_has_the_version_of_the_program() {
    let project = std::fs::read_to_string(repository("pyproject.toml")).unwrap();
    let version = project.lines().find_map(|line| line.strip_prefix("version = "));
    assert_eq!(version, Some(format!("\"{VERSION}\"").as_str()), "pyproject.toml");
}

#[test]
fn the_changelog_describes_this_version() {
    let changelog = std::fs::read_to_string(repository("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(&format!("\n## [{VERSION}]")), "CHANGELOG.md has no section [{VERSION}]");
}
