//! What the derived schemas need besides attributes: rules with messages for people, and the last touches on a CRD.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::core::Rule;
use schemars::{SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::marker::OWNER_HEADER;

/// Header names that the HTTP client or the operator writes itself.
pub const RESERVED_HEADERS: [&str; 5] = ["Host", "Content-Length", "Transfer-Encoding", "Connection", OWNER_HEADER];

/// The form of a Kubernetes object's name (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
pub(super) const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A string must match `pattern`, a regular expression that both RE2 and the `regex` crate read alike.
///
/// A CEL rule rather than the keyword `pattern`, because only a rule can say in words what is wrong.
fn matches(pattern: &str, message: &str) -> Rule {
    Rule::new(format!("self.matches(r'{pattern}')")).message(message)
}

/// Scheme http or https and a well-formed authority: a name, an IPv4 or a bracketed IPv6 address, with or without port.
///
/// Userinfo is let through: [`url_without_credentials`] has the better message for it. The scheme is free in case
/// (<https://www.rfc-editor.org/rfc/rfc3986#section-3.1>).
pub(super) fn url_is_absolute(example: &str) -> Rule {
    const HOST: &str = r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9._])?|\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]+\])";
    const PORT: &str = r"(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?";
    matches(
        &format!("^[hH][tT][tT][pP][sS]?://([^/?#]*@)?{HOST}{PORT}([/?#]|$)"),
        &format!("must be an absolute http or https URL with a host, like {example}"),
    )
}

/// No `user@` and no `user:password@`: a URL is shown and logged where a header value is not.
pub(super) fn url_without_credentials(their_place: &str) -> Rule {
    Rule::new(r"!self.matches(r'^[^/?#]*//[^/?#]*@')")
        .message(format!("must not hold a user or password; put credentials into {their_place}").as_str())
}

/// Only what RFC 3986 lets stand in a URL as it is, plus the few printable characters that clients encode by themselves.
/// A backslash is refused because clients disagree on whether it is a slash.
pub(super) fn url_is_printable() -> Rule {
    matches(
        r"^[!-\[\]-~]*$",
        "must not hold spaces, control characters, backslashes or characters outside ASCII; percent-encode them",
    )
}

/// RFC 9110 token (<https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2>).
pub(super) fn header_name_is_token() -> Rule {
    matches(
        r"^[A-Za-z0-9!#$%&\x27*+.^_\x60|~-]+$",
        "must be an HTTP header name: letters, digits and !#$%&'*+-.^_`|~ only",
    )
}

/// None of [`RESERVED_HEADERS`], in any case.
pub(super) fn header_name_is_free() -> Rule {
    let lower = RESERVED_HEADERS.map(|name| format!("'{}'", name.to_ascii_lowercase())).join(", ");
    Rule::new(format!("!(self.lowerAscii() in [{lower}])"))
        .message(format!("must not be one of the reserved headers {}", RESERVED_HEADERS.join(", ")).as_str())
}

/// Header names are free in case (<https://www.rfc-editor.org/rfc/rfc9110#section-5.1>), so names that differ only in
/// case are the same header. The list map by name refuses only exact repeats.
pub(super) fn header_names_differ() -> Rule {
    Rule::new("self.all(h, self.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))")
        .message("must not hold the same header name twice; upper and lower case make no difference")
}

/// Printable ASCII and tab; the empty value is a valid one (<https://www.rfc-editor.org/rfc/rfc9110#section-5.5>).
pub(super) fn header_value_is_printable() -> Rule {
    matches(r"^[\t -~]*$", "must hold printable ASCII characters and tabs only, no line breaks")
}

/// Exactly one source of a header's value.
pub(super) fn header_has_one_source() -> Rule {
    Rule::new("has(self.value) != has(self.valueFrom)").message("must have exactly one of value and valueFrom")
}

/// The name of a Kubernetes object.
pub(super) fn object_name() -> Rule {
    matches(
        OBJECT_NAME,
        "must be the name of an object: lower-case letters, digits, - and . only, with a letter or digit at both ends",
    )
}

/// The name of a namespace, which unlike most names has no dots.
pub(super) fn namespace_name() -> Rule {
    matches(
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must be the name of a namespace: lower-case letters, digits and - only, with a letter or digit at both ends",
    )
}

/// A key of a Secret, as the apiserver checks it (`IsConfigMapKey` of `k8s.io/apimachinery`).
pub(super) fn secret_key() -> Rule {
    Rule::new(r"self.matches(r'^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')")
        .message("must be a key of a Secret: letters, digits, -, _ and . only, and neither . nor starting with ..")
}

/// The form of a duration.
const DURATION: &str = r"^([0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h))+$";

/// A duration that [`parse_duration`](super::parse_duration) reads: the digits are bounded so that it never overflows
/// and is never rounded to nothing.
pub(super) fn duration_is_written_well() -> Rule {
    matches(
        DURATION,
        "must be a duration like 30s, 10m or 1h30m: numbers of at most 9 digits with the units ms, s, m and h",
    )
}

/// A duration above zero.
pub(super) fn duration_is_not_zero() -> Rule {
    matches("[1-9]", "must be longer than nothing")
}

/// An id that can stand in a path as one segment, and is neither `.` nor `..`.
pub(super) fn orion_id() -> Rule {
    matches(
        "^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$",
        "must be the id of an Orion webhook: letters, digits, ., _, ~ and - only, not starting with a dot",
    )
}

/// Scheme, host and port only, perhaps with one slash at the end: a path belongs into the path prefix.
pub(super) fn url_is_an_origin() -> Rule {
    Rule::new(r"!self.matches(r'^[^/?#]*//[^/?#]*(/[^?#]|/?[?#])')")
        .message("must be scheme, host and port only, like https://acme.example.com; a path belongs into pathPrefix")
}

/// A path from the root of the host, which cannot be taken for another host.
pub(super) fn path() -> Rule {
    matches(r"^/[^/\\?#][^\\?#]*$", "must be a path that starts with one slash and holds no ?, # or backslash")
}

/// A path that every client sends as it is written. Parsers of URLs take line breaks out, and resolve `.` and `..` even
/// where they are percent-encoded.
pub(super) fn path_is_plain() -> Rule {
    Rule::new(r"self.matches(r'^[!-~]*$') && !self.matches(r'/(\.|%2[eE]){1,2}(/|$)')").message(
        "must not hold spaces, control characters or characters outside ASCII (percent-encode them), \
         nor the segments . and ..",
    )
}

/// Exactly one kind of credentials.
pub(super) fn one_kind_of_credentials() -> Rule {
    Rule::new("has(self.tokenSecretRef) != has(self.passwordSecretRef)")
        .message("must have exactly one of tokenSecretRef and passwordSecretRef")
}

/// 1s to 30s. What is no duration has its own message.
pub(super) fn timeout_is_in_bounds() -> Rule {
    Rule::new(format!(
        "!self.matches(r'{DURATION}') || (duration(self) >= duration('1s') && duration(self) <= duration('30s'))"
    ))
    .message("must be between 1s and 30s")
}

/// Scope tokens of RFC 6749, section 3.3: separated by spaces in the request, so without any.
pub(super) fn scopes() -> Rule {
    Rule::new(r"self.all(scope, scope.matches(r'^[!#-\[\]-~]+$'))")
        .message("must be scopes: printable ASCII without spaces, double quotes and backslashes")
}

/// A rule is for namespaces by name or by label.
pub(super) fn rule_has_one_subject() -> Rule {
    Rule::new("has(self.name) != has(self.selector)").message("must have exactly one of name and selector")
}

/// A label selector, with bounds and with the rules that the apiserver has for its own: a requirement that can never be
/// met, or always is, should not decide in silence who gets in. (In `matchLabels` a wrong key or value lets nobody in.)
pub(super) fn namespace_selector(_: &mut SchemaGenerator) -> schemars::Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels that a namespace must have, with these values.",
                "type": "object",
                "additionalProperties": {"description": "Value of the label.", "type": "string", "maxLength": 63},
            },
            "matchExpressions": {
                "description": "What else must be true of its labels: all of these.",
                "type": "array",
                "maxItems": 16,
                "items": {
                    "description": "What must be true of one label.",
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "Key of the label.",
                            "type": "string",
                            "maxLength": 317,
                            "x-kubernetes-validations": [{
                                "rule": r"self.matches(r'^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",
                                "message": "must be the key of a label, like team or example.com/team",
                            }],
                        },
                        "operator": {
                            "description": "In and NotIn compare with values; Exists and DoesNotExist have none.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "Values to compare with.",
                            "type": "array",
                            "maxItems": 64,
                            "items": {"description": "One value.", "type": "string", "maxLength": 63},
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "self.operator in ['In', 'NotIn'] == (has(self.values) && size(self.values) > 0)",
                        "message": "must have values where the operator is In or NotIn, and none where it is Exists or DoesNotExist",
                    }],
                },
            },
        },
    })
}

/// `connectionRef` stays as it was created. The webhook lives at that connection; following a change would mean to
/// create it anew elsewhere. A transition rule of the field itself would not see it come or go, so this one is for
/// the parent. Leaving `kind` out equals writing its default.
pub(super) fn connection_is_immutable() -> Rule {
    Rule::new(
        "has(self.connectionRef) == has(oldSelf.connectionRef) && (!has(self.connectionRef) || \
         (self.connectionRef.name == oldSelf.connectionRef.name && \
         (has(self.connectionRef.kind) ? self.connectionRef.kind : 'OrionConnection') == \
         (has(oldSelf.connectionRef.kind) ? oldSelf.connectionRef.kind : 'OrionConnection')))",
    )
    .message("cannot be changed, added or removed; delete this object and create it again")
    .field_path(".connectionRef")
}

/// Reads `null` like an absent field. The apiserver drops such a null before it stores an object, but an older or
/// newer schema need not have.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The last touches on a derived CRD, which attributes cannot make:
///
/// - no `nullable`: then the apiserver drops a `null` (or refuses it, in a server-side apply), and it never means
///   anything else than an absent field;
/// - no `format` of an unsigned number, which the apiserver does not know and warns of;
/// - `status` defaults to `{observedGeneration: -1}`: without it, kstatus takes an object that no operator has seen
///   yet for a finished one (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>).
#[must_use]
pub(super) fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            tidy(schema);
            if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
                status.default = Some(JSON(json!({"observedGeneration": -1})));
            }
        }
    }
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.format = schema.format.take().filter(|format| !format.starts_with("uint"));
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(tidy);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => tidy(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}
