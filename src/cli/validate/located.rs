//! YAML and JSON whose every value knows its place in the text. Pure.

use std::collections::HashSet;
use std::fmt;
use std::io::Cursor;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Location, Options, Spanned, budget, options, read_with_options};

/// A place in a text, from 1; 0 where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Line.
    pub(super) line: u64,
    /// Column.
    pub(super) column: u64,
}

impl Place {
    fn of(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// A value with its place.
#[derive(Debug)]
pub(super) struct Located {
    place: Place,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Scalar(Value),
    List(Vec<Located>),
    Map(Vec<Field>),
}

#[derive(Debug)]
struct Field {
    name: String,
    place: Place,
    value: Located,
}

/// A document that cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Where.
    pub(super) place: Place,
    /// Why, without a piece of the text: it may be a Secret's.
    pub(super) why: String,
}

/// Every document of a text that is not empty.
pub(super) fn documents(text: &str) -> Vec<Result<Located, Unreadable>> {
    json(text).unwrap_or_else(|| yaml(text))
}

/// Nodes of one document at most: a List of 100,000 Webhooks fits. Other limits (depth, what aliases make of a small file) are
/// the library's.
const NODES_AT_MOST: usize = 10_000_000;

/// As kubectl reads YAML: `yes`, `off` and the like are booleans, `0777` is octal, and of two equal keys the last one
/// counts (they are told apart, see [`Located::repeated`]).
fn as_kubectl() -> Options {
    options! {
        budget: budget! { max_nodes: NODES_AT_MOST, max_events: 2 * NODES_AT_MOST },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

fn yaml(text: &str) -> Vec<Result<Located, Unreadable>> {
    let mut reader = Cursor::new(text.as_bytes());
    let read = read_with_options::<_, Located>(&mut reader, as_kubectl());
    read.map(|document| {
        document.map_err(|error| Unreadable {
            place: error.location().map(Place::of).unwrap_or_default(),
            why: format!("is no YAML that can be read: {}", first_line(&error.without_snippet().to_string())),
        })
    })
    .collect()
}

/// JSON objects one after the other, which is no YAML. `None` if it is anything else.
fn json(text: &str) -> Option<Vec<Result<Located, Unreadable>>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let mut ends = vec![0];
    while let Some(object) = stream.next() {
        object.ok()?;
        ends.push(stream.byte_offset());
    }
    if ends.len() < 3 {
        return None;
    }
    let pieces = ends.iter().zip(ends.iter().skip(1)).filter_map(|(begin, end)| {
        let above = text.get(..*begin)?.matches('\n').count();
        Some((u64::try_from(above).unwrap_or_default(), text.get(*begin..*end)?))
    });
    Some(
        pieces.flat_map(|(above, piece)| yaml(piece).into_iter().map(move |it| it.map(|it| it.moved(above)))).collect(),
    )
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Located {
    /// Its place.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The value alone. Of two equal keys the last one counts.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(fields) => fields.iter().map(|field| (field.name.clone(), field.value.value())).collect(),
        }
    }

    /// Its field of that name.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(fields) => fields.iter().rev().find(|field| field.name == name).map(|field| &field.value),
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(value) => value.as_str(),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// Its entries, if it is a list.
    pub(super) fn entries(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(entries) => Some(entries),
            Content::Scalar(_) | Content::Map(_) => None,
        }
    }

    /// The place of a field like `spec.headers[0].name`, or of the nearest one above it that there is.
    pub(super) fn find(&self, path: &str) -> Place {
        self.seek(path.trim_start_matches('.')).unwrap_or(self.place)
    }

    fn seek(&self, path: &str) -> Option<Place> {
        match &self.content {
            Content::Scalar(_) => None,
            Content::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some(item.find(rest))
            }
            // A name may have dots in it, as names of labels do: the longest one that fits is meant.
            Content::Map(fields) => {
                let rest_after = |field: &Field| {
                    let rest = path.strip_prefix(field.name.as_str())?;
                    (rest.is_empty() || rest.starts_with(['.', '['])).then(|| rest.to_owned())
                };
                let fitting = fields.iter().filter_map(|field| Some((field, rest_after(field)?)));
                let (field, rest) = fitting.max_by_key(|(field, _)| field.name.len())?;
                Some(field.value.seek(rest.trim_start_matches('.')).unwrap_or(field.place))
            }
        }
    }

    /// Paths and places of keys that their map has already.
    pub(super) fn repeated(&self) -> Vec<(String, Place)> {
        let mut found = Vec::new();
        self.collect_repeated("", &mut found);
        found
    }

    fn collect_repeated(&self, path: &str, found: &mut Vec<(String, Place)>) {
        match &self.content {
            Content::Scalar(_) => {}
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_repeated(&format!("{path}[{index}]"), found);
                }
            }
            Content::Map(fields) => {
                let mut seen = HashSet::new();
                for field in fields {
                    let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
                    if !seen.insert(&field.name) {
                        found.push((path.clone(), field.place));
                    }
                    field.value.collect_repeated(&path, found);
                }
            }
        }
    }

    /// The same, so many lines further down.
    fn moved(mut self, lines: u64) -> Self {
        self.place.line += lines;
        self.content = match self.content {
            Content::Scalar(value) => Content::Scalar(value),
            Content::List(items) => Content::List(items.into_iter().map(|item| item.moved(lines)).collect()),
            Content::Map(fields) => {
                let moved = |mut field: Field| {
                    field.place.line += lines;
                    Field { value: field.value.moved(lines), ..field }
                };
                Content::Map(fields.into_iter().map(moved).collect())
            }
        };
        self
    }
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { place: Place::of(spanned.referenced), content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    // As the apiserver: beyond 64 bits a number is a floating one.
    #[allow(clippy::cast_precision_loss, reason = "that is what it is")]
    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Content, E> {
        self.visit_f64(value as f64)
    }

    #[allow(clippy::cast_precision_loss, reason = "that is what it is")]
    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Content, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Content, A::Error> {
        let mut map = Vec::new();
        while let Some((name, value)) = fields.next_entry::<Spanned<String>, Located>()? {
            map.push(Field { name: name.value, place: Place::of(name.referenced), value });
        }
        Ok(Content::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Located {
        documents(text).into_iter().next().unwrap().unwrap()
    }

    #[test]
    fn every_field_knows_its_place() {
        let text = "\
# a comment
kind: Webhook
metadata:
  labels:
    example.com/team: data
spec:
  url: https://a.example
  headers:
    - name: A
      value: x
    - {name: B, value: y}
";
        let document = one(text);
        for (path, line, column) in [
            ("kind", 2, 1),
            ("metadata.labels.example.com/team", 5, 5),
            ("spec.url", 7, 3),
            ("spec.headers", 8, 3),
            ("spec.headers[0]", 9, 7),
            ("spec.headers[0].value", 10, 7),
            ("spec.headers[1].value", 11, 17),
            // What is not there is told at what is.
            ("spec.userId", 6, 1),
            ("spec.headers[7].name", 8, 3),
            ("", 2, 1),
        ] {
            assert_eq!(document.find(path), Place { line, column }, "{path}");
        }
    }

    #[test]
    fn scalars_are_read_as_kubectl_does() {
        for (text, value) in [
            ("yes", json!(true)),
            ("off", json!(false)),
            ("'yes'", json!("yes")),
            ("~", json!(null)),
            ("", json!(null)),
            ("0777", json!(511)),
            ("1e3", json!(1000.0)),
            ("1.5", json!(1.5)),
            ("2026-01-01", json!("2026-01-01")),
            ("10m", json!("10m")),
            ("!!str 5", json!("5")),
            ("-7", json!(-7)),
            ("123456789012345678901234567890", json!(123456789012345678901234567890.0)),
        ] {
            assert_eq!(one(&format!("a: {text}\n")).value(), json!({ "a": value }), "{text}");
        }
        let anchored = one("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n");
        assert_eq!(anchored.value(), json!({"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}));
    }

    #[test]
    fn documents_are_told_apart() {
        let lines = |text: &str| -> Vec<u64> {
            documents(text).iter().map(|it| it.as_ref().map_or_else(|it| it.place.line, |it| it.place.line)).collect()
        };
        assert_eq!(lines("---\na: 1\n---\n# nothing\n---\nb: 2\n"), [2, 6]);
        assert_eq!(lines("{\"a\": 1}\n{\"b\":\n2}\n\n{\"c\": 3}"), [1, 2, 5]);
        assert_eq!(lines("{\"a\": 1}"), [1]);
        assert_eq!(lines(""), [0; 0]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line_and_without_its_text() {
        let found = documents("a: 1\nb: [hush\nc: 2\n");
        let broken = found.last().unwrap().as_ref().unwrap_err();
        assert!(broken.place.line >= 2, "{broken:?}");
        assert!(!broken.why.contains("hush"), "{broken:?}");
    }

    #[test]
    fn long_lists_are_read_and_bombs_are_not() {
        let long = format!("items: [{}]\n", "{a: b}, ".repeat(100_000));
        assert_eq!(one(&long).field("items").unwrap().entries().unwrap().len(), 100_000);
        let bomb: String =
            (1..9).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))).collect();
        let found = documents(&format!("a0: &a0 [x]\n{bomb}"));
        assert!(found.iter().any(Result::is_err), "{} documents", found.len());
    }

    #[test]
    fn keys_that_are_there_twice_are_told() {
        let document = one("a: 1\nspec:\n  b: [{c: 1, c: 2}]\na: 3\n");
        let found: Vec<_> = document.repeated().into_iter().map(|(path, place)| (path, place.line)).collect();
        assert_eq!(found, [("spec.b[0].c".to_owned(), 3), ("a".to_owned(), 4)]);
        assert_eq!(document.value()["a"], 3);
    }
}
