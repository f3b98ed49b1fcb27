//! `relabel man-pages`, a hidden command: the release archive contains its pages.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;
use serde_json::json;

use super::Outcome;
use super::args::{Arguments, ManPagesArguments};
use super::output::{Output, path_json};

pub fn run(arguments: &ManPagesArguments, output: Output) -> Result<Outcome, Error> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(|error| Error::file("create", folder)(error))?;
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let mut files = Vec::new();
    for command in commands.chain([&program]) {
        files.push(write_page(command, folder)?);
    }
    let lines: Vec<_> = files.iter().map(|file| printable_path(file) + "\n").collect();
    output
        .result(&lines.concat(), &json!({ "files": files.iter().map(|file| path_json(file)).collect::<Vec<_>>() }))?;
    Ok(Outcome::Done)
}

/// Writes `relabel-run.1` for `relabel run`.
fn write_page(command: &Command, folder: &Path) -> Result<PathBuf, Error> {
    let source = concat!("relabel ", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone()).source(source).manual("relabel");
    let file = folder.join(page.get_filename());
    let text = page_text(&page, command).map_err(|error| Error::file("write", &file)(error))?;
    std::fs::write(&file, text).map_err(|error| Error::file("write", &file)(error))?;
    Ok(file)
}

fn page_text(page: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    if let Some(after) = command.get_after_long_help() {
        after_help(&after.to_string()).to_writer(&mut text)?;
    }
    Ok(text)
}

/// Returns the text after the options as sections: examples, whose lines are kept, notes and exit codes.
fn after_help(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut section = "";
    for paragraph in text.split("\n\n") {
        let (heading, rest) = match paragraph.split_once(':') {
            Some(("Examples", rest)) => ("EXAMPLES", rest),
            Some(("Exit codes", rest)) => ("EXIT STATUS", rest),
            // Examples are indented, and may have comments between them.
            _ if paragraph.starts_with("  ") => (section, paragraph),
            _ => ("NOTES", paragraph),
        };
        roff.control(if heading == section { "PP" } else { "SH" }, (heading != section).then_some(heading));
        section = heading;
        let keeps_lines = rest.contains("\n  ") || rest.starts_with("  ");
        let lines = rest.lines().map(str::trim).filter(|line| !line.is_empty());
        if keeps_lines {
            roff.control("nf", []);
        }
        for line in lines {
            roff.text([roman(line)]);
        }
        if keeps_lines {
            roff.control("fi", []);
        }
    }
    roff
}
