//! `relabel completions` and `relabel man-pages`

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel completions bash > ~/.local/share/bash-completion/completions/relabel
  relabel completions zsh > ~/.zfunc/_relabel
  relabel completions fish > ~/.config/fish/completions/relabel.fish
  relabel completions elvish > ~/.config/elvish/lib/relabel.elv
  relabel completions powershell >> $PROFILE

The folders must exist. bash requires the package bash-completion. zsh requires 'fpath+=~/.zfunc' in ~/.zshrc, before \
'autoload -Uz compinit && compinit'. elvish requires 'use relabel' in ~/.config/elvish/rc.elv. Open a new shell afterwards.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage.")]
pub struct CompletionsArguments {
    /// Shell to complete commands and options in
    pub shell: Shell,
}

/// Release archives contain these pages.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel man-pages share/man/man1")]
pub struct ManPagesArguments {
    /// Folder to write relabel.1 and one page per command to
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
