//! Who else writes an object: a change by hand of what is declared elsewhere does not last.

use super::object::Object;

/// What will put back a change by hand, and how to make it last; `None` where nothing is known to.
pub(in crate::cli) fn put_back_by(object: &Object) -> Option<String> {
    let managed_by = |names: &[&str]| {
        let managers = object.meta.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
        managers.into_iter().any(|manager| names.contains(&manager))
    };
    let flux = |kind: &str, group: &str| {
        let name = object.label(&format!("{group}.toolkit.fluxcd.io/name"))?;
        let namespace = object.label(&format!("{group}.toolkit.fluxcd.io/namespace")).unwrap_or("flux-system");
        Some(format!(
            "Flux applies it ({kind} {namespace}/{name}) and may put this back at its next run. Change it in Git to make it last, or \
             stop Flux first: flux suspend {kind} {name} -n {namespace}"
        ))
    };
    flux("kustomization", "kustomize")
        .or_else(|| flux("helmrelease", "helm"))
        .or_else(|| managed_by(&["kustomize-controller", "helm-controller"]).then(|| {
            "Flux applies it and may put this back at its next run. Change it in Git to make it last".to_owned()
        }))
        .or_else(|| {
            let tracked = object.annotation("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
            let name = tracked.or_else(|| object.label("argocd.argoproj.io/instance"));
            let is_managed = managed_by(&["argocd-controller", "argocd-application-controller"]);
            let of = match name {
                Some(name) => format!(" (Application {})", crate::cli::printable(name)),
                None if is_managed => String::new(),
                None => return None,
            };
            Some(format!(
                "Argo CD applies it{of} and, with selfHeal, puts this back at once, else at its next sync. Change it in Git to make it last"
            ))
        })
        .or_else(|| {
            let release = object.annotation("meta.helm.sh/release-name")?;
            Some(format!(
                "Helm applies it (release {}): the next upgrade may put this back. Change the chart's values to make it last",
                crate::cli::printable(release)
            ))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Kind;
    use super::*;

    fn object(metadata: Value) -> Object {
        let object = json!({"apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook", "metadata": metadata});
        Object::new(Kind::Webhook, serde_json::from_value(object).unwrap())
    }

    #[test]
    fn who_puts_a_change_back_is_told() {
        let manager = |name: &str| json!({"managedFields": [{"manager": name, "operation": "Apply"}]});
        for (metadata, words) in [
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "gitops"}}),
                "flux suspend kustomization apps -n gitops",
            ),
            (
                json!({"labels": {"helm.toolkit.fluxcd.io/name": "apps"}}),
                "flux suspend helmrelease apps -n flux-system",
            ),
            (manager("kustomize-controller"), "Flux"),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:orion-operator.dev/Webhook:a/b"}}),
                "Application shop",
            ),
            (json!({"labels": {"argocd.argoproj.io/instance": "shop"}}), "Application shop"),
            (manager("argocd-controller"), "Argo CD applies it and"),
            (json!({"annotations": {"meta.helm.sh/release-name": "web"}}), "release web"),
        ] {
            let told = put_back_by(&object(metadata.clone())).unwrap();
            assert!(told.contains(words), "{metadata}: {told}");
        }
        assert_eq!(put_back_by(&object(manager("kubectl-client-side-apply"))), None);
        assert_eq!(put_back_by(&object(json!({"labels": {"app.kubernetes.io/instance": "x"}}))), None);
    }
}
