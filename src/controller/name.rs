//! Names a Webhook.

use std::fmt;
use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

/// `namespace/name`, as users of kubectl know it. Neither can hold a slash. One allocation for all who keep it: thousands are
/// kept, by several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WebhookName(Arc<str>);

impl WebhookName {
    /// The name of `object`.
    pub(super) fn of(object: &impl Resource) -> Self {
        Self::new(object.meta().namespace.as_deref().unwrap_or_default(), &object.name_any())
    }

    /// The name of the Webhook `name` in a namespace.
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self([namespace, "/", name].concat().into())
    }

    /// As caches know it.
    pub(super) fn to_ref<K: Resource<DynamicType = ()>>(&self) -> ObjectRef<K> {
        let (namespace, name) = self.0.split_once('/').unwrap_or_default();
        ObjectRef::new(name).within(namespace)
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
