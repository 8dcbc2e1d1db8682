//! `inro-agent generate`: the man pages and shell completions of a package, from the arguments themselves.

use std::{fs, path::Path};

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::{
    args::{Args, EXIT_CODES, GenerateArgs},
    exit::CliError,
};

pub(super) fn run(args: &GenerateArgs) -> Result<(), CliError> {
    let failed = |source| CliError::NotWritten { path: args.folder.clone(), source };
    write(&args.folder).map_err(failed)
}

fn write(folder: &Path) -> std::io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Args::command().mut_subcommands(with_exit_codes), &man)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Args::command(), "inro-agent", &completions)?;
    }
    Ok(())
}

/// A page of the manual is read by itself.
fn with_exit_codes(command: Command) -> Command {
    command.after_help(EXIT_CODES).mut_subcommands(with_exit_codes)
}
