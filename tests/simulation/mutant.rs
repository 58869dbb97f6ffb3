//! Mistakes that an operator could make, as switches around the shipped code: the suite must find each.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A POST that failed is sent once more.
    PostIsRetried,
    /// A time-out of a POST counts as a known refusal.
    TimeoutIsRefusal,
    /// Webhooks are created without their marker.
    NoMarker,
    /// An update drops the marker.
    UpdateDropsMarker,
    /// A list that is not complete counts as one that is.
    FlawIsHidden,
    /// A list is answered with the one before it.
    ListIsOld,
    /// A DELETE that failed counts as done.
    DeleteNeverFails,
    /// The finalizer goes before the DELETE.
    ReleasedFirst,
    /// The status is written whatever its tests say.
    GuardIsIgnored,
    /// An attempt is begun whatever its test says.
    VersionIsIgnored,
    /// The attempt is not recorded before its POST.
    AttemptIsNotRecorded,
    /// A create is not given time to settle.
    NoSettling,
}

pub const ALL: [Mutant; 12] = [
    Mutant::PostIsRetried,
    Mutant::TimeoutIsRefusal,
    Mutant::NoMarker,
    Mutant::UpdateDropsMarker,
    Mutant::FlawIsHidden,
    Mutant::ListIsOld,
    Mutant::DeleteNeverFails,
    Mutant::ReleasedFirst,
    Mutant::GuardIsIgnored,
    Mutant::VersionIsIgnored,
    Mutant::AttemptIsNotRecorded,
    Mutant::NoSettling,
];

impl Mutant {
    /// Takes out of a JSON patch what this mistake leaves out.
    pub fn spoil(self, path: &str, operations: &mut Vec<serde_json::Value>) {
        let is_status = path.ends_with("/status");
        operations.retain(|operation| {
            let is_test = operation["op"] == "test";
            let is_attempt = operation.to_string().contains("create-attempt");
            match self {
                Self::GuardIsIgnored => !(is_status && is_test),
                Self::VersionIsIgnored => is_status || !is_test,
                Self::AttemptIsNotRecorded => !is_attempt,
                Self::PostIsRetried
                | Self::TimeoutIsRefusal
                | Self::NoMarker
                | Self::UpdateDropsMarker
                | Self::FlawIsHidden
                | Self::ListIsOld
                | Self::DeleteNeverFails
                | Self::ReleasedFirst
                | Self::NoSettling => true,
            }
        });
    }
}
