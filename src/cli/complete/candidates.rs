//! What could come next on a command line: the pure part of completion.

use clap::{Arg, Command};

/// What could come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One of these, as far as they begin like what is typed.
    Words(Vec<String>),
    /// The name of a Webhook.
    Names,
    /// A decision about this Webhook.
    Decisions(String),
    /// The name of a file.
    Files,
}

/// What the last of `words` could be; it may be empty.
pub(super) fn wanted(root: &Command, words: &[String]) -> Wanted {
    let Some((last, before)) = words.split_last() else { return Wanted::Words(Vec::new()) };
    let mut command = root;
    let mut given: Vec<&String> = Vec::new();
    let mut open: Option<&Arg> = None;
    for word in before {
        if open.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            open = flag(command, word).filter(|flag| flag.get_action().takes_values());
        } else if let Some(found) = command.find_subcommand(word).filter(|_| given.is_empty()) {
            command = found;
        } else {
            given.push(word);
        }
    }
    if let Some(open) = open {
        return values(open);
    }
    if last.starts_with('-') {
        let long = command.get_arguments().filter_map(Arg::get_long);
        return Wanted::Words(long.map(|long| format!("--{long}")).collect());
    }
    if command.has_subcommands() {
        return Wanted::Words(command.get_subcommands().map(|command| command.get_name().to_owned()).collect());
    }
    match (command.get_name(), given.as_slice()) {
        ("resolve", [name]) => Wanted::Decisions((*name).clone()),
        ("resolve", [_, _, ..]) => Wanted::Words(Vec::new()),
        ("status" | "reconcile" | "suspend" | "resume" | "resolve", _) => Wanted::Names,
        (_, given) => command
            .get_positionals()
            .nth(given.len())
            .or_else(|| command.get_positionals().last())
            .map_or(Wanted::Words(Vec::new()), values),
    }
}

/// The flag that a word is; one with its value behind `=` is done.
fn flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_it = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| word == format!("-{short}")),
    };
    command.get_arguments().find(is_it)
}

fn values(arg: &Arg) -> Wanted {
    let values: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let is_file =
        arg.get_value_names().is_some_and(|names| names.iter().any(|name| matches!(name.as_str(), "FILE" | "DIR")));
    if is_file { Wanted::Files } else { Wanted::Words(values) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Plugin;

    fn next(line: &str) -> Wanted {
        let mut command = Plugin::command();
        command.build();
        wanted(&command, &line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_comes_next_is_known() {
        let words = |wanted: Wanted| match wanted {
            Wanted::Words(words) => words,
            Wanted::Names | Wanted::Decisions(_) | Wanted::Files => panic!("{wanted:?}"),
        };
        assert!(words(next("")).contains(&"status".to_owned()));
        assert!(!words(next("")).contains(&"run".to_owned()));
        assert!(words(next("status --")).contains(&"--check".to_owned()));
        assert_eq!(words(next("status -o ")), ["text", "json"]);
        assert_eq!(words(next("status --output ")), ["text", "json"]);
        assert!(words(next("completion ")).contains(&"bash".to_owned()));
        assert_eq!(words(next("status -n ")), [""; 0]);
        assert_eq!(words(next("resolve jobs abandon ")), [""; 0]);
        for line in
            ["status ", "status a ", "reconcile --wait ", "reconcile -n team-a j", "resume ", "resolve -n status "]
        {
            assert_eq!(next(line), Wanted::Names, "{line}");
        }
        assert_eq!(next("resolve -n team-a jobs "), Wanted::Decisions("jobs".into()));
        assert_eq!(next("resolve jobs --timeout=3s a"), Wanted::Decisions("jobs".into()));
        for line in ["validate ", "validate a.yaml ", "status --kubeconfig "] {
            assert_eq!(next(line), Wanted::Files, "{line}");
        }
    }
}
