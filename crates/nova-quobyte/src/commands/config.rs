//! `config show`

use serde_json::{Map, Value, json};

use super::present::display_value;
use crate::output::{Answer, JSON_VERSION};
use crate::settings::{Found, FoundBy, OptionValue, Settings, Source};

pub(super) fn show(settings: &Settings) -> Answer {
    let Found { by, files, values } = settings.found();
    let options: Map<_, _> =
        values.iter().map(|option| (option.name.to_owned(), option_json(option))).collect();
    let json = json!({
        "version": JSON_VERSION,
        "files": files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "found_by": Some(by.as_str()).filter(|_| !files.is_empty()),
        "options": options,
    });
    let mut text = match files[..] {
        [] => "no configuration file was found\n".to_owned(),
        _ => {
            let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
            format!("configuration {}: {}\n", found_by(*by), names.join(", "))
        }
    };
    let rows: Vec<_> = values
        .iter()
        .map(|option| (option.name, display_value(&option.value), source_text(&option.source)))
        .collect();
    let name_width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let value_width = rows.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0);
    for (name, value, source) in rows {
        text.push_str(&format!("{name:name_width$}  {value:value_width$}  {source}\n"));
    }
    Answer::new(json, text)
}

fn found_by(by: FoundBy) -> &'static str {
    match by {
        FoundBy::CommandLine => "named with --config",
        FoundBy::Environment => "named in $NOVA_QUOBYTE_CONFIG",
        FoundBy::Place => "found",
    }
}

fn option_json(option: &OptionValue) -> Value {
    let (source, from) = match &option.source {
        Source::CommandLine => ("command_line", Value::Null),
        Source::Environment(variable) => ("environment", json!(variable)),
        Source::File(path) => ("file", json!(path.display().to_string())),
        Source::Default => ("default", Value::Null),
    };
    json!({"value": option.value, "source": source, "from": from})
}

fn source_text(source: &Source) -> String {
    match source {
        Source::CommandLine => "command line".to_owned(),
        Source::Environment(variable) => format!("${variable}"),
        Source::File(path) => path.display().to_string(),
        Source::Default => "default".to_owned(),
    }
}
