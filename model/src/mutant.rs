//! Mistakes, each made on purpose, in how steps are carried out or in what the plan is told. Every one must be found.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// An id is recorded although the attempt is no longer ours.
    RecordsAnyway,
    /// What was read from Orion is used again after a write.
    ReadsOnce,
    /// Webhooks that look like ours are taken for ours.
    TrustsLookAlikes,
    /// A list that is known to leave something out is taken for complete.
    TrustsFilteredLists,
    /// Orion's list is read before the Webhook: an old list passes for a new one.
    ListsFirst,
    /// No settle time: a create is resolved at once.
    NoQuarantine,
    /// A lost answer to a POST is taken for a refusal.
    LostIsRefused,
    /// The POST does not wait for the apiserver's fresh word that the attempt is ours.
    PostsUnconfirmed,
    /// The attempt is written without the resourceVersion test.
    NoCompareAndSwap,
    /// The attempt is written without the finalizer.
    NoFinalizer,
    /// The POST is sent without an attempt being recorded.
    NoAttempt,
    /// Nothing is marked as ours.
    NoMarker,
    /// A failed delete counts as done.
    FailedDeleteIsDone,
    /// One 404 is enough to create anew.
    OneLookIsEnough,
    /// Copies are left alone.
    CopiesStay,
    /// One list without the marker is enough to create anew.
    OneListIsEnough,
    /// A finalizer with neither attempt nor id is taken for a Webhook that was never created.
    BareIsFree,
    /// What an edited spec declares is taken for what was sent before the edit.
    EditHidesWhatWasSent,
}

impl Mutant {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::RecordsAnyway,
        Self::ReadsOnce,
        Self::TrustsLookAlikes,
        Self::TrustsFilteredLists,
        Self::ListsFirst,
        Self::NoQuarantine,
        Self::LostIsRefused,
        Self::PostsUnconfirmed,
        Self::NoCompareAndSwap,
        Self::NoFinalizer,
        Self::NoAttempt,
        Self::NoMarker,
        Self::FailedDeleteIsDone,
        Self::OneLookIsEnough,
        Self::CopiesStay,
        Self::OneListIsEnough,
        Self::BareIsFree,
        Self::EditHidesWhatWasSent,
    ];
}
