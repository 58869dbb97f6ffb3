//! Writes the generated files (`make generate`), or says which are out of date (`--check`).

mod chart;
mod fields;
mod gitops;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use orion_operator::api::rbac::{Place, RIGHTS, Right};
use orion_operator::api::{crds, file_name, to_yaml};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Stand-ins for the namespaces of `--watch-namespaces`.
const TEAMS: [&str; 2] = ["team-a", "team-b"];
const OWN: &str = "orion-system";
const BEGIN: &str = "<!-- rights: made of src/api/rbac.rs by `make generate` -->\n";
const END: &str = "<!-- end of rights -->";
const INSTALLATION: &str = "apiVersion: v1
kind: Namespace
metadata:
  name: orion-system
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: orion-operator
  namespace: orion-system
";

fn main() -> Result<()> {
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: generate [--check]"),
    };
    let stale = stale()?;
    if check && !stale.is_empty() {
        let names: Vec<String> = stale.iter().map(|(path, _)| path.display().to_string()).collect();
        bail!("out of date, run `make generate`: {}", names.join(", "));
    }
    for (path, text) in stale {
        let full = Path::new(ROOT).join(&path);
        full.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(full, text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The files that are not as they should be, with what should be in them.
pub(crate) fn stale() -> Result<Vec<(PathBuf, String)>> {
    let differs = |(path, text): &(PathBuf, String)| {
        std::fs::read_to_string(Path::new(ROOT).join(path)).ok().is_none_or(|found| found != *text)
    };
    Ok(files()?.into_iter().filter(differs).collect())
}

/// Every generated file, by its path in the repository.
fn files() -> Result<Vec<(PathBuf, String)>> {
    let mut files = vec![
        ("examples/install/rbac.yaml".into(), cluster_wide()),
        ("examples/install/rbac-namespaced.yaml".into(), namespaced()),
        ("docs/security.md".into(), security_page()?),
        ("docs/fields.md".into(), fields::page()?),
    ];
    for (name, text) in definitions()? {
        files.push((Path::new("crds").join(name), text));
    }
    files.extend(chart::files()?);
    files.extend(gitops::files()?);
    Ok(files)
}

/// The custom resource definitions, by the names of their files.
fn definitions() -> Result<Vec<(String, String)>> {
    crds().iter().map(|crd| Ok((file_name(crd), to_yaml(crd)?))).collect()
}

/// A page with something else between two marks.
fn replaced(page: &str, begin: &str, text: &str, end: &str) -> Result<String> {
    let (before, rest) = page.split_once(begin).context("the mark where the generated part begins is lost")?;
    let (_, after) = rest.split_once(end).context("the mark where the generated part ends is lost")?;
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

/// The page with the table of rights put in anew.
fn security_page() -> Result<String> {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/security.md"))?;
    let mut table = String::from("| resources | verbs | where | why |\n|---|---|---|---|\n");
    for Right { group, resources, verbs, place, why } in RIGHTS {
        let group = if group.is_empty() { String::new() } else { format!(" of {group}") };
        let resources: Vec<String> = resources.iter().map(|resource| format!("`{resource}`")).collect();
        let (resources, verbs, place) = (resources.join(", "), verbs.join(", "), place.words());
        writeln!(table, "| {resources}{group} | {verbs} | {place} | {why} |")?;
    }
    replaced(&page, BEGIN, &table, END).context("docs/security.md")
}

/// For an operator that watches all namespaces.
fn cluster_wide() -> String {
    let head = "What the operator may do, where it watches all namespaces (else see rbac-namespaced.yaml).";
    let token = "Issue its token with: kubectl create token -n orion-system orion-operator";
    let rules = rules(&[Place::Watched, Place::ClusterWide]);
    let mut file = format!("# {head}\n# {token}\n{MADE}{INSTALLATION}{}{}", role(None, &rules), binding(None));
    file += &role(Some(OWN), &self::rules(&[Place::Leading]));
    file += &binding(Some(OWN));
    file
}

/// For an operator with `--watch-namespaces`.
fn namespaced() -> String {
    let head = format!(
        "# What the operator may do with --watch-namespaces {}: Roles only, nothing of the cluster.\n\
         # The namespaces must be there. For others, copy Role and RoleBinding and change the namespace.\n\
         # ClusterOrionConnections are not served; --orion-url and OrionConnections are.\n",
        TEAMS.join(",")
    );
    let mut file = format!("{head}{MADE}{INSTALLATION}");
    for (namespace, places) in TEAMS
        .map(|team| (team, &[Place::Watched, Place::EachWatched][..]))
        .into_iter()
        .chain([(OWN, &[Place::Own, Place::Leading][..])])
    {
        file += &role(Some(namespace), &rules(places));
        file += &binding(Some(namespace));
    }
    file
}

const MADE: &str = "# Made of src/api/rbac.rs by `make generate`. Do not edit.\n";

fn rules(places: &[Place]) -> String {
    let rights = RIGHTS.iter().filter(|right| places.contains(&right.place));
    rights
        .map(|Right { group, resources, verbs, why, .. }| {
            let group = if group.is_empty() { "\"\"" } else { group };
            let (resources, verbs) = (resources.join(", "), verbs.join(", "));
            format!("  # {why}\n  - apiGroups: [{group}]\n    resources: [{resources}]\n    verbs: [{verbs}]\n")
        })
        .collect()
}

/// A Role of a namespace, or the ClusterRole.
fn role(namespace: Option<&str>, rules: &str) -> String {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let place = namespace.map(|name| format!("  namespace: {name}\n")).unwrap_or_default();
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: orion-operator\n{place}rules:\n{rules}"
    )
}

/// Gives the role to the operator.
fn binding(namespace: Option<&str>) -> String {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let place = namespace.map(|name| format!("  namespace: {name}\n")).unwrap_or_default();
    format!(
        "---
apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}Binding
metadata:
  name: orion-operator
{place}roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {kind}
  name: orion-operator
subjects:
  - kind: ServiceAccount
    name: orion-operator
    namespace: {OWN}
"
    )
}
