#![allow(dead_code, unused)]
#[path = "../src/controller/queue.rs"]
mod queue;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event};
use queue::Again;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn cm(name: &str, v: &str) -> ConfigMap {
    let mut c = ConfigMap::default();
    c.metadata.name = Some(name.into());
    c.metadata.namespace = Some("ns".into());
    c.metadata.resource_version = Some(v.into());
    c
}

async fn go() -> Vec<(String, String)> {
    let (store, writer) = reflector::store();
    let first = vec![Event::Init, Event::InitApply(cm("a", "1")), Event::InitApply(cm("c", "1")), Event::InitDone];
    let mut second = vec![Event::Init, Event::InitApply(cm("a", "2")), Event::InitApply(cm("b", "2"))];
    for n in 0..50 {
        second.push(Event::InitApply(cm(&format!("z{n}"), "2")));
    }
    second.push(Event::InitDone);
    let later = stream::once(async {
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .flat_map(move |()| stream::iter(second.clone()));
    let events = stream::iter(first)
        .chain(later)
        .map(Ok::<_, watcher::Error>)
        .chain(stream::pending())
        .reflect(writer)
        .applied_objects()
        .filter_map(|e| async move { e.ok().map(|o| ObjectRef::<ConfigMap>::new(&o.name_any()).within("ns")) });
    let log = Arc::new(Mutex::new(Vec::new()));
    let l = log.clone();
    let s = store.clone();
    let begin = move |key: &ObjectRef<ConfigMap>| {
        if s.get(key).is_none() {
            l.lock().unwrap().push((key.name.clone(), "DROPPED".to_string()));
            return None;
        }
        let (s, l, key) = (s.clone(), l.clone(), key.clone());
        Some(async move {
            let v = s.get(&key).unwrap().resource_version().unwrap();
            l.lock().unwrap().push((key.name.clone(), v));
            Again::on_change()
        })
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let st = stop.clone();
    let ready = store.clone();
    let t = tokio::spawn(async move {
        let events = Box::pin(events);
        queue::serve(events, ready.wait_until_ready(), st, begin).await
    });
    tokio::time::sleep(Duration::from_millis(800)).await;
    stop.cancel();
    t.await.unwrap();
    let out = log.lock().unwrap().clone();
    println!(
        "in store at end: a={:?} b={:?}",
        store.get(&ObjectRef::new("a").within("ns")).map(|o| o.resource_version()),
        store.get(&ObjectRef::new("b").within("ns")).is_some()
    );
    out
}
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn zz_multi() {
    let o = go().await;
    println!("{:?}", &o[..8.min(o.len())]);
    println!("a: {:?}", o.iter().filter(|x| x.0 == "a").collect::<Vec<_>>());
    println!("dropped {}", o.iter().filter(|x| x.1 == "DROPPED").count());
}
#[tokio::test]
async fn zz_single() {
    let o = go().await;
    println!("{:?}", &o[..8.min(o.len())]);
    println!("a: {:?}", o.iter().filter(|x| x.0 == "a").collect::<Vec<_>>());
    println!("dropped {}", o.iter().filter(|x| x.1 == "DROPPED").count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn zz_kube() {
    use kube::runtime::controller::{Action, Controller};
    let (store, writer) = reflector::store();
    let first = vec![Event::Init, Event::InitApply(cm("a", "1")), Event::InitApply(cm("c", "1")), Event::InitDone];
    let mut second = vec![Event::Init, Event::InitApply(cm("a", "2")), Event::InitApply(cm("b", "2"))];
    for n in 0..50 {
        second.push(Event::InitApply(cm(&format!("z{n}"), "2")));
    }
    second.push(Event::InitDone);
    let later = stream::once(async {
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .flat_map(move |()| stream::iter(second.clone()));
    let events = stream::iter(first)
        .chain(later)
        .map(Ok::<_, watcher::Error>)
        .chain(stream::pending())
        .reflect(writer)
        .applied_objects();
    let log = Arc::new(Mutex::new(Vec::new()));
    let l = log.clone();
    let run = Controller::for_stream(Box::pin(events), store).run(
        move |o: Arc<ConfigMap>, _| {
            let l = l.clone();
            async move {
                l.lock().unwrap().push((o.name_any(), o.resource_version().unwrap()));
                Ok::<_, std::convert::Infallible>(Action::await_change())
            }
        },
        |_, _, _| Action::await_change(),
        Arc::new(()),
    );
    let gone = Arc::new(Mutex::new(0));
    let g = gone.clone();
    let _ = tokio::time::timeout(
        Duration::from_millis(900),
        run.for_each(move |r| {
            if r.is_err() {
                *g.lock().unwrap() += 1;
            }
            async {}
        }),
    )
    .await;
    let o = log.lock().unwrap().clone();
    println!(
        "kube: {} runs, errors {}, a: {:?} b: {:?}",
        o.len(),
        gone.lock().unwrap(),
        o.iter().filter(|x| x.0 == "a").collect::<Vec<_>>(),
        o.iter().filter(|x| x.0 == "b").collect::<Vec<_>>()
    );
}
