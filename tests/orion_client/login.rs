//! Logins, against the simulated Orion: how many there are, who shares them, and what a failed one means.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use devkit::sim::{Action, Answered, Config, ErrorAnswer, Fault, Operation, Sim, TokenFormat};
use futures::future::join_all;
use orion_operator::api::{Capabilities, Failure, FailureClass, Reason, Sent};
use orion_operator::orion::{ConnectionConfig, Given, GivenCell, HttpOrion, Orion, Password, PasswordFiles};

use super::support::{config, desired};

pub(crate) const USERNAME: &str = "analyst@example.com";
pub(crate) const PASSWORD: &str = "p&ss w\u{f6}rd=1+%";

/// A simulated Orion, and a client that logs in with what is in two files.
struct World {
    sim: Sim,
    orion: Arc<HttpOrion>,
    files: tempfile::TempDir,
}

impl World {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut switches = Config { username: USERNAME.into(), password: PASSWORD.into(), ..Config::default() };
        change(&mut switches);
        let sim = Sim::start(switches).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let (username, password) = (files.path().join("username"), files.path().join("password"));
        std::fs::write(&username, USERNAME).unwrap();
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let auth = Arc::new(PasswordFiles::new(username, password));
        let orion = HttpOrion::new(ConnectionConfig { auth, ..config(&sim.url()) }).unwrap();
        Self { sim, orion: Arc::new(orion), files }
    }

    fn password_file(&self) -> PathBuf {
        self.files.path().join("password")
    }

    fn logins(&self) -> u64 {
        self.sim.count(Operation::Login)
    }

    /// So many callers at once.
    async fn burst(&self, callers: usize) -> Vec<Result<(), Failure>> {
        join_all((0..callers).map(|_| async { self.orion.list().await.map(drop) })).await
    }

    async fn all_well(&self, callers: usize) {
        for outcome in self.burst(callers).await {
            outcome.unwrap();
        }
    }

    fn refused(&self) -> usize {
        self.sim.requests().iter().filter(|request| request.status == Answered::Status(401)).count()
    }
}

fn status(code: u16, retry_after: Option<&str>) -> Action {
    let retry_after = retry_after.map(str::to_owned);
    Action::Status(ErrorAnswer { code, retry_after, body: devkit::sim::BodyKind::Json })
}

/// The clock goes on by itself again afterwards: calls over sockets and a clock that stands still do not go together.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn two_hundred_callers_are_one_login() {
    for token_format in [TokenFormat::Opaque, TokenFormat::Jwt] {
        for expires_in in [true, false] {
            let world = World::new(|switches| {
                switches.token_format = token_format;
                switches.expires_in = expires_in;
            })
            .await;
            world.all_well(200).await;
            assert_eq!((world.logins(), world.refused()), (1, 0), "{token_format:?} {expires_in}");
            assert_eq!(world.orion.credentials_epoch().await, 0, "a login is no change of what a person gave");
        }
    }
}

#[tokio::test]
async fn a_token_that_will_end_is_renewed_before_and_nobody_is_refused() {
    for (token_format, expires_in) in [(TokenFormat::Opaque, true), (TokenFormat::Jwt, true), (TokenFormat::Jwt, false)]
    {
        let world = World::new(|switches| {
            switches.token_format = token_format;
            switches.expires_in = expires_in;
            switches.token_lifetime_ms = 600_000;
        })
        .await;
        world.all_well(20).await;
        later(Duration::from_secs(560)).await;
        world.all_well(20).await;
        assert_eq!(world.logins(), 1, "{token_format:?} {expires_in}");
        later(Duration::from_secs(15)).await;
        world.all_well(200).await;
        assert_eq!((world.logins(), world.refused()), (2, 0), "{token_format:?} {expires_in}");
    }
}

#[tokio::test]
async fn a_token_that_ended_unforeseen_is_renewed_by_one_login_for_all() {
    let world = World::new(|switches| {
        switches.token_format = TokenFormat::Opaque;
        switches.token_lifetime_ms = 600_000;
    })
    .await;
    world.all_well(200).await;
    later(Duration::from_secs(601)).await;
    world.all_well(200).await;
    assert_eq!(world.logins(), 2);
    world.sim.revoke_tokens();
    world.all_well(200).await;
    assert_eq!(world.logins(), 3);
    assert!(world.refused() >= 2);
}

/// While the old token still lives, a login that fails hurts nobody.
#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_while_the_old_token_lives() {
    let world = World::new(|switches| switches.token_lifetime_ms = 600_000).await;
    world.all_well(1).await;
    later(Duration::from_secs(575)).await;
    world.sim.add_fault(Fault::on(Operation::Login, status(503, None)));
    world.all_well(50).await;
    let logins = world.logins();
    assert!(logins >= 2, "it was tried");
    later(Duration::from_secs(1)).await;
    world.sim.clear_faults();
    world.all_well(50).await;
    assert_eq!((world.logins(), world.refused()), (logins + 1, 0));
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_stands_and_costs_no_more_logins() {
    let world = World::new(|_| {}).await;
    world.sim.add_fault(Fault::on(Operation::List, Action::status(401)));
    for outcome in world.burst(200).await {
        let failure = outcome.unwrap_err();
        assert_eq!((failure.class, failure.status), (FailureClass::Unauthorized, Some(401)));
    }
    for _ in 0..20 {
        world.orion.list().await.unwrap_err();
    }
    assert_eq!(world.logins(), 2, "one to begin with, and one because of the 401");
    later(Duration::from_secs(61)).await;
    world.burst(20).await;
    assert_eq!(world.logins(), 3, "a minute later");
    later(Duration::from_secs(61)).await;
    world.burst(20).await;
    assert_eq!(world.logins(), 3, "and then two");
    world.sim.clear_faults();
    world.all_well(20).await;
    world.sim.revoke_tokens();
    world.all_well(200).await;
    assert_eq!(world.logins(), 4, "a token that was good is renewed at once");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_until_the_wait_is_over_or_it_changes() {
    let world = World::new(|switches| switches.password = "another".into()).await;
    let messages: Vec<String> = world
        .burst(200)
        .await
        .into_iter()
        .map(|outcome| {
            let failure = outcome.unwrap_err();
            assert_eq!((failure.class, failure.sent), (FailureClass::Unauthorized, Sent::No));
            assert_eq!((failure.status, failure.retry_after), (None, None));
            assert_eq!(failure.reason(), Reason::Unauthorized);
            failure.message
        })
        .collect();
    assert!(messages.iter().all(|message| *message == messages[0]));
    assert_eq!(
        messages[0],
        "Orion at 127.0.0.1 does not accept the username and password (login, 401): \
         check the files of --orion-username-file and --orion-password-file"
    );
    let mut logins = 1;
    for minutes in [1, 2, 4, 8, 10, 10] {
        assert_eq!(world.logins(), logins);
        later(Duration::from_secs(minutes * 60 - 20)).await;
        for outcome in world.burst(20).await {
            assert_eq!(outcome.unwrap_err().message, messages[0]);
        }
        assert_eq!(world.logins(), logins, "{minutes} minutes are not over");
        later(Duration::from_secs(21)).await;
        world.burst(20).await;
        logins += 1;
    }
    assert_eq!(world.logins(), logins);
    assert_eq!(world.sim.count(Operation::List), 0, "nothing but logins was sent");

    std::fs::write(world.password_file(), "another").unwrap();
    assert_eq!(world.orion.credentials_epoch().await, 1);
    world.all_well(200).await;
    assert_eq!(world.logins(), logins + 1);
    std::fs::write(world.password_file(), "wrong").unwrap();
    world.orion.list().await.unwrap_err();
    std::fs::remove_file(world.password_file()).unwrap();
    let missing = world.orion.list().await.unwrap_err();
    assert!(missing.message.contains("--orion-password-file does not exist"), "{missing:?}");
    std::fs::write(world.password_file(), "another").unwrap();
    world.all_well(1).await;
    assert_eq!(world.logins(), logins + 3);
}

#[tokio::test]
async fn every_refusal_of_a_login_is_told_as_one_and_teaches_nothing() {
    use FailureClass::{NoLogin, Protocol, RateLimited, Redirect, ServerError, Timeout, Unauthorized};
    for (code, class, is_of_the_connection) in [
        (400, Unauthorized, false),
        (401, Unauthorized, false),
        (403, Unauthorized, false),
        (409, Unauthorized, false),
        (422, Unauthorized, false),
        (423, Unauthorized, false),
        (404, NoLogin, true),
        (405, NoLogin, true),
        (501, NoLogin, true),
        (307, Redirect, true),
        (408, Timeout, true),
        (425, ServerError, true),
        (429, RateLimited, true),
        (500, ServerError, true),
        (503, ServerError, true),
        (299, Protocol, true),
    ] {
        let world = World::new(|_| {}).await;
        world.sim.add_fault(Fault::on(Operation::Login, status(code, None)));
        let auth = Arc::new(GivenCell::new("Secret orion", Ok(given(PASSWORD))));
        let orion = HttpOrion::new(ConnectionConfig { auth, ..config(&world.sim.url()) }).unwrap();
        let first = orion.list().await.unwrap_err();
        // What follows needs neither a call nor time.
        tokio::time::pause();
        let failures = [
            first,
            orion.list().await.unwrap_err(),
            orion.get("wh_1").await.unwrap_err(),
            orion.update("wh_1", &desired()).await.unwrap_err(),
            orion.delete("wh_1").await.unwrap_err(),
            orion.prepare().await.unwrap_err(),
            orion.create(&desired(), "attempt").await.unwrap_err(),
        ];
        tokio::time::resume();
        for failure in failures {
            assert_eq!((failure.class, failure.sent, failure.status), (class, Sent::No, None), "{code} {failure:?}");
            assert!(failure.is_known_refusal() && failure.message.contains("log"), "{failure:?}");
            // It speaks of the answer to the login: the refusals of the simulator are in the form of Orion's API.
            assert_eq!(failure.json, code != 299, "{failure:?}");
            assert_eq!(failure.is_of_the_connection(), is_of_the_connection, "{code}");
        }
        assert_eq!(world.logins(), 1, "{code}: those who come at once share it");
        assert_eq!(world.sim.requests().len(), 1);
        assert_eq!(orion.capabilities(), Capabilities::default(), "{code}");
        // It did not teach that lists have no limit either.
        world.sim.clear_faults();
        later(Duration::from_secs(60)).await;
        orion.list().await.unwrap();
        assert!(world.sim.requests().iter().any(|request| request.path.contains("limit=100")), "{code}");
    }
}

#[tokio::test]
async fn orion_says_how_long_no_login_is_wanted() {
    let world = World::new(|_| {}).await;
    world.sim.add_fault(Fault::on(Operation::Login, status(429, Some("90"))).once());
    for outcome in world.burst(50).await {
        let failure = outcome.unwrap_err();
        let seconds = failure.retry_after.unwrap().as_secs();
        assert!(failure.class == FailureClass::RateLimited && (80..=90).contains(&seconds), "{failure:?}");
    }
    later(Duration::from_secs(80)).await;
    let left = world.orion.list().await.unwrap_err().retry_after.unwrap();
    assert!(left <= Duration::from_secs(10), "{left:?}");
    assert_eq!(world.logins(), 1);
    later(Duration::from_secs(11)).await;
    world.all_well(50).await;
    assert_eq!(world.logins(), 2);
}

#[tokio::test]
async fn an_orion_that_is_away_is_trouble_of_the_connection() {
    let world = World::new(|_| {}).await;
    world.sim.stop().await.unwrap();
    for outcome in world.burst(50).await {
        let failure = outcome.unwrap_err();
        assert_eq!((failure.class, failure.sent), (FailureClass::Unreachable, Sent::No));
        assert!(failure.is_of_the_connection());
        assert_eq!(failure.message, "Orion at 127.0.0.1 refused the connection", "it reads the same for all calls");
    }
    world.sim.restart().await.unwrap();
    later(Duration::from_secs(1)).await;
    world.all_well(50).await;
    world.sim.revoke_tokens();
    world.sim.add_fault(Fault::on(Operation::Login, Action::Stall));
    let auth = Arc::new(GivenCell::new("the Secret orion", Ok(given(PASSWORD))));
    let hasty = ConnectionConfig { auth, timeout: Duration::from_millis(300), ..config(&world.sim.url()) };
    let failure = HttpOrion::new(hasty).unwrap().list().await.unwrap_err();
    assert_eq!((failure.class, failure.sent), (FailureClass::Timeout, Sent::No));
    assert!(failure.is_of_the_connection() && failure.message.starts_with("cannot log in: "), "{failure:?}");
}

pub(crate) fn given(password: &str) -> Given {
    Given::Password(Password { username: USERNAME.into(), password: password.into() })
}

#[tokio::test]
async fn what_a_secret_holds_is_used_as_soon_as_it_is_there() {
    let world = World::new(|switches| switches.static_tokens = vec!["static".into()]).await;
    let problem = "Secret orion does not exist: create it with the keys username and password";
    let cell = Arc::new(GivenCell::new("the keys username and password of Secret orion", Err(problem.into())));
    let auth = Arc::clone(&cell);
    let orion = HttpOrion::new(ConnectionConfig { auth, ..config(&world.sim.url()) }).unwrap();
    let missing = orion.list().await.unwrap_err();
    assert_eq!((missing.class, missing.sent), (FailureClass::Unauthorized, Sent::No));
    assert_eq!(missing.message, problem);
    cell.set(Ok(given("wrong")));
    let wrong = orion.list().await.unwrap_err().message;
    assert!(wrong.ends_with("check the keys username and password of Secret orion"), "{wrong}");
    cell.set(Ok(given("wrong")));
    assert_eq!(orion.list().await.unwrap_err().message, wrong);
    assert_eq!((world.logins(), orion.credentials_epoch().await), (1, 1));
    cell.set(Ok(given(PASSWORD)));
    orion.list().await.unwrap();
    assert_eq!((world.logins(), orion.credentials_epoch().await), (2, 2));
    // From a password to a token, and to nothing at all.
    cell.set(Ok(Given::Token("static".into())));
    orion.list().await.unwrap();
    cell.set(Ok(Given::Nothing));
    assert_eq!(orion.list().await.unwrap_err().status, Some(401));
    assert_eq!((world.logins(), orion.credentials_epoch().await), (2, 4));
}

/// A login that was begun with what is outdated by now does not win over what is newer.
#[tokio::test]
async fn a_change_during_a_login_counts() {
    let world = World::new(|_| {}).await;
    let cell = Arc::new(GivenCell::new("Secret orion", Ok(given("wrong"))));
    let auth = Arc::clone(&cell);
    let orion = HttpOrion::new(ConnectionConfig { auth, ..config(&world.sim.url()) }).unwrap();
    world.sim.add_fault(Fault::on(Operation::Login, Action::LatencyMs(100)));
    let slow = async {
        while world.logins() == 0 {
            tokio::task::yield_now().await;
        }
        cell.set(Ok(given(PASSWORD)));
        join_all((0..50).map(|_| orion.list())).await
    };
    let (first, rest) = tokio::join!(orion.list(), slow);
    assert_eq!(first.unwrap_err().class, FailureClass::Unauthorized);
    for outcome in rest {
        outcome.unwrap();
    }
    assert_eq!(world.logins(), 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_during_its_login_holds_nobody_up() {
    let world = World::new(|_| {}).await;
    world.sim.add_fault(Fault::on(Operation::Login, Action::Stall).once());
    let orion = Arc::clone(&world.orion);
    let first = tokio::spawn(async move { orion.list().await.map(drop) });
    while world.logins() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    world.all_well(50).await;
    assert_eq!(world.logins(), 2);
}

#[tokio::test]
async fn a_login_is_never_part_of_a_post() {
    let world = World::new(|_| {}).await;
    let orion = &world.orion;
    orion.prepare().await.unwrap();
    assert_eq!(world.logins(), 1);
    orion.create(&desired(), "one").await.unwrap();
    world.sim.revoke_tokens();
    for _ in 0..2 {
        let refused = orion.create(&desired(), "two").await.unwrap_err();
        assert_eq!((refused.class, refused.status), (FailureClass::Unauthorized, Some(401)));
        assert_eq!(world.logins(), 1, "a create does with what was prepared");
    }
    orion.prepare().await.unwrap();
    assert_eq!(world.logins(), 2);
    orion.create(&desired(), "three").await.unwrap();
    assert_eq!(world.sim.webhooks().len(), 2);
}

#[tokio::test]
async fn short_lives_do_not_hinder() {
    let world = World::new(|switches| {
        switches.expires_in = true;
        switches.token_lifetime_ms = 20_000;
    })
    .await;
    for _ in 0..5 {
        world.all_well(50).await;
        later(Duration::from_secs(17)).await;
    }
    assert_eq!((world.logins(), world.refused()), (5, 0));
}
