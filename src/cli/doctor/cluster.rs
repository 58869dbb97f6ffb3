//! The cluster: from what the apiserver says to lines. Pure.

use std::collections::HashSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use serde_json::Value;

use super::line::{Check, Line};
use crate::api::rbac::{Place, Right};
use crate::api::{InstanceId, VERSION};

/// What was read of a definition.
#[derive(Clone, Debug)]
pub(super) enum Found<T> {
    There(T),
    Missing,
    /// Whoever runs this may not read it.
    Forbidden,
    /// The same, and the apiserver serves it.
    Served,
    /// The apiserver's trouble.
    Failed(String),
}

/// How they are installed.
pub(super) const APPLY: &str = "orion-operator crds | kubectl apply --server-side -f -";

/// Whether the definitions are those of this build. One line, for the first trouble.
pub(super) fn crds(all: &[(CustomResourceDefinition, Found<CustomResourceDefinition>)]) -> Line {
    let check = Check::Crds;
    let names = |of: fn(&Found<CustomResourceDefinition>) -> bool| -> Vec<String> {
        all.iter().filter(|(_, found)| of(found)).map(|(ours, _)| ours.name_any()).collect()
    };
    let missing = names(|found| matches!(found, Found::Missing));
    if !missing.is_empty() {
        return Line::fail(
            check,
            format!("not installed: {}", missing.join(", ")),
            format!("Install them: {APPLY}; or install the chart with crds.enabled"),
        );
    }
    let forbidden = names(|found| matches!(found, Found::Forbidden));
    if !forbidden.is_empty() {
        return Line::warn(
            check,
            format!("you may not read the definitions {}", forbidden.join(", ")),
            "Ask with a kubeconfig of somebody who may. The operator itself need not read them",
        );
    }
    let served = names(|found| matches!(found, Found::Served));
    if !served.is_empty() {
        return Line::warn(
            check,
            format!("{VERSION} is served, but you may not read the definitions {} to compare them", served.join(", ")),
            "Ask with a kubeconfig of somebody who may. The operator itself need not read them",
        );
    }
    for (ours, found) in all {
        let name = ours.name_any();
        match found {
            Found::There(theirs) => {
                if let Some(line) = compared(&name, ours, theirs) {
                    return line;
                }
            }
            Found::Failed(why) => return Line::fail(check, format!("{name}: {why}"), "Run this again"),
            Found::Missing | Found::Forbidden | Found::Served => {}
        }
    }
    Line::ok(check, format!("{} definitions, with {VERSION} as this build brings it", all.len()))
}

fn compared(name: &str, ours: &CustomResourceDefinition, theirs: &CustomResourceDefinition) -> Option<Line> {
    let check = Check::Crds;
    let conditions = theirs.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let version =
        |of: &CustomResourceDefinition| of.spec.versions.iter().find(|version| version.name == VERSION).cloned();
    let Some(served) = version(theirs).filter(|version| version.served) else {
        return Some(Line::fail(check, format!("{name} does not serve {VERSION}"), format!("Upgrade it: {APPLY}")));
    };
    if let Some(trouble) =
        conditions.iter().find(|it| matches!(it.type_.as_str(), "Established" | "NamesAccepted") && it.status != "True")
    {
        return Some(Line::fail(
            check,
            format!("{name} is not served: {} is {}", trouble.type_, trouble.status),
            format!("See its conditions: kubectl describe crd {name}"),
        ));
    }
    let json = |version| serde_json::to_value(version).unwrap_or_default();
    let at = difference(&version(ours).map(json).unwrap_or_default(), &json(served), "")?;
    Some(Line::warn(
        check,
        format!("{name} is of another version than this build, and differs at {at}"),
        format!("Install definitions and operator of one version: {APPLY}"),
    ))
}

/// Where two definitions differ first. What the apiserver adds by itself is no difference; a field of an object is.
fn difference(ours: &Value, theirs: &Value, at: &str) -> Option<String> {
    let inside = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let is_of_fields = at == "properties" || at.ends_with(".properties");
            let added = theirs.keys().filter(|_| is_of_fields).find(|name| !ours.contains_key(*name));
            added.map(|name| inside(name)).or_else(|| {
                ours.iter().find_map(|(name, value)| {
                    difference(value, theirs.get(name).unwrap_or(&Value::Null), &inside(name))
                })
            })
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let pairs = ours.iter().zip(theirs).enumerate();
            pairs.into_iter().find_map(|(index, (ours, theirs))| difference(ours, theirs, &format!("{at}[{index}]")))
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            theirs,
        ) => (ours != theirs).then(|| at.to_owned()),
    }
}

/// Which installation this is.
pub(super) fn instance(namespace: &str, found: &Result<InstanceId, String>) -> Line {
    match found {
        Ok(instance) => Line::ok(
            Check::Instance,
            format!(
                "{} is the instance id, {} in markers, of an operator in the namespace {namespace}{}",
                instance.as_str(),
                instance.prefix(),
                if namespace == "default" { ": if it is in another one, give --operator-namespace" } else { "" }
            ),
        ),
        Err(why) => Line::warn(
            Check::Instance,
            why.clone(),
            "If the operator is in another namespace, give it by --operator-namespace",
        ),
    }
}

/// One question to the apiserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: Option<&'static str>,
    pub(super) verb: &'static str,
    /// `None` for all of them, and for what is in none.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) place: Place,
}

/// What to ask, in the form of the installation: all namespaces, or those that are watched.
pub(super) fn questions(rights: &[Right], watched: Option<&[String]>, own: &str) -> Vec<Question> {
    let all = rights.iter().flat_map(|right| {
        let places: Vec<Option<String>> = match (right.place, watched) {
            (Place::Watched | Place::ClusterWide, None) => vec![None],
            (Place::Watched | Place::EachWatched, Some(watched)) => watched.iter().cloned().map(Some).collect(),
            (Place::Own, Some(_)) | (Place::Leading, _) => vec![Some(own.to_owned())],
            (Place::ClusterWide, Some(_)) | (Place::EachWatched | Place::Own, None) => Vec::new(),
        };
        places.into_iter().map(move |place| (right, place))
    });
    let all = all.flat_map(|(right, namespace)| {
        right.resources.iter().flat_map(move |resource| {
            let namespace = namespace.clone();
            let (resource, subresource) = match resource.split_once('/') {
                Some((resource, subresource)) => (resource, Some(subresource)),
                None => (*resource, None),
            };
            right.verbs.iter().map(move |verb| Question {
                group: right.group,
                resource,
                subresource,
                verb,
                // The right to a namespace is asked for within it.
                name: namespace.clone().filter(|_| resource == "namespaces"),
                namespace: namespace.clone(),
                place: right.place,
            })
        })
    });
    // The operator's own namespace may be a watched one.
    let mut known = HashSet::new();
    all.filter(|it| known.insert((it.group, it.resource, it.subresource, it.verb, it.namespace.clone()))).collect()
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    May,
    MayNot,
    /// The question itself is not allowed, or failed.
    Unknown(String),
}

/// What the answers come to. `who`: the user whose rights they are; `is_other`: it is not the one who runs this.
pub(super) fn rbac(who: &str, is_other: bool, answers: &[(Question, Answer)]) -> Vec<Line> {
    let check = Check::Rbac;
    let unknown: Vec<&String> = answers
        .iter()
        .filter_map(|(_, answer)| match answer {
            Answer::Unknown(why) => Some(why),
            Answer::May | Answer::MayNot => None,
        })
        .collect();
    let missing = |is_leading: bool| {
        let mut missing: Vec<(String, Vec<&str>)> = Vec::new();
        let lacking = answers.iter().filter(|(_, answer)| *answer == Answer::MayNot);
        for (question, _) in lacking.filter(|(question, _)| (question.place == Place::Leading) == is_leading) {
            let on = question.on();
            match missing.iter_mut().find(|(known, _)| *known == on) {
                Some((_, verbs)) => verbs.push(question.verb),
                None => missing.push((on, vec![question.verb])),
            }
        }
        missing.into_iter().map(|(on, verbs)| format!("{who} may not {} {on}", verbs.join(", ")))
    };
    let todo = if is_other {
        "Give the operator its role again: examples/install/rbac.yaml, or the chart. If it runs with --watch-namespaces, give that here too"
    } else {
        "If the operator runs as somebody else, ask for it: --service-account NAMESPACE/NAME. Else apply its role: examples/install/rbac.yaml, or the chart"
    };
    let mut lines: Vec<Line> = missing(false).map(|found| Line::fail(check, found, todo)).collect();
    let elected = "That is for --leader-elect only: without it nothing is missing";
    lines.extend(missing(true).map(|found| Line::warn(check, found, elected)));
    if let Some(why) = unknown.first() {
        let todo = if is_other {
            "Ask with a kubeconfig that may create subjectaccessreviews, as an admin's"
        } else {
            "Run this again"
        };
        let found = if unknown.len() == answers.len() {
            format!("the rights of {who} cannot be asked: {why}")
        } else {
            format!("{} of {} rights of {who} cannot be asked: {why}", unknown.len(), answers.len())
        };
        lines.push(Line::warn(check, found, todo));
    }
    if lines.is_empty() {
        lines.push(Line::ok(check, format!("{who} has all {} rights that the operator needs", answers.len())));
    }
    lines
}

impl Question {
    /// What the right is on.
    fn on(&self) -> String {
        let Self { group, resource, subresource, namespace, .. } = self;
        let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        let place = namespace.as_ref().map_or_else(|| " in the cluster".to_owned(), |name| format!(" in {name}"));
        format!("{resource}{group}{subresource}{place}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::line::Status;
    use super::*;
    use crate::api::rbac::RIGHTS;

    fn ours() -> Vec<CustomResourceDefinition> {
        crate::api::crds()
    }

    fn all(change: impl Fn(&mut Value)) -> Vec<(CustomResourceDefinition, Found<CustomResourceDefinition>)> {
        let changed = |ours: &CustomResourceDefinition| {
            let mut theirs = serde_json::to_value(ours).unwrap();
            change(&mut theirs);
            Found::There(serde_json::from_value(theirs).unwrap())
        };
        ours().into_iter().map(|ours| (ours.clone(), changed(&ours))).collect()
    }

    #[test]
    fn definitions_are_compared() {
        use Status::{Fail, Ok as Good, Warn};
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
        let conditions = |type_: &str| {
            json!({"conditions": [{"type": type_, "status": "False", "reason": "x", "message": "x",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}], "acceptedNames": {"kind": "", "plural": ""}, "storedVersions": []})
        };
        type Change<'a> = Box<dyn Fn(&mut Value) + 'a>;
        let cases: Vec<(Change<'_>, Status, &str)> = vec![
            (Box::new(|_| {}), Good, "3 definitions, with v1alpha1"),
            (Box::new(|it| it["spec"]["conversion"] = json!({"strategy": "None"})), Good, "3 definitions"),
            (Box::new(|it| it["spec"]["versions"][0]["name"] = json!("v1")), Fail, "does not serve v1alpha1"),
            (Box::new(|it| it["spec"]["versions"][0]["served"] = json!(false)), Fail, "does not serve v1alpha1"),
            (Box::new(|it| it["status"] = conditions("NamesAccepted")), Fail, "NamesAccepted is False"),
            (
                Box::new(|it| it.pointer_mut(spec).unwrap()["properties"]["more"] = json!({"type": "string"})),
                Warn,
                "differs at schema.openAPIV3Schema.properties.spec.properties.more",
            ),
            (
                Box::new(|it| drop(it.pointer_mut(spec).unwrap()["properties"].as_object_mut().unwrap().remove("url"))),
                Warn,
                "spec.properties.url",
            ),
            (
                Box::new(|it| {
                    it["spec"]["versions"][0]["additionalPrinterColumns"].as_array_mut().unwrap().truncate(1);
                }),
                Warn,
                "additionalPrinterColumns",
            ),
        ];
        for (change, status, words) in cases {
            let line = crds(&all(change));
            assert!(line.status == status && line.found.contains(words), "{words}: {line:?}");
        }
        let with = |found: Found<CustomResourceDefinition>| {
            let mut all = all(|_| {});
            all[1].1 = found;
            crds(&all)
        };
        for (found, status, words) in [
            (Found::Missing, Fail, "not installed: orionconnections.orion-operator.dev"),
            (Found::Forbidden, Warn, "you may not read"),
            (Found::Served, Warn, "v1alpha1 is served, but you may not read"),
            (Found::Failed("no answer".into()), Fail, "no answer"),
        ] {
            let line = with(found);
            assert!(line.status == status && line.found.contains(words), "{words}: {line:?}");
        }
    }

    #[test]
    fn what_is_asked_is_what_the_roles_give() {
        let watched = ["a".to_owned(), "b".to_owned()];
        let on = |watched: Option<&[String]>| -> Vec<(String, &str)> {
            questions(RIGHTS, watched, "own").iter().map(|question| (question.on(), question.verb)).collect()
        };
        let (everywhere, some) = (on(None), on(Some(&watched)));
        let has = |all: &[(String, &str)], on: &str, verb| all.contains(&(on.to_owned(), verb));
        assert!(has(&everywhere, "webhooks.orion-operator.dev in the cluster", "patch"));
        assert!(has(&everywhere, "webhooks.orion-operator.dev/status in the cluster", "patch"));
        assert!(has(&everywhere, "namespaces in the cluster", "list"));
        assert!(has(&everywhere, "leases.coordination.k8s.io in own", "create"));
        for place in ["a", "b"] {
            assert!(has(&some, &format!("secrets in {place}"), "watch"));
            assert!(has(&some, &format!("namespaces in {place}"), "get"));
        }
        assert!(has(&some, "namespaces in own", "get"));
        assert!(some.iter().all(|(on, _)| !on.contains("cluster")), "{some:?}");
        let mut own_too: Vec<_> =
            questions(RIGHTS, Some(&watched), "a").iter().map(|question| (question.on(), question.verb)).collect();
        let count = own_too.len();
        own_too.sort_unstable();
        own_too.dedup();
        assert_eq!(own_too.len(), count);
        let asked = questions(RIGHTS, Some(&watched), "own");
        assert!(asked.iter().all(|it| it.name == it.namespace.clone().filter(|_| it.resource == "namespaces")));
    }

    #[test]
    fn rights_that_are_missing_are_named() {
        let asked = questions(RIGHTS, None, "own");
        let answered = |answer: fn(&Question) -> Answer| -> Vec<(Question, Answer)> {
            asked.iter().map(|question| (question.clone(), answer(question))).collect()
        };
        let good = rbac("ada", false, &answered(|_| Answer::May));
        assert!(good.len() == 1 && good[0].status == Status::Ok, "{good:?}");
        let no_secrets =
            rbac("ada", true, &answered(|it| if it.resource == "secrets" { Answer::MayNot } else { Answer::May }));
        assert_eq!(no_secrets.len(), 1);
        assert_eq!(no_secrets[0].status, Status::Fail);
        assert_eq!(no_secrets[0].found, "ada may not get, list, watch secrets in the cluster");
        let no_leases =
            rbac("ada", false, &answered(|it| if it.resource == "leases" { Answer::MayNot } else { Answer::May }));
        assert!(no_leases.len() == 1 && no_leases[0].status == Status::Warn, "{no_leases:?}");
        let unknown = rbac("ada", true, &answered(|_| Answer::Unknown("Forbidden (403)".into())));
        assert!(unknown.len() == 1 && unknown[0].status == Status::Warn, "{unknown:?}");
        let some = rbac(
            "ada",
            true,
            &answered(|it| match it.resource {
                "secrets" => Answer::MayNot,
                "events" => Answer::Unknown("no answer".into()),
                _ => Answer::May,
            }),
        );
        let told: Vec<_> = some.iter().map(|line| (line.status, line.found.as_str())).collect();
        assert_eq!(told[0], (Status::Fail, "ada may not get, list, watch secrets in the cluster"));
        assert!(told.len() == 2 && told[1].0 == Status::Warn && told[1].1.contains("cannot be asked"), "{told:?}");
    }

    #[test]
    fn the_installation_is_told() {
        let instance_id = InstanceId::new("uid-1");
        let line = instance("orion-system", &Ok(instance_id.clone()));
        assert!(line.found.contains("uid-1") && line.found.contains(instance_id.prefix()), "{line:?}");
        assert_eq!(instance("x", &Err("no".into())).status, Status::Warn);
    }
}
