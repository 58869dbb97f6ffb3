//! What a setting is called where it is to be put right: a flag, or a field of a connection. Pure.

/// The names of the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) url: &'static str,
    pub(super) prefix: &'static str,
    pub(super) ca: &'static str,
    pub(super) credentials: &'static str,
    pub(super) login_path: &'static str,
    pub(super) scopes: &'static str,
    pub(super) timeout: &'static str,
    pub(super) rate_limit: &'static str,
}

/// Of the default connection.
pub(super) const FLAGS: Names = Names {
    url: "--orion-url",
    prefix: "--orion-path-prefix",
    ca: "--orion-ca-file",
    credentials: "--orion-token-file, or --orion-username-file and --orion-password-file",
    login_path: "--orion-login-path",
    scopes: "--orion-scopes",
    timeout: "--orion-timeout",
    rate_limit: "--orion-rate-limit",
};

/// Of a connection that is an object.
pub(super) const FIELDS: Names = Names {
    url: "spec.url",
    prefix: "spec.pathPrefix",
    ca: "spec.caSecretRef",
    credentials: "the Secret that spec.auth names",
    login_path: "spec.auth.passwordSecretRef.loginPath",
    scopes: "spec.auth.passwordSecretRef.scopes",
    timeout: "spec.timeout",
    rate_limit: "spec.rateLimit",
};
