//! Who may use a connection of the cluster: nobody, unless a rule says so.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::connection::NamespaceRule;

/// Who may use a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Every namespace that can name it: a connection of its own namespace, or the default one without a list.
    All,
    /// These namespaces (`--default-connection-namespaces`).
    Named(BTreeSet<String>),
    /// Those that `allowedNamespaces` lets in.
    Rules(Vec<NamespaceRule>),
}

/// What [`Access`] says of one Webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Granted,
    /// No rule is for its namespace.
    NotThisNamespace,
    /// Rules are for its namespace, and none for its userId.
    NotThisUser,
    /// It depends on labels of its namespace, which are not known (yet).
    Unknown,
}

impl Access {
    /// May a Webhook of `namespace`, which has `labels` where they are known, with `user_id` use it?
    #[must_use]
    pub fn permit(&self, namespace: &str, labels: Option<&BTreeMap<String, String>>, user_id: &str) -> Permit {
        let rules = match self {
            Self::All => return Permit::Granted,
            Self::Named(names) if names.contains(namespace) => return Permit::Granted,
            Self::Named(_) => return Permit::NotThisNamespace,
            Self::Rules(rules) => rules,
        };
        let mut permit = Permit::NotThisNamespace;
        for rule in rules {
            match is_for(rule, namespace, labels) {
                Some(false) => {}
                Some(true) if rule.user_ids.is_empty() || rule.user_ids.iter().any(|id| id == user_id) => {
                    return Permit::Granted;
                }
                Some(true) if permit == Permit::NotThisNamespace => permit = Permit::NotThisUser,
                Some(true) => {}
                None => permit = Permit::Unknown,
            }
        }
        permit
    }

    /// Labels of namespaces have a say in it.
    #[must_use]
    pub fn depends_on_labels(&self) -> bool {
        match self {
            Self::All | Self::Named(_) => false,
            Self::Rules(rules) => rules.iter().any(|rule| rule.selector.is_some()),
        }
    }
}

/// The rule is for this namespace; `None` if that cannot be told. A rule that the schema would have refused is for nobody.
fn is_for(rule: &NamespaceRule, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> Option<bool> {
    match (&rule.name, &rule.selector) {
        (Some(name), None) => Some(name == namespace),
        // Compared with nothing, `NotIn` would let everybody in.
        (None, Some(selector)) if compares_with_nothing(selector) => Some(false),
        (None, Some(selector)) => match Selector::try_from(selector.clone()) {
            Ok(selector) => labels.map(|labels| selector.matches(labels)),
            Err(_) => Some(false),
        },
        (Some(_), Some(_)) | (None, None) => Some(false),
    }
}

fn compares_with_nothing(selector: &LabelSelector) -> bool {
    selector.match_expressions.iter().flatten().any(|requirement| {
        matches!(requirement.operator.as_str(), "In" | "NotIn")
            && requirement.values.as_ref().is_none_or(|values| values.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(rules: Value) -> Access {
        Access::Rules(serde_json::from_value(rules).unwrap())
    }

    #[test]
    fn nobody_may_unless_a_rule_says_so() {
        let labels: BTreeMap<String, String> = BTreeMap::from([("orion".into(), "allowed".into())]);
        let (with, without) = (Some(&labels), Some(&BTreeMap::new()));
        use Permit as P;
        for (list, namespace, labels, user, expected) in [
            (json!([]), "a", with, "u", P::NotThisNamespace),
            (json!([{"name": "a"}]), "a", None, "u", P::Granted),
            (json!([{"name": "a"}]), "ab", with, "u", P::NotThisNamespace),
            (json!([{"name": "a", "userIds": ["u", "v"]}]), "a", None, "v", P::Granted),
            (json!([{"name": "a", "userIds": ["u"]}]), "a", None, "U", P::NotThisUser),
            (json!([{"name": "a", "userIds": ["u"]}, {"name": "a"}]), "a", None, "w", P::Granted),
            (json!([{"name": "a", "userIds": ["u"]}, {"name": "a", "userIds": ["w"]}]), "a", None, "w", P::Granted),
            (json!([{"name": "a", "userIds": ["u"]}, {"name": "b"}]), "a", None, "w", P::NotThisUser),
            (json!([{"selector": {"matchLabels": {"orion": "allowed"}}}]), "a", with, "u", P::Granted),
            (json!([{"selector": {"matchLabels": {"orion": "allowed"}}}]), "a", without, "u", P::NotThisNamespace),
            (json!([{"selector": {"matchLabels": {"orion": "allowed"}}}]), "a", None, "u", P::Unknown),
            (json!([{"selector": {}}, {"name": "b"}]), "a", without, "u", P::Granted),
            (
                json!([{"selector": {"matchExpressions": [{"key": "orion", "operator": "In", "values": ["allowed"]}]}}]),
                "a",
                with,
                "u",
                P::Granted,
            ),
            (
                json!([{"selector": {"matchExpressions": [{"key": "orion", "operator": "DoesNotExist"}]}}]),
                "a",
                with,
                "u",
                P::NotThisNamespace,
            ),
            // What only an older schema can have let in.
            (
                json!([{"selector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}]),
                "a",
                with,
                "u",
                P::NotThisNamespace,
            ),
            (
                json!([{"selector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": []}]}}]),
                "a",
                with,
                "u",
                P::NotThisNamespace,
            ),
            (json!([{"name": "a", "selector": {}}]), "a", with, "u", P::NotThisNamespace),
            (json!([{}]), "a", with, "u", P::NotThisNamespace),
        ] {
            assert_eq!(rules(list.clone()).permit(namespace, labels, user), expected, "{list} {namespace} {user}");
        }
    }

    #[test]
    fn a_list_of_names_and_everybody() {
        let named = Access::Named(BTreeSet::from(["a".to_owned()]));
        assert_eq!(named.permit("a", None, "u"), Permit::Granted);
        assert_eq!(named.permit("b", None, "u"), Permit::NotThisNamespace);
        assert_eq!(Access::All.permit("b", None, "u"), Permit::Granted);
    }
}
