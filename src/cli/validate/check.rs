//! From the text of a file to what is wrong in it. Pure.

use serde::Serialize;

use super::located::{Located, Place, documents};
use crate::api::{GROUP, Schema, VERSION, crds};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The file, `-` for the standard input.
    pub(super) file: String,
    /// The line, from 1; 0 where there is none.
    pub(super) line: u64,
    /// The column, from 1; 0 where there is none.
    pub(super) column: u64,
    /// The object, like `Webhook team-a/jobs`; empty where it cannot be told.
    pub(super) object: String,
    /// The field, like `spec.headers[0].name`; empty for the whole document.
    pub(super) field: String,
    /// What is wrong, for people.
    pub(super) message: String,
}

/// What became of the files.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// Objects of our kinds.
    pub(super) checked: usize,
    /// Objects of other kinds.
    pub(super) skipped: usize,
    /// What is wrong.
    pub(super) errors: Vec<Finding>,
}

/// The rules of every kind.
pub(super) struct Checker {
    schemas: Vec<Schema>,
}

impl Checker {
    /// The rules of the definitions that this program has.
    pub(super) fn new() -> Self {
        Self { schemas: crds().iter().filter_map(Schema::new).collect() }
    }

    /// Checks every object of a file.
    pub(super) fn file(&self, file: &str, text: &str, report: &mut Report) {
        for document in documents(text) {
            match document {
                Ok(document) => self.object(file, &document, report),
                Err(broken) => report.errors.push(finding(file, broken.place, "", "", broken.why)),
            }
        }
    }

    fn object(&self, file: &str, object: &Located, report: &mut Report) {
        let field = |name: &str| object.field(name).and_then(Located::text).filter(|text| !text.is_empty());
        let (Some(api_version), Some(kind)) = (field("apiVersion"), field("kind")) else {
            let missing = if field("kind").is_none() { "kind" } else { "apiVersion" };
            let message = "is required: is this a Kubernetes object?";
            report.errors.push(finding(file, object.place(), "", missing, message));
            return;
        };
        if let Some(items) = object.field("items").and_then(Located::entries).filter(|_| kind.ends_with("List")) {
            return items.iter().for_each(|item| self.object(file, item, report));
        }
        let Some((_, version)) = api_version.split_once('/').filter(|(group, _)| *group == GROUP) else {
            report.skipped += 1;
            return;
        };
        report.checked += 1;
        let name = named(kind, object);
        let mut tell = |field: &str, place: Place, message: String| {
            report.errors.push(finding(file, place, &name, field, message));
        };
        for (field, place) in object.repeated() {
            tell(&field, place, "is there twice".into());
        }
        match self.schemas.iter().find(|schema| schema.kind() == kind) {
            _ if version != VERSION => {
                tell("apiVersion", object.find("apiVersion"), format!("must be {GROUP}/{VERSION}"));
            }
            None => {
                let kinds: Vec<&str> = self.schemas.iter().map(Schema::kind).collect();
                tell("kind", object.find("kind"), format!("must be one of {}", kinds.join(", ")));
            }
            Some(schema) => {
                for violation in schema.validate(&object.value()) {
                    let place = object.find(&violation.field);
                    tell(violation.field.trim_start_matches('.'), place, violation.message);
                }
            }
        }
    }
}

fn finding(file: &str, place: Place, object: &str, field: &str, message: impl Into<String>) -> Finding {
    Finding {
        file: file.to_owned(),
        line: place.line,
        column: place.column,
        object: object.to_owned(),
        field: field.to_owned(),
        message: message.into(),
    }
}

/// `Webhook team-a/jobs`, as far as it says.
fn named(kind: &str, object: &Located) -> String {
    let of = |name: &str| object.field("metadata")?.field(name)?.text().map(str::to_owned);
    let name = of("name").or_else(|| of("generateName")).unwrap_or_default();
    let whole = of("namespace").map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
    format!("{kind} {whole}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Report {
        let mut report = Report::default();
        Checker::new().file("f.yaml", text, &mut report);
        report
    }

    fn told(text: &str) -> Vec<String> {
        let line = |it: &Finding| format!("{} {}: {}: {}", it.line, it.object, it.field, it.message);
        report(text).errors.iter().map(line).collect()
    }

    const GOOD: &str = "\
apiVersion: orion-operator.dev/v1alpha1
kind: Webhook
metadata: {name: jobs, namespace: team-a}
spec:
  url: https://hooks.example.com/orion
  userId: user-42
  presenceName: jobs
";

    #[test]
    fn good_ones_are_counted_and_others_skipped() {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
        let found = report(&format!("{GOOD}---\n{secret}---\n{GOOD}"));
        assert_eq!((found.checked, found.skipped, found.errors), (2, 1, vec![]));
        let list = format!(
            "apiVersion: v1\nkind: List\nitems:\n- {}- {}",
            GOOD.replace('\n', "\n  ").trim_end_matches(' '),
            secret.replace('\n', "\n  ").trim_end_matches(' ')
        );
        let found = report(&list);
        assert_eq!((found.checked, found.skipped, found.errors), (1, 1, vec![]), "{list}");
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_field() {
        let bad = GOOD.replace("https:", "ftp:").replace("presenceName", "presencename");
        let spec = "must be an absolute http or https URL with a host, like https://hooks.example.com/orion";
        assert_eq!(
            told(&format!("# first\n---\n{bad}")),
            [
                "6 Webhook team-a/jobs: spec.presenceName: is required",
                "9 Webhook team-a/jobs: spec.presencename: unknown field",
            ]
        );
        assert_eq!(
            told(&GOOD.replace("https:", "ftp:")),
            [format!("5 Webhook team-a/jobs: spec.url: {spec}")],
            "rules run where the structure holds, as in the apiserver"
        );
        assert_eq!(told(&format!("{GOOD}  userId: other\n")), ["8 Webhook team-a/jobs: spec.userId: is there twice"]);
    }

    #[test]
    fn what_is_no_object_of_ours_is_told() {
        assert_eq!(told("a: 1\n"), ["1 : kind: is required: is this a Kubernetes object?"]);
        assert_eq!(
            told(&GOOD.replace("v1alpha1", "v1")),
            ["1 Webhook team-a/jobs: apiVersion: must be orion-operator.dev/v1alpha1"]
        );
        assert_eq!(
            told(&GOOD.replace("kind: Webhook", "kind: WebHook")),
            ["2 WebHook team-a/jobs: kind: must be one of Webhook, OrionConnection, ClusterOrionConnection"]
        );
        let broken = report(&format!("{GOOD}---\na: [\n---\n"));
        assert_eq!((broken.checked, broken.errors.len()), (1, 1), "{broken:?}");
    }
}
