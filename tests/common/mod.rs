//! What several tests share.

pub(crate) mod webhook_cases;
