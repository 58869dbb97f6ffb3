//! `kubectl orion`: the same program under the name `kubectl-orion`, with the commands for people.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use clap::Parser;

use super::PeopleCommand;
use crate::api::Reason;

/// The name by which kubectl finds a plugin called `orion`.
const FILE: &str = "kubectl-orion";
/// The name by which kubectl asks for the completion of it.
const COMPLETE: &str = "kubectl_complete-orion";

/// The arguments of `kubectl orion`.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-orion",
    bin_name = "kubectl orion",
    version = crate::version::told(),
    about = "Says how Orion webhooks stand and what to do, and does it",
    arg_required_else_help = true
)]
pub struct Plugin {
    /// What to do.
    #[command(subcommand)]
    pub command: PeopleCommand,
}

/// Under which name the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Operator,
    Plugin,
}

impl Program {
    /// By the name of its file: that of a link, or of a copy.
    pub(super) fn called(zeroth: Option<&OsStr>) -> Self {
        let is_plugin = is_called(FILE, zeroth) || is_to_complete(zeroth);
        if is_plugin { Self::Plugin } else { Self::Operator }
    }

    /// As people type it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "orion-operator",
            Self::Plugin => "kubectl orion",
        }
    }

    /// The file, for a shell's completion.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Operator => "orion-operator",
            Self::Plugin => FILE,
        }
    }

    /// The next step, for this object, by commands of this program.
    pub(super) fn step(self, reason: Reason, object: &str) -> String {
        reason.next_step().replace("NAME", object).replace("kubectl orion", self.as_str())
    }

    /// What to look at where no operator seems to.
    pub(super) fn watching(namespace: Option<&str>) -> String {
        let watches = namespace.map(|namespace| format!(" and watches {namespace}")).unwrap_or_default();
        format!(
            "Look whether an operator runs{watches} (its --watch-namespaces and --watch-label-selector): \
             kubectl get deployments -A -l app.kubernetes.io/name=orion-operator"
        )
    }
}

/// kubectl wants to know how a command line could go on.
pub(super) fn is_to_complete(zeroth: Option<&OsStr>) -> bool {
    is_called(COMPLETE, zeroth)
}

fn is_called(name: &str, zeroth: Option<&OsStr>) -> bool {
    zeroth.map(Path::new).and_then(Path::file_name) == Some(OsStr::new(name))
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_decides() {
        for (zeroth, program) in [
            ("kubectl-orion", Program::Plugin),
            ("bin/kubectl-orion", Program::Plugin),
            ("bin/kubectl_complete-orion", Program::Plugin),
            ("orion-operator", Program::Operator),
            ("kubectl-orion/orion-operator", Program::Operator),
            ("", Program::Operator),
        ] {
            assert_eq!(Program::called(Some(OsStr::new(zeroth))), program, "{zeroth}");
        }
        assert_eq!(Program::called(None), Program::Operator);
    }

    #[test]
    fn a_step_can_be_pasted() {
        let step = |program: Program| program.step(Reason::CreateUnresolved, "jobs -n team-a");
        assert_eq!(step(Program::Plugin), "decide: kubectl orion resolve jobs -n team-a");
        assert_eq!(step(Program::Operator), "decide: orion-operator resolve jobs -n team-a");
    }
}
