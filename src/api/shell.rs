//! Words of commands that people paste into a shell.

/// In single quotes, whatever is in it.
#[must_use]
pub fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same, without quotes where every shell takes it as it is.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'=' | b'/' | b':');
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { shell_quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_it_for_one_word() {
        for text in ["a", "retry=tok", "wh_1.~-", "", "it's", "$(id)", "`id`", "a b;c", "'", "<id>", r"\'"] {
            for word in [shell_quoted(text), shell_word(text)] {
                let script = format!("printf %s. {word}");
                let echo = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
                assert_eq!(String::from_utf8(echo.stdout).unwrap(), format!("{text}."), "{word}");
            }
        }
        assert_eq!((shell_word("retry=tok").as_str(), shell_word("a;b").as_str()), ("retry=tok", "'a;b'"));
    }
}
