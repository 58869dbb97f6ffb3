//! What kubectl asks of `kubectl_complete-orion` when a shell is to complete `kubectl orion …`: candidates, one a line, and
//! a directive after them (<https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>).

mod candidates;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};

use self::candidates::{Wanted, wanted};
use super::Error;
use super::objects::{Cluster, Kind, Named, Object, ObjectError, Scope, WhereArgs, block_on};
use super::plugin::Plugin;
use super::resolve;
use crate::api::shell_word;

/// Nobody waits longer for a word.
const PATIENCE: Duration = Duration::from_secs(3);

/// Writes the candidates for the last of `words`. What cannot be found out is left out: a shell is no place for errors.
pub(super) fn run(words: &[String], out: &mut impl Write) -> Result<ExitCode, Error> {
    let mut command = Plugin::command();
    command.build();
    // The shell's own words for files are of use with some, and with no others.
    let (found, directive) = match wanted(&command, words) {
        Wanted::Words(words) => (words, ":4"),
        Wanted::Names => (asked(words, async |cluster| names(&cluster).await), ":4"),
        Wanted::Decisions(name) => (asked(words, async |cluster| decisions(&cluster, &name).await), ":4"),
        Wanted::Files => (Vec::new(), ":0"),
    };
    let last = words.last().map_or("", String::as_str);
    for word in found.iter().filter(|word| word.starts_with(last) && is_plain(word)) {
        writeln!(out, "{word}")?;
    }
    writeln!(out, "{directive}")?;
    Ok(ExitCode::SUCCESS)
}

/// A shell takes it as it is, also one that evaluates candidates. Tokens and ids are what others have written.
fn is_plain(word: &str) -> bool {
    shell_word(word) == word
}

/// Asks the cluster that the words name.
fn asked(words: &[String], question: impl AsyncFnOnce(Cluster) -> Result<Vec<String>, ObjectError>) -> Vec<String> {
    let Some(at) = place(words) else { return Vec::new() };
    let answer = block_on(async {
        let answer = async { question(Cluster::connect(&at).await?).await };
        Ok::<_, ObjectError>(tokio::time::timeout(PATIENCE, answer).await)
    });
    answer.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default()
}

/// `--namespace` and the like, as far as they are typed.
fn place(words: &[String]) -> Option<WhereArgs> {
    let (_, typed) = words.split_last()?;
    let line = std::iter::once("kubectl-orion").chain(typed.iter().map(String::as_str));
    let matches = Plugin::command().ignore_errors(true).try_get_matches_from(line).ok()?;
    WhereArgs::from_arg_matches(matches.subcommand()?.1).ok()
}

async fn names(cluster: &Cluster) -> Result<Vec<String>, ObjectError> {
    let found = cluster.list(Kind::Webhook, &Scope::Namespace(cluster.namespace.clone()), None).await?;
    Ok(found.iter().map(|object: &Object| object.name().to_owned()).collect())
}

async fn decisions(cluster: &Cluster, name: &str) -> Result<Vec<String>, ObjectError> {
    let named = Named { kind: Kind::Webhook, name: name.to_owned() };
    Ok(resolve::values(&cluster.get(&named).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_takes_as_it_is_is_offered() {
        for word in ["jobs", "retry=tok_1.x-y", "adopt=", "--check"] {
            assert!(is_plain(word), "{word}");
        }
        for word in ["", "retry=$(id)", "retry=`id`", "retry=a'b", "retry=a\u{1b}[2J", "a;b", "a\u{202e}b"] {
            assert!(!is_plain(word), "{word}");
        }
    }
}
