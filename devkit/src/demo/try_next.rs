//! What a person can try once everything runs.

use receiver::Receiver;

use super::operator::Operator;
use super::screen::Screen;
use crate::control_plane::ControlPlane;
use crate::sim::Sim;

/// What the commands have to name.
pub(super) struct Facts<'a> {
    pub(super) plane: &'a ControlPlane,
    pub(super) sim: &'a Sim,
    pub(super) receiver: &'a Receiver,
    pub(super) operator: &'a Operator,
    pub(super) name: &'a str,
    pub(super) presence: &'a str,
    /// Name and key.
    pub(super) secret: (&'a str, &'a str),
}

pub(super) fn show(screen: &Screen, facts: &Facts<'_>) {
    let Facts { plane, sim, receiver, operator, name, presence, secret: (secret, key) } = facts;
    screen.heading("It all keeps running. To look at:");
    screen.say(&format!("Orion (simulated)  {}/", sim.url()));
    screen.say(&format!("receiver           {}", receiver.url()));
    screen.say(&format!("operator's log     tail -f {}", operator.log().display()));
    screen.say(&format!("its metrics        curl {}", operator.metrics));

    screen.heading("To try, in another terminal:");
    let commands = [
        format!("export KUBECONFIG={}", plane.admin_kubeconfig().display()),
        format!("kubectl() {{ '{}' \"$@\"; }}", plane.kubectl().as_std().get_program().to_string_lossy()),
        "kubectl get webhooks -o wide --watch".into(),
    ];
    for command in commands {
        screen.paste(&command);
    }
    screen.say("\nEdit it, and Orion follows:");
    screen.paste(&format!("kubectl patch webhook {name} --type=merge -p '{{\"spec\":{{\"userId\":\"user-43\"}}}}'"));
    screen.say("\nRotate the Secret: Orion gets the new value within seconds (the receiver, which knows only\nthe old one, then answers 401):");
    screen.paste(&format!("kubectl patch secret {secret} -p '{{\"stringData\":{{\"{key}\":\"a-new-value\"}}}}'"));
    screen.say("\nSend another event:");
    screen.paste(&format!("curl -d '{{\"presence_name\":\"{presence}\"}}' {}/_sim/events", sim.url()));
    screen.say("\nDelete the webhook behind the operator's back, ask it to look, and see it heal:");
    screen.paste(&format!("curl -X DELETE {}/_sim/webhooks", sim.url()));
    screen.paste(&format!("kubectl annotate webhook {name} --overwrite reconcile.fluxcd.io/requestedAt=\"$(date)\""));
    screen.say("\nDelete it, and it goes from Orion too:");
    screen.paste(&format!("kubectl delete webhook {name}"));
    screen.heading("Ctrl-C stops everything and leaves nothing behind.");
}
