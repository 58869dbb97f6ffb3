//! The commands in the pages: each `orion-operator …` is one that the program takes.

use clap::{Command, CommandFactory, Parser};
use orion_operator::cli::Cli;

use super::pages::{Page, all};

/// What a page tells to type: the lines of its blocks of commands, and what is in backticks; one simple command each, without
/// what follows a `|` or a `#`.
pub fn commands(page: &Page) -> Vec<String> {
    let blocks = page.blocks().into_iter().filter(|block| block.language.is_empty());
    let lines = blocks.flat_map(|block| {
        let text = block.text.replace("\\\n", " ");
        text.lines().map(|line| line.trim().trim_start_matches("$ ").to_owned()).collect::<Vec<_>>()
    });
    lines.chain(page.inline()).flat_map(|line| simple(&line)).collect()
}

/// The simple commands of a line of shell: cut where no quotes are at `&&`, `|`, `;`, a redirection and a comment.
pub fn simple(line: &str) -> Vec<String> {
    let (mut parts, mut quote, mut before) = (vec![String::new()], None, ' ');
    let mut is_target = false;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if before == ' ' => break,
            (None, '&' | '|' | ';') => {
                parts.push(String::new());
                is_target = false;
            }
            (None, '>') => is_target = true,
            (None | Some(_), _) => {}
        }
        if !is_target && (quote.is_some() || !['&', '|', ';'].contains(&c)) {
            parts.last_mut().unwrap().push(c);
        }
        before = c;
    }
    // The number before a `>` is no argument.
    let parts = parts.iter().map(|part| part.trim().trim_end_matches(" 2").to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

/// The words of a simple command, without quotes.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (None | Some(_), _) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The program's own arguments, where the command is one of it.
fn arguments(command: &str) -> Option<Vec<String>> {
    let words = words(command.trim_start_matches("source <(").trim_end_matches(')'));
    let program = words.first()?;
    if program == "orion-operator" || program.ends_with("/orion-operator") && !program.contains('@') {
        return (words.len() > 1).then(|| words[1..].to_vec());
    }
    let end = words.iter().position(|word| word == "--")?;
    let is_run = words[..end].starts_with(&["cargo".into(), "run".into()]) && !words[..end].contains(&"-p".into());
    is_run.then(|| words[end + 1..].to_vec())
}

#[test]
fn lines_of_shell_are_cut_into_commands() {
    let line = "a -p '{\"x\": \"|\"}' > out 2> err && b | grep 'c;d' # e & f";
    assert_eq!(simple(line), ["a -p '{\"x\": \"|\"}'", "b", "grep 'c;d'"]);
    assert_eq!(words("a 'b c'=\"d\""), ["a", "b c=d"]);
    assert_eq!(arguments("source <(orion-operator completion bash)").unwrap(), ["completion", "bash"]);
    assert_eq!(arguments("cargo run -q -- run --dry-run").unwrap(), ["run", "--dry-run"]);
    assert_eq!(arguments("helm install orion-operator x"), None);
}

/// A flag that is not there, or a value that is none.
fn wrong(arguments: &[String]) -> Option<String> {
    // Words in capitals stand for the reader's own.
    let typed = arguments.iter().map(|argument| match argument.as_str() {
        "SHELL" => "bash",
        "NAME" => "name",
        argument => argument,
    });
    let whole = std::iter::once("orion-operator").chain(typed);
    // Where something was left out, or a command is only named, the flags that are left are looked at.
    let is_named = arguments.len() == 1 || arguments.iter().any(|word| word.contains('…'));
    if !is_named {
        return Cli::try_parse_from(whole).err().filter(clap::Error::use_stderr).map(|error| error.to_string());
    }
    let cli = Cli::command();
    let command = cli.find_subcommand(&arguments[0]).unwrap_or(&cli);
    let has = |command: &Command, flag: &str| command.get_arguments().any(|it| it.get_long() == Some(flag));
    let is_there = |word: &str| has(command, word) || ["help", "version"].contains(&word);
    let is_known = !std::ptr::eq(command, &cli) || arguments[0].starts_with("--");
    let flags = arguments.iter().filter_map(|word| word.strip_prefix("--"));
    let flag = flags.map(|flag| flag.split('=').next().unwrap()).find(|flag| !is_there(flag) && !flag.contains('…'));
    if is_known {
        flag.map(|flag| format!("there is no --{flag}"))
    } else {
        Some("there is no such command".to_owned())
    }
}

#[test]
fn every_command_of_the_program_is_one() {
    let mut count = 0;
    for page in all() {
        for command in commands(&page) {
            if let Some(arguments) = arguments(&command) {
                count += 1;
                let wrong = wrong(&arguments);
                assert!(wrong.is_none(), "{}: {command}\n{}", page.path, wrong.unwrap());
            }
        }
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn a_wrong_command_is_noticed() {
    for command in ["run --orion-ulr x", "orphans … --deleted ID", "doctr", "validate", "run --interval soon"] {
        let command = words(command);
        assert_eq!(wrong(&command).is_some(), command != ["validate"], "{command:?}");
    }
}
