//! Which build of the program this is.

use std::sync::LazyLock;

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the program was built from, where its build says so (`ORION_OPERATOR_COMMIT`).
pub const COMMIT: Option<&str> = option_env!("ORION_OPERATOR_COMMIT");

static LONG: LazyLock<String> = LazyLock::new(|| long(COMMIT));

/// What `--version` says.
pub(crate) fn told() -> &'static str {
    &LONG
}

fn long(commit: Option<&str>) -> String {
    match commit.filter(|commit| !commit.is_empty()) {
        Some(commit) => format!("{VERSION} (commit {commit})"),
        None => VERSION.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_told_where_it_is_known() {
        assert_eq!(long(Some("abc123")), format!("{VERSION} (commit abc123)"));
        assert_eq!(long(Some("")), VERSION);
        assert_eq!(long(None), VERSION);
    }
}
