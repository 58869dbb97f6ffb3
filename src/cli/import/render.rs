//! From manifests to files. Pure.

use serde::Serialize;
use serde_saphyr::{SerializerOptions, ser_options};

use super::manifest::{Imported, LeftOut};

/// A file to be written.
pub(super) struct File {
    /// Its name.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
    /// It holds values of Secrets.
    pub(super) is_secret: bool,
}

/// Why manifests could not be written.
pub(super) type RenderError = serde_saphyr::ser_error::Error;

/// Strings that YAML 1.1, which kubectl reads, takes for something else are quoted.
fn as_kubectl_reads() -> SerializerOptions {
    ser_options! { prefer_block_scalars: false }
}

fn yaml(object: &impl Serialize) -> Result<String, RenderError> {
    let text = serde_saphyr::to_string_with_options(object, as_kubectl_reads())?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// A comment of one line, whatever Orion's text holds.
fn comment(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("# {plain}\n")
}

fn head(host: &str) -> String {
    comment(&format!(
        "Made by orion-operator import from {host}: the operator, with --allow-adoption, takes these over."
    ))
}

fn tail(left_out: &[LeftOut]) -> String {
    let lines = left_out.iter().map(|left| comment(&format!("Left out: {}: {}", left.id, left.why)));
    lines.collect()
}

fn notes(imported: &Imported) -> String {
    imported.notes.iter().map(|note| comment(note)).collect()
}

/// All in one text, Secrets before what needs them.
pub(super) fn one(host: &str, imported: &[Imported], left_out: &[LeftOut]) -> Result<String, RenderError> {
    let mut text = head(host) + &tail(left_out);
    for each in imported {
        if let Some(secret) = &each.secret {
            text += &format!("---\n{}", yaml(secret)?);
        }
        text += &format!("---\n{}{}", notes(each), yaml(&each.webhook)?);
    }
    Ok(text)
}

/// A folder for kustomize.
pub(super) fn kustomize(host: &str, imported: &[Imported], left_out: &[LeftOut]) -> Result<Vec<File>, RenderError> {
    let mut files = Vec::new();
    for each in imported {
        if let Some(secret) = &each.secret {
            files.push(File { name: format!("secret-{}.yaml", each.name), text: yaml(secret)?, is_secret: true });
        }
        let text = notes(each) + &yaml(&each.webhook)?;
        files.push(File { name: format!("webhook-{}.yaml", each.name), text, is_secret: false });
    }
    let mut index = head(host) + &tail(left_out);
    index += "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let names: Vec<String> = files.iter().map(|file| format!("- {}\n", file.name)).collect();
    index += &if names.is_empty() { "resources: []\n".to_owned() } else { format!("resources:\n{}", names.concat()) };
    files.push(File { name: "kustomization.yaml".into(), text: index, is_secret: false });
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_yaml_could_take_for_something_else_is_quoted() {
        for text in [
            "yes",
            "y",
            "off",
            "null",
            "~",
            "12",
            "0777",
            "0o17",
            "0x1f",
            "1_000",
            "1e3",
            "1:30",
            ".inf",
            "2026-01-01",
            "=",
            "<<",
            "- a",
            "a: b",
            "a #b",
            " a",
            "a ",
            "",
            "'",
            "\"",
            "\t",
            "\\",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "|",
            ">",
            "ä",
            "# a",
            "a\tb",
        ] {
            let written = yaml(&BTreeMap::from([("a", text)])).unwrap();
            let read: serde_json::Value = serde_yaml::from_str(&written).unwrap();
            assert_eq!(read["a"], text, "{written}");
        }
        for (text, written) in
            [("yes", "a: \"yes\"\n"), ("0777", "a: \"0777\"\n"), ("1_000", "a: \"1_000\"\n"), ("data", "a: data\n")]
        {
            assert_eq!(yaml(&BTreeMap::from([("a", text)])).unwrap(), written);
        }
        let long = "long ".repeat(100);
        assert_eq!(yaml(&BTreeMap::from([("a", long.trim())])).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_comment_is_one_line() {
        assert_eq!(comment("a\nkind: Secret\r"), "# a\u{fffd}kind: Secret\u{fffd}\n");
    }
}
