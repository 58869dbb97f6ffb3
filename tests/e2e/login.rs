//! The default connection with a username and a password.

use devkit::sim::{Config, Operation};

use super::world::{message, run_with, spec, until};

const PASSWORD: &str = "pass-w0rd-of-the-tests";

#[test]
fn many_webhooks_log_in_once_and_a_wrong_password_is_put_right_by_its_file() {
    const MANY: usize = 40;
    let config = Config { username: "ada".into(), password: PASSWORD.into(), ..Config::default() };
    run_with(config, async |world| {
        let directory = tempfile::tempdir().unwrap();
        let (username, password) = (directory.path().join("username"), directory.path().join("password"));
        std::fs::write(&username, "ada\n").unwrap();
        std::fs::write(&password, "not-the-pass-w0rd").unwrap();
        let files =
            ["--orion-username-file", username.to_str().unwrap(), "--orion-password-file", password.to_str().unwrap()];
        let operator = world.operator(&files).await;
        let names = || (0..MANY).map(|n| format!("hook-{n}"));
        for name in names() {
            world.create(&name, spec(&name)).await;
        }
        for name in names() {
            let refused = world.ready(&name, "False", "Unauthorized").await;
            assert!(message(&refused).contains("--orion-password-file"), "{}", message(&refused));
        }
        assert_eq!((world.calls(Operation::Login), world.calls(Operation::Create)), (1, 0));
        std::fs::write(&password, PASSWORD).unwrap();
        for name in names() {
            world.synced(&name).await;
        }
        assert_eq!((world.calls(Operation::Login), world.calls(Operation::Create)), (2, MANY as u64));
        world.sim.revoke_tokens();
        for name in names() {
            world.annotate(&name, "reconcile.fluxcd.io/requestedAt", "now").await;
        }
        until("one more login for all", async || (world.calls(Operation::Login) > 2).then_some(())).await;
        for name in names() {
            world.synced(&name).await;
        }
        assert_eq!(world.calls(Operation::Login), 3);
        let log = operator.log();
        for secret in [PASSWORD, "not-the-pass-w0rd"] {
            assert!(!log.contains(secret) && !log.contains(&secret.chars().take(8).collect::<String>()), "{secret}");
        }
    });
}
