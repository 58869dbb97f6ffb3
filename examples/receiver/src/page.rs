//! The page that shows what was received. It works without a script.

use std::fmt::Write;

use crate::events::Event;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="5">
<title>Receiver</title>
<style>
body { margin: 0 auto; max-width: 46rem; padding: 2rem 1.25rem; font: 15px/1.5 system-ui, sans-serif;
  background: light-dark(#f6f7fa, #0e1117); color: light-dark(#1a2130, #e6eaf2); }
h1 { font-size: 1.25rem; margin: 0; }
p { color: light-dark(#566075, #a0aabd); margin: .25rem 0 1.5rem; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .75rem; }
li { background: light-dark(#fff, #161b24); border: 1px solid light-dark(#dfe3ea, #2b3341); border-radius: 10px;
  padding: .7rem 1rem; }
time { color: light-dark(#566075, #a0aabd); font-size: .82rem; }
pre { margin: .3rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font: .82rem/1.5 ui-monospace, monospace; }
a { color: light-dark(#4338ca, #a5b0ff); }
</style>
</head>
<body>
<h1>What Orion sent</h1>
"#;

/// The page for these events.
pub(crate) fn render(events: &[Event]) -> String {
    let mut page = String::from(HEAD);
    if events.is_empty() {
        page.push_str("<p>Nothing yet. The page looks again every five seconds.</p>\n");
    } else {
        page.push_str("<p>Newest first; also as <a href=\"/events\">JSON</a>. The page looks again every five seconds.</p>\n<ol>\n");
        for Event { received_at, payload } in events {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "<li><time>{received_at}</time><pre>{}</pre></li>", escape(&format!("{payload:#}")));
        }
        page.push_str("</ol>\n");
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Text as HTML text. What Orion sends is not ours to trust.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn markup_in_an_event_stays_text() {
        let event = Event { received_at: "now".into(), payload: json!({"a": "<script>&"}) };
        let page = render(&[event]);
        assert!(page.contains("&lt;script&gt;&amp;") && !page.contains("<script>"));
        assert!(render(&[]).contains("Nothing yet"));
    }
}
