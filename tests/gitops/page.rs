//! The page about GitOps.
