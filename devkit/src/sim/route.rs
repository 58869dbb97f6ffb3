//! Which route a request means, and what there is on it.

use http::Method;
use percent_encoding::percent_decode_str;

use super::{
    config::{Config, OpenApi},
    fault::Operation,
};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Login,
    Collection,
    Item(String),
    Openapi,
    /// The same path with, or without, a slash at its end.
    OtherSlash(String),
    Unknown,
}

impl Target {
    /// What a path (still percent-encoded) names.
    pub(super) fn of(config: &Config, path: &str) -> Self {
        let target = Self::exact(config, path);
        if target != Self::Unknown {
            return target;
        }
        let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        // As FastAPI: only where the other path has any method at all.
        if Self::exact(config, &other).methods(config).is_empty() { Self::Unknown } else { Self::OtherSlash(other) }
    }

    fn exact(config: &Config, path: &str) -> Self {
        let under = path.strip_prefix(config.base());
        if path == "/openapi.json" || under == Some("/openapi.json") {
            return Self::Openapi;
        }
        match under {
            Some("/auth/login") => Self::Login,
            Some("/webhooks/") => Self::Collection,
            Some(rest) => match rest.strip_prefix("/webhooks/") {
                Some(id) if !id.contains('/') => Self::Item(percent_decode_str(id).decode_utf8_lossy().into_owned()),
                _ => Self::Unknown,
            },
            None => Self::Unknown,
        }
    }

    /// What a method on this path asks for, switched on or not.
    pub(super) fn operation(&self, method: &Method) -> Operation {
        match (self, method.as_str()) {
            (Self::Login, "POST") => Operation::Login,
            (Self::Collection, "POST") => Operation::Create,
            (Self::Collection, "GET") => Operation::List,
            (Self::Item(_), "GET") => Operation::Get,
            (Self::Item(_), "PUT") => Operation::Put,
            (Self::Item(_), "PATCH") => Operation::Patch,
            (Self::Item(_), "DELETE") => Operation::Delete,
            (Self::Openapi, "GET") => Operation::Openapi,
            _ => Operation::Other,
        }
    }

    /// The methods that are switched on.
    pub(super) fn methods(&self, config: &Config) -> Vec<&'static str> {
        let switches: &[(bool, &'static str)] = match self {
            Self::Login => &[(true, "POST")],
            Self::Collection => &[(config.list, "GET"), (true, "POST")],
            Self::Item(_) => {
                &[(config.get, "GET"), (config.put, "PUT"), (config.patch, "PATCH"), (config.delete, "DELETE")]
            }
            Self::Openapi | Self::OtherSlash(_) | Self::Unknown => &[],
        };
        switches.iter().filter(|(on, _)| *on).map(|(_, method)| *method).collect()
    }
}

/// Is the OpenAPI document at this path?
pub(super) fn serves_openapi(config: &Config, path: &str) -> bool {
    match config.openapi {
        OpenApi::Root => path == "/openapi.json",
        OpenApi::Prefix | OpenApi::Mounted => path.strip_prefix(config.base()) == Some("/openapi.json"),
        OpenApi::Off => false,
    }
}
