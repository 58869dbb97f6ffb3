//! Crossplane's provider-http, by itself: what it needs of a cluster.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

const MODULE: &str = "github.com/crossplane-contrib/provider-http";
/// The definition without which nothing goes.
const REQUESTS: &str = "requests.http.m.crossplane.io";
/// Its namespace and the name of its ServiceAccount.
const NAME: &str = "provider-http";
/// Where it serves its metrics: there is no flag for that.
const METRICS_PORT: u16 = 8080;

/// Its version as Go wrote it into the program, and the directory of its custom resource definitions: that which was named, or
/// the one in the source of the same version.
///
/// # Errors
/// There is no such directory; the message says what to do.
pub(super) fn look(program: &Path, named: Option<&Path>) -> Result<(String, PathBuf)> {
    let about = said("go", &["version".as_ref(), "-m".as_ref(), program.as_os_str()]);
    let version = about.as_deref().ok().and_then(version_of);
    let crds = match (named, &version) {
        (Some(named), _) => named.to_owned(),
        (None, None) => bail!(
            "Go did not write into {} which version of {MODULE} it is: PEER_CRDS= (--peer-crds) names the directory of its custom \
             resource definitions",
            program.display()
        ),
        (None, Some(version)) => {
            let cache = said("go", &["env".as_ref(), "GOMODCACHE".as_ref()])?;
            Path::new(cache.trim()).join(format!("{MODULE}@{version}/package/crds"))
        }
    };
    let mut files = std::fs::read_dir(&crds).into_iter().flatten().flatten();
    ensure!(
        files.any(|file| std::fs::read_to_string(file.path()).is_ok_and(|it| it.contains(REQUESTS))),
        "there is no custom resource definition {REQUESTS} in {}: `go mod download {MODULE}@v1.0.14` gets those of a \
         released version, PEER_CRDS= (--peer-crds) names another directory",
        crds.display()
    );
    Ok((version.unwrap_or_else(|| "of unknown version".to_owned()), crds))
}

fn said(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("{program} cannot be run"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// From what `go version -m` says: the module is the program's own, or what a module without any code requires.
fn version_of(about: &str) -> Option<String> {
    about.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, module, version, ..] = words.as_slice() else { return None };
        (*module == MODULE).then(|| (*version).to_owned())
    })
}

/// Makes ready for it: definitions, rights, the way to Orion. Gives its kubeconfig.
///
/// # Errors
/// Something cannot be made, or its port is taken.
pub(super) async fn prepare(plane: &ControlPlane, crds: &Path, token: &str) -> Result<PathBuf> {
    TcpListener::bind(("0.0.0.0", METRICS_PORT)).with_context(|| {
        format!("provider-http serves its metrics on port {METRICS_PORT}, and has no flag for another: end what has it")
    })?;
    plane.install_crds(crds).await?;
    plane.apply(&manifests(token).to_string()).await?;
    plane.service_account_kubeconfig(NAME, NAME).await
}

/// Rights as Crossplane gives a provider, less what this one does not use. The token comes from a Secret of the
/// configuration: one that is in a Request is in the log of each call too.
fn manifests(token: &str) -> Value {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
    let read = ["get", "list", "watch"];
    let rules = [
        rule(&["http.m.crossplane.io", "http.crossplane.io"], &["*"], &["*"]),
        rule(&["apiextensions.k8s.io"], &["customresourcedefinitions"], &read),
        rule(&[""], &["secrets"], &read),
        rule(&["", "events.k8s.io"], &["events"], &["create", "patch", "update"]),
    ];
    let secret = json!({"namespace": NAME, "name": "orion", "key": "authorization"});
    let items = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAME}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": rules}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}],
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orion", "namespace": NAME},
            "stringData": {"authorization": format!("Bearer {token}")},
        }),
        json!({
            "apiVersion": "http.m.crossplane.io/v1alpha2", "kind": "ClusterProviderConfig", "metadata": {"name": "default"},
            "spec": {"credentials": {"source": "Secret", "secretRef": secret}},
        }),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let own = "p: go1.26.8\n\tpath\tgithub.com/crossplane-contrib/provider-http/cmd/provider\n\
                   \tmod\tgithub.com/crossplane-contrib/provider-http\tv1.0.13\th1:abc=\n\tdep\tdario.cat/mergo\tv1.0.1\th1:x=\n";
        let required = "p: go1.26.8\n\tpath\tgithub.com/crossplane-contrib/provider-http/cmd/provider\n\tmod\twrap/provider-http\t(devel)\n\
                        \tdep\tgithub.com/crossplane-contrib/provider-http\tv1.0.14\th1:abc=\n";
        for (about, expected) in
            [(own, Some("v1.0.13")), (required, Some("v1.0.14")), ("", None), ("p: not a Go program\n", None)]
        {
            assert_eq!(version_of(about).as_deref(), expected);
        }
    }

    #[test]
    fn missing_definitions_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let look = || look(Path::new("no-program"), Some(directory.path()));
        let told = super::look(Path::new("no-program"), None).unwrap_err().to_string();
        assert!(told.contains("PEER_CRDS="), "{told}");
        std::fs::write(directory.path().join("other.yaml"), "metadata: {name: other.example.com}").unwrap();
        let told = look().unwrap_err().to_string();
        assert!(told.contains("PEER_CRDS="), "{told}");
        std::fs::write(directory.path().join("requests.yaml"), format!("metadata: {{name: {REQUESTS}}}")).unwrap();
        assert_eq!(look().unwrap(), ("of unknown version".to_owned(), directory.path().to_owned()));
    }
}
