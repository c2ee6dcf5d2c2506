//! Findings as people and programs read them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Finding, Level, RULES, Report};

/// For a terminal.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for Finding { code, level, file, line, text: what, instead } in &report.findings {
        // Written to a string, which cannot fail.
        let _ = writeln!(text, "{file}:{line}: {} {code}: {what}", level.as_str());
        if !instead.is_empty() {
            let _ = writeln!(text, "    {instead}");
        }
    }
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    let files = counted(report.files.len(), "new file");
    let _ = writeln!(text, "{files}: {}, {}", counted(errors, "error"), counted(warnings, "warning"));
    text
}

/// The path of a file of the folder, as a program finds it.
fn path(report: &Report, finding: &Finding) -> String {
    format!("{}/{}", report.folder.trim_end_matches('/'), finding.file).replace('\\', "/")
}

/// For GitHub, which shows them beside the lines of a change.
#[must_use]
pub fn github(report: &Report) -> String {
    let message = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| message(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for finding in &report.findings {
        let level = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "notice",
        };
        let (file, line, code) = (property(&path(report, finding)), finding.line, &finding.code);
        let title = property(code);
        let what = message(&format!("{}\n{}", finding.text, finding.instead));
        let _ = writeln!(text, "::{level} file={file},line={line},title={title}::{}", what.trim_end_matches("%0A"));
    }
    text
}

/// As SARIF 2.1.0.
#[must_use]
pub fn sarif(report: &Report) -> Value {
    let level = |level: Level| match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "note",
    };
    let mut rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.code,
                "shortDescription": { "text": rule.title },
                "help": { "text": rule.instead },
                "defaultConfiguration": { "level": level(rule.level) },
                "properties": { "tags": [rule.analyzer] },
            })
        })
        .collect();
    let mut ids: Vec<String> = RULES.iter().map(|rule| rule.code.to_owned()).collect();
    let mut results = Vec::new();
    for finding in &report.findings {
        let place = ids.iter().position(|id| *id == finding.code).unwrap_or_else(|| {
            let name = finding.code.trim_start_matches("squawk:");
            rules.push(json!({
                "id": finding.code,
                "shortDescription": { "text": name.replace('-', " ") },
                "defaultConfiguration": { "level": level(finding.level) },
                "properties": { "tags": ["squawk"] },
            }));
            ids.push(finding.code.clone());
            ids.len() - 1
        });
        let uri: String = url::form_urlencoded::byte_serialize(path(report, finding).as_bytes()).collect();
        let uri = uri.replace("%2F", "/").replace('+', "%20");
        let message = format!("{}. {}", finding.text, finding.instead);
        results.push(json!({
            "ruleId": finding.code,
            "ruleIndex": place,
            "level": level(finding.level),
            "message": { "text": message.trim() },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": uri },
                "region": { "startLine": finding.line },
            }}],
        }));
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "martello",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_reads_as_its_own_is_escaped() {
        let finding = Finding {
            code: "squawk:ban-char-field".to_owned(),
            level: Level::Warning,
            file: "1_a,b:c.sql".to_owned(),
            line: 7,
            text: "100%\nof it: yes, it".to_owned(),
            instead: String::new(),
        };
        let report = Report { folder: "m/".to_owned(), files: Vec::new(), findings: vec![finding] };
        let expected =
            "::warning file=m/1_a%2Cb%3Ac.sql,line=7,title=squawk%3Aban-char-field::100%25%0Aof it: yes, it\n";
        assert_eq!(github(&report), expected);
    }
}
