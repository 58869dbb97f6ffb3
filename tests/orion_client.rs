//! The Orion client against polite servers (wiremock) and impolite ones (bare sockets).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by a panic")]

mod orion_client {
    pub(crate) mod impolite;
    pub(crate) mod paging;
    pub(crate) mod polite;
    pub(crate) mod secrets;
    pub(crate) mod support;
}
