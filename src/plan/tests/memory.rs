//! What one process remembers.

use super::*;
use crate::api::Attempt;

fn observed(memory: &mut Memory, case: &Case) {
    let (inputs, doubtful) = case.view(|view| (view.inputs(), view.doubtful()));
    memory.observe(&inputs, doubtful, case.now);
}

#[test]
fn a_doubt_lasts_as_long_as_its_attempt() {
    let mut memory = Memory::default();
    observed(&mut memory, &Case::new().held().attempt("t"));
    let first = memory.doubt.clone().unwrap();
    assert_eq!((first.token.as_str(), first.since), ("t", START));
    observed(&mut memory, &Case::new().held().attempt("t").after(30));
    assert_eq!(memory.doubt.as_ref(), Some(&first));
    observed(&mut memory, &Case::new().held().attempt("u").after(40));
    assert_eq!(memory.doubt.as_ref().unwrap().since, START + secs(40));
    observed(&mut memory, &Case::open("u").status(|status| status.settled_attempt = Some("u".into())));
    assert_eq!(memory.doubt, None);
}

#[test]
fn what_is_in_doubt() {
    let marked = |case: Case| case.facts(|facts| facts.last_list = Some(list(START, &[ours("wh_1")])));
    let created = |token: &str| Created {
        token: token.into(),
        id: "wh_1".into(),
        endpoint: ENDPOINT.into(),
        versions: Vec::new(),
        digest: 0,
    };
    let missing =
        |case: Case| case.with(|case| case.connection = Connection::Missing { message: "gone".into(), lost: false });
    for (case, expected) in [
        (Case::new(), None),
        (Case::new().held(), Some("")),
        (Case::new().held().attempt("t"), Some("t")),
        (Case::new().carrying("t", START), None),
        (Case::new().carrying("t", START).attempt("u"), Some("u")),
        (Case::new().held().attempt("t").with(|case| case.memory.created = Some(Box::new(created("t")))), None),
        (Case::new().held().attempt("t").with(|case| case.memory.created = Some(Box::new(created("s")))), Some("t")),
        (Case::stored("wh_1"), None),
        (Case::stored("wh_1").attempt("t"), Some("t")),
        (marked(Case::new()), Some("")),
        (marked(Case::new()).facts(|facts| facts.ownership = false), None),
        (missing(Case::new()), None),
        (Case::new().doubt("", START), Some("")),
        (Case::new().doubt("t", START), None),
    ] {
        assert_eq!(case.view(|view| view.doubtful()).as_deref(), expected, "{:?}", case.memory);
    }
}

#[test]
fn the_attempt_in_our_hands() {
    let spec = webhook().spec;
    let begun = || {
        let mut memory = Memory { held: true, ..Memory::default() };
        memory.attempt_begun("t", START);
        memory
    };
    assert!(!begun().held);
    let mut memory = begun();
    let with = |token: &str| Case::new().attempt(token).webhook;
    memory.refreshed(&with("t"), START + secs(9));
    assert_eq!(memory.carrying.as_ref().unwrap().confirmed, START + secs(9));
    // One that is going is no word to POST on.
    memory.refreshed(&Case::new().attempt("t").deleting().webhook, START + secs(10));
    assert!(!memory.carrying.as_ref().unwrap().is_confirmed(START + secs(10)));
    memory.refreshed(&with("other"), START);
    assert_eq!(memory.carrying, None);
    memory.refreshed(&webhook(), START);
    let mut memory = begun();
    memory.posting();
    assert!(memory.carrying.as_ref().unwrap().sent);
    memory.not_posted();
    assert!(!memory.carrying.as_ref().unwrap().sent);
    for (result, carries, doubts, creates) in [
        (Ok("wh_1".to_owned()), false, false, true),
        (Err(answer(422)), true, false, false),
        (Err(answer(503)), false, true, false),
        (Err(answer(409)), false, true, false),
    ] {
        let mut memory = begun();
        memory.posting();
        memory.posted(&result, &webhook(), &values(&spec, "1"), facts().account(), START);
        assert_eq!(
            (memory.carrying.is_some(), memory.doubt.is_some(), memory.created.is_some()),
            (carries, doubts, creates)
        );
        assert!(memory.carrying.is_none_or(|carrying| !carrying.sent));
    }
    let mut nothing = Memory::default();
    nothing.posting();
    nothing.not_posted();
    nothing.posted(&Ok("wh_1".into()), &webhook(), &values(&spec, "1"), facts().account(), START);
    assert!(nothing.created.is_none() && nothing.carrying.is_none());
}

#[test]
fn the_attempt_whose_id_came_is_told_from_others() {
    let mut memory = Memory::default();
    assert!(!memory.is_ours(&Case::new().attempt("t").webhook));
    memory.attempt_begun("t", START);
    memory.posted(&Ok("wh_1".into()), &webhook(), &values(&webhook().spec, "1"), facts().account(), START);
    for (case, expected) in [(Case::new(), false), (Case::new().attempt("t"), true), (Case::new().attempt("u"), false)]
    {
        assert_eq!(memory.is_ours(&case.webhook), expected);
    }
}

#[test]
fn misses_and_copies_end_with_their_id() {
    let mut memory = Memory::default();
    observed(&mut memory, &Case::stored("wh_1"));
    memory.got(true, &Err(answer(404)), Support::Proven, START);
    memory.got(false, &Err(answer(404)), Support::Proven, START);
    memory.got(false, &Ok(ours("wh_2")), Support::Proven, START);
    memory.copies.insert("wh_2".into(), START);
    observed(&mut memory, &Case::stored("wh_1"));
    assert_eq!((memory.missing.len(), memory.copies.len()), (1, 1));
    observed(&mut memory, &Case::stored("wh_2"));
    assert_eq!((memory.missing.len(), memory.copies.len()), (0, 0));
    memory.got(true, &Err(answer(404)), Support::Proven, START);
    memory.got(true, &Ok(ours("wh_2")), Support::Proven, START);
    assert!(memory.missing.is_empty());
}

#[test]
fn what_a_list_shows() {
    let me = owner();
    let at = |seconds: u64| START + secs(seconds);
    let mut memory = Memory::default();
    let both = [ours("wh_1"), ours("wh_2")];
    memory.listed(&flawed(at(1), &both), Some(&me), Some("wh_1"), Support::Proven);
    assert!(memory.copies.is_empty(), "not from a list that is not complete");
    memory.listed(&list(at(2), &both), Some(&me), Some("wh_1"), Support::Proven);
    memory.listed(&list(at(9), &both), Some(&me), Some("wh_1"), Support::Proven);
    assert_eq!(memory.copies.get("wh_2"), Some(&at(2)), "since it was first seen");
    memory.listed(&list(at(10), &[ours("wh_2")]), Some(&me), Some("wh_1"), Support::Proven);
    assert!(
        memory.copies.is_empty() && memory.missing.is_empty(),
        "without the stored one there are no copies; GET tells"
    );
    for (begun, webhooks, expected) in [(11, &[][..], 1), (11, &[], 1), (12, &[], 2), (12, &both, 2), (13, &both, 0)] {
        memory.listed(&list(at(begun), webhooks), Some(&me), Some("wh_1"), Support::Absent);
        assert_eq!(memory.missing.len(), expected);
    }
    memory.listed(&flawed(at(14), &[]), Some(&me), Some("wh_1"), Support::Absent);
    assert!(memory.missing.is_empty());
    memory.doubt = Some(Box::new(Doubt::new("t".into(), START)));
    for (snapshot, expected) in [
        (list(at(20), &[]), 1),
        (list(at(20), &[]), 1),
        (flawed(at(21), &[]), 1),
        (list(at(22), &[foreign("wh_1")]), 2),
        (list(at(23), &[ours("wh_1")]), 0),
    ] {
        memory.listed(&snapshot, Some(&me), None, Support::Proven);
        assert_eq!(memory.doubt.as_ref().unwrap().lists.len(), expected);
    }
}

#[test]
fn a_verdict_is_about_what_it_was_decided_from() {
    let settlement = Case::stored("wh_1").synced().settles();
    let mut memory = Memory::default();
    memory.settled(&settlement);
    let stands = |case: Case| {
        case.with(|case| case.memory.verdict.clone_from(&memory.verdict)).view(|view| view.standing_verdict().is_some())
    };
    assert!(stands(Case::stored("wh_1")));
    assert!(!stands(Case::stored("wh_1").with(|case| case.webhook.metadata.generation = Some(2))));
    assert!(!stands(Case::stored("wh_1").deleting()));
    // What is written with it is no news either.
    let spec = digest(&webhook().spec, &[]);
    let created =
        Created { token: "t".into(), id: "wh_1".into(), endpoint: ENDPOINT.into(), versions: Vec::new(), digest: spec };
    let case = Case::new().held().attempt("t").with(|case| case.memory.created = Some(Box::new(created)));
    let settlement = case.settles();
    let after = case.with(|case| case.memory.settled(&settlement)).status(|status| *status = settlement.status.clone());
    assert!(after.view(|view| view.standing_verdict().is_some()));
}

#[test]
fn what_is_stranded_is_known_since_when() {
    let at = |seconds: u64| START + secs(seconds);
    let lost = |lost: bool| {
        Case::stored("wh_1").with(|case| case.connection = Connection::Missing { message: "gone".into(), lost })
    };
    let mut memory = Memory::default();
    memory.looked_at_namespace(false, at(0));
    assert_eq!(memory.stranded, None);
    memory.looked_at_namespace(true, at(1));
    memory.looked_at_namespace(true, at(9));
    observed(&mut memory, &lost(true));
    assert_eq!(memory.stranded, Some(at(1)), "since it was first seen");
    memory.looked_at_namespace(false, at(10));
    assert_eq!(memory.stranded, None);
    let not_ready = |lost| Connection::NotReady { message: "gone".into(), lost };
    for (case, stays) in [
        (lost(true), true),
        (lost(false), false),
        (lost(true).with(|case| case.connection = not_ready(true)), true),
        (lost(true).with(|case| case.connection = not_ready(false)), false),
        (lost(true).with(|case| case.connection = Connection::NotAllowed { message: "gone".into() }), false),
        (Case::stored("wh_1"), false),
    ] {
        memory.looked_at_namespace(true, at(20));
        observed(&mut memory, &case);
        assert_eq!(memory.stranded.is_some(), stays, "{:?}", case.connection);
    }
    // That it is lost for good is news, whatever the message.
    let settlement = lost(false).settles();
    let stands =
        |case: Case| case.with(|case| case.memory.settled(&settlement)).view(|view| view.standing_verdict().is_some());
    assert!(stands(lost(false)) && !stands(lost(true)));
}

/// Found by a test of `resolve`: the list of the wrong account counted once the right one was reached again.
#[test]
fn a_doubt_begins_anew_with_another_account() {
    let reached = |endpoint: &str, credentials: u64, after: u64| {
        let endpoint = Endpoint::new(endpoint, "/v1alpha").unwrap();
        let case = Case::new().held().attempt("t").after(after);
        case.facts(|facts| (facts.endpoint, facts.credentials) = (endpoint, credentials))
    };
    let one = "https://one.example.com";
    let mut memory = Memory::default();
    for (case, since) in [
        (reached(one, 0, 0), 0),
        (reached(one, 0, 10), 0),
        (reached(one, 1, 20), 20),
        (reached(one, 1, 30).with(|case| case.connection = Connection::NotAllowed { message: "Ask".into() }), 20),
        (reached(one, 1, 40), 20),
        (reached("https://two.example.com", 1, 50), 50),
    ] {
        let before = memory.doubt.as_ref().map(|doubt| doubt.since);
        observed(&mut memory, &case);
        let doubt = memory.doubt.as_mut().unwrap();
        assert_eq!(doubt.since, START + secs(since));
        assert_eq!(doubt.lists.is_empty(), before != Some(doubt.since));
        doubt.lists = vec![case.now];
    }
}

#[test]
fn where_a_post_went_is_remembered_with_its_doubt() {
    let mut memory = Memory::default();
    memory.attempt_begun("t", START);
    let account = Account { endpoint: "https://one.example.com".into(), credentials: 3 };
    memory.posted(&Err(answer(503)), &webhook(), &values(&webhook().spec, "1"), account.clone(), START);
    assert_eq!(memory.doubt.as_ref().unwrap().account, Some(account.clone()));
    memory.attempt_begun("u", START);
    memory.posted(&Ok("wh_1".into()), &webhook(), &values(&webhook().spec, "1"), account, START);
    assert_eq!(memory.created.unwrap().endpoint, "https://one.example.com");
    // Somebody else's POST.
    let mut memory = Memory::default();
    observed(&mut memory, &Case::new().held().attempt("t"));
    assert_eq!(memory.doubt.unwrap().account, None);
}

#[test]
fn a_digest_tells_what_is_declared_apart() {
    let spec = Case::new().secret("1").webhook.spec;
    let version = |version: &str| vec![AppliedSecret { name: SECRET.into(), resource_version: version.into() }];
    let base = digest(&spec, &version("1"));
    assert_eq!(base, digest(&spec, &version("1")));
    assert_ne!(base, digest(&spec, &version("2")));
    let changes: [fn(&mut WebhookSpec); 6] = [
        |spec| spec.url.push('x'),
        |spec| spec.user_id.push('x'),
        |spec| spec.presence_name.push('x'),
        |spec| spec.headers[0].name.push('x'),
        |spec| spec.headers[0].value = Some("other".into()),
        |spec| drop(spec.headers.pop()),
    ];
    for change in changes {
        let mut other = spec.clone();
        change(&mut other);
        assert_ne!(base, digest(&other, &version("1")));
    }
    let irrelevant: [fn(&mut WebhookSpec); 2] =
        [|spec| spec.suspend = Some(true), |spec| spec.interval = Some("1h".into())];
    for change in irrelevant {
        let mut other = spec.clone();
        change(&mut other);
        assert_eq!(base, digest(&other, &version("1")));
    }
}

#[test]
fn the_annotation_of_an_attempt_names_it() {
    let case = Case::new();
    let text = case.view(|view| attempt_text(view, "tok"));
    assert_eq!(Attempt::parse(&text).token, "tok");
    assert_eq!(Attempt::parse(&text).instance, settings().instance.prefix());
}
