//! What a watch brings, when the cache shows it.

use futures::channel::oneshot;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use kube::Resource;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::{self, Event};

/// The same events, and who hears once that the cache is filled.
pub(super) fn tells_when_filled<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
) -> (impl Stream<Item = watcher::Result<Event<K>>>, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    let mut sender = Some(sender);
    let events = events.inspect_ok(move |event| {
        if let Some(sender) = sender.take_if(|_| matches!(event, Event::InitDone)) {
            let _nobody_asks = sender.send(()).is_err();
        }
    });
    (events, receiver)
}

/// `each` of what the cache shows anew, or no more. A new list shows when it is complete, not before: then everything may have
/// changed.
pub(super) fn shown<K, T>(
    store: Store<K>,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    each: impl Fn(&K) -> T,
) -> impl Stream<Item = watcher::Result<T>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    events.flat_map(move |event| {
        let shown = match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => vec![Ok(each(&object))],
            Ok(Event::InitDone) => store.state().iter().map(|object| Ok(each(object))).collect(),
            Ok(Event::Init | Event::InitApply(_)) => Vec::new(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(shown)
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::runtime::{WatchStreamExt, reflector};

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object
    }

    /// What comes of a list, changes, and a second list after a partition, and whether the cache has it then.
    #[tokio::test]
    async fn a_list_shows_when_it_is_complete() {
        let (store, writer) = reflector::store();
        let events = [
            Event::Init,
            Event::InitApply(object("stays")),
            Event::InitApply(object("goes unseen")),
            Event::InitDone,
            Event::Apply(object("comes")),
            Event::Delete(object("comes")),
            Event::Init,
            Event::InitApply(object("stays")),
            Event::InitApply(object("came unseen")),
            Event::InitDone,
        ];
        let cache = store.clone();
        let is_there =
            move |object: &ConfigMap| (object.name_any(), cache.get(&reflector::ObjectRef::from_obj(object)).is_some());
        let events = stream::iter(events).map(Ok::<_, watcher::Error>).reflect(writer);
        let mut shown: Vec<(String, bool)> = shown(store, events, is_there).try_collect().await.unwrap();
        for list in [0..2, 4..6] {
            shown[list].sort();
        }
        let expected = [
            ("goes unseen", true),
            ("stays", true),
            ("comes", true),
            ("comes", false),
            ("came unseen", true),
            ("stays", true),
        ];
        assert_eq!(shown, expected.map(|(name, is_there)| (name.to_owned(), is_there)));
    }
}
