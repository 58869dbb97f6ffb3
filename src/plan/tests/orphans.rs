//! Webhooks at Orion that nobody has.

use std::collections::BTreeSet;

use super::*;

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn shown() -> Arc<Snapshot> {
    let marked = |id: &str, owner: &Owner| remote(id, &webhook().spec, "1", Some(owner));
    let here = settings().instance;
    let elsewhere = InstanceId::new("another installation");
    list(
        START,
        &[
            ours("wh_ours"),
            ours("wh_copy"),
            foreign("wh_team_b"),
            unmarked("wh_by_hand"),
            marked("wh_elsewhere", &elsewhere.owner(NAMESPACE, "gone")),
            marked("wh_gone", &here.owner(NAMESPACE, "gone")),
        ],
    )
}

#[test]
fn only_our_own_markers_without_a_webhook_count() {
    let ownerless = |namespaces: Option<&[&str]>, webhooks: &[(&str, &str)]| {
        let namespaces = namespaces.map(ids);
        super::ownerless(&shown(), &settings().instance, namespaces.as_ref(), webhooks.iter().copied())
    };
    let nobody: &[(&str, &str)] = &[];
    assert_eq!(ownerless(None, nobody), ids(&["wh_copy", "wh_gone", "wh_ours", "wh_team_b"]));
    // A second webhook of a living Webhook is a copy, and its Webhook's own business.
    assert_eq!(ownerless(None, &[(NAMESPACE, NAME)]), ids(&["wh_gone", "wh_team_b"]));
    assert_eq!(ownerless(None, &[(NAMESPACE, NAME), ("team-b", "other"), (NAMESPACE, "gone")]), ids(&[]));
    assert_eq!(ownerless(Some(&[NAMESPACE]), &[(NAMESPACE, NAME)]), ids(&["wh_gone"]));
    assert_eq!(ownerless(Some(&["team-c"]), nobody), ids(&[]));
    // The same name in another namespace is another Webhook.
    assert_eq!(ownerless(Some(&[NAMESPACE]), &[("team-b", NAME), (NAMESPACE, "gone")]), ids(&["wh_copy", "wh_ours"]));
}

#[test]
fn it_takes_two_rounds_far_enough_apart() {
    let apart = secs(60);
    let mut sightings = Sightings::default();
    assert_eq!((sightings.orphans(apart), sightings.due(apart)), (ids(&[]), None));
    sightings.see(secs(100), &ids(&["a", "b"]));
    assert_eq!((sightings.orphans(apart), sightings.due(apart)), (ids(&[]), Some(secs(160))));
    sightings.see(secs(159), &ids(&["a", "c"]));
    assert_eq!((sightings.orphans(apart), sightings.due(apart)), (ids(&[]), Some(secs(160))));
    sightings.see(secs(160), &ids(&["a", "b", "c"]));
    assert_eq!((sightings.orphans(apart), sightings.due(apart)), (ids(&["a"]), Some(secs(219))));
    sightings.see(secs(220), &ids(&["a", "b", "c"]));
    assert_eq!((sightings.orphans(apart), sightings.due(apart)), (ids(&["a", "b", "c"]), None));
    // One that was away in between begins anew.
    sightings.see(secs(230), &ids(&["b"]));
    sightings.see(secs(240), &ids(&["a", "b"]));
    assert_eq!((sightings.orphans(apart), sightings.due(apart)), (ids(&["b"]), Some(secs(300))));
}
