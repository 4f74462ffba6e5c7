//! The dashboard's page.

use std::time::Duration;

use humantime::format_duration;

use crate::api_client::ApiAddress;
use crate::dashboard::NoFigures;
use crate::statistics::Statistics;

/// Everything before the first thing that changes. The page reloads itself, so it needs no script.
const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="5">
<title>Orders dashboard</title>
<style>
:root { color-scheme: light dark; --text: #1b1f24; --ground: #ffffff; --line: #c4cad1; --good: #116329; --bad: #a40e26; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ed; --ground: #14181d; --line: #444c56; --good: #7ee2a0; --bad: #ffa198; }
}
body { margin: 0; background: var(--ground); color: var(--text); font: 1.05rem/1.5 system-ui, sans-serif; }
main { max-width: 36rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { margin: 0 0 1rem; font-size: 1.8rem; }
h2 { margin: 2rem 0 0.5rem; font-size: 1.2rem; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 0.5rem 0.25rem; border-bottom: 1px solid var(--line); text-align: left; }
th { font-weight: normal; }
th:last-child { text-align: right; }
td { text-align: right; font-weight: 600; font-variant-numeric: tabular-nums; }
.api { overflow-wrap: anywhere; font-weight: 600; }
.reachable { color: var(--good); }
.unreachable { color: var(--bad); }
</style>
</head>
<body>
<main>
<h1>Orders dashboard</h1>
"#;

const FOOT: &str = "<p>This page loads itself again every 5 seconds.</p>\n</main>\n</body>\n</html>\n";

/// The page, with the figures or with the reason why there are none.
#[must_use]
pub fn render(api: &ApiAddress, figures: &Result<Statistics, NoFigures>) -> String {
    let body = match figures {
        Ok(statistics) => table(api, statistics),
        Err(reason) => {
            let reason = escape(&reason.to_string());
            format!("<p class=\"api unreachable\" role=\"status\">API: not reachable: {reason}</p>\n")
        }
    };
    format!("{HEAD}{body}{FOOT}")
}

fn table(api: &ApiAddress, statistics: &Statistics) -> String {
    let uptime = format_duration(Duration::from_secs(statistics.uptime_seconds)).to_string();
    let rows: String = [
        ("Received", statistics.received.to_string()),
        ("Processed", statistics.processed.to_string()),
        ("Pending", statistics.pending.to_string()),
        ("API running for", uptime),
    ]
    .iter()
    .map(|(name, figure)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(figure)))
    .collect();
    format!(
        "<p class=\"api reachable\" role=\"status\">API: reachable at {}</p>\n\
         <h2 id=\"figures\">Figures</h2>\n\
         <table aria-labelledby=\"figures\">\n\
         <thead><tr><th scope=\"col\">Figure</th><th scope=\"col\">Value</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n",
        escape(&api.to_string())
    )
}

/// Makes a text safe between tags and within quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_escaped() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
