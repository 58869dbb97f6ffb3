//! The Orion client against polite servers (wiremock), impolite ones (bare sockets) and a simulated Orion (logins).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by a panic")]

mod orion_client {
    pub(crate) mod address;
    pub(crate) mod impolite;
    pub(crate) mod login;
    pub(crate) mod login_http;
    pub(crate) mod paging;
    pub(crate) mod polite;
    pub(crate) mod secrets;
    pub(crate) mod support;
}
