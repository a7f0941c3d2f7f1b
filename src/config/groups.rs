//! Reads `gag_groups.json`: phones that are rung together or in turn.
//!
//! A group that is read can be hunted: it has members, none twice, none of them a group.

use std::{io, time::Duration};

use super::{
    Group, Groups, GroupsFile, MAX_GROUP_MEMBERS, Strategy,
    file::read_text,
    item::Item,
    json::{Section, Sheet, entries},
    problem::Findings,
};
use crate::call::{MAX_EXTENSION, is_extension};

const KEYS: &[&str] = &["strategy", "members", "timeout", "rounds"];

/// How long phones of a group ring if the group doesn't say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest and shortest that a group can ring; an hour is longer than anyone listens.
const TIMEOUT: std::ops::RangeInclusive<f64> = 0.5..=3600.0;

const EXAMPLE: &str = r#"{"strategy": "ringall", "members": ["201", "202"], "timeout": 30}"#;

/// Reads the groups; what is wrong goes to `findings`.
pub(super) fn read(file: &GroupsFile, findings: &Findings) -> Groups {
    let path = file.path();
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            match file {
                // Most houses have no groups; `check` and the doctor say how many there are.
                GroupsFile::IfPresent(_) if missing => {}
                _ => findings.problem(
                    path,
                    0,
                    "",
                    format!("the groups file can't be read ({error})"),
                    "correct -g, or make the file readable for this user".to_owned(),
                ),
            }
            return Groups::new();
        }
    };
    parse(&Sheet::new(path, &text, findings))
}

pub(super) fn parse(sheet: &Sheet) -> Groups {
    let Some(object) = sheet.parse() else {
        return Groups::new();
    };
    let items = entries(sheet, &object);
    let names: Vec<&str> = items.iter().map(|item| item.key).collect();
    let group = |item: &Item| Some((item.key.to_owned(), group(item, &names)?));
    items.iter().filter_map(group).collect()
}

fn group(item: &Item, names: &[&str]) -> Option<Group> {
    let object = item.object(EXAMPLE)?;
    if !is_extension(item.key) {
        item.problem("can't be the name of a group", &name_rule());
    }
    let section = Section::new(item.sheet, object, KEYS);
    let strategy = strategy(item, &section);
    let members = members(item, &section, names);
    let timeout = match section.get("timeout") {
        Some(timeout) => timeout.seconds(TIMEOUT, DEFAULT_TIMEOUT.as_secs_f64()),
        None => Some(DEFAULT_TIMEOUT),
    };
    let rounds = section.get("rounds");
    if let (Some(rounds), Some(Strategy::RingAll)) = (rounds, strategy) {
        rounds.problem(
            "has no meaning for \"ringall\", where all ring at once",
            "remove it, or write \"strategy\": \"sequential\"",
        );
    }
    let rounds = match rounds {
        Some(rounds) => Some(rounds.whole(1..=1000, 3)?),
        None => None,
    };
    Some(Group { strategy: strategy?, members, timeout: timeout?, rounds })
}

fn strategy(item: &Item, section: &Section) -> Option<Strategy> {
    const CHOICE: &str = "write \"ringall\" (all at once) or \"sequential\" (in turn)";
    let Some(strategy) = section.get("strategy") else {
        item.problem("the group has no strategy", CHOICE);
        return None;
    };
    let text = strategy.text("ringall")?;
    match text.to_ascii_lowercase().as_str() {
        "ringall" => Some(Strategy::RingAll),
        "sequential" => Some(Strategy::Sequential),
        _ => {
            strategy.problem(
                &format!("\"{}\" isn't a strategy", text.escape_debug()),
                &format!("{CHOICE} instead"),
            );
            None
        }
    }
}

fn members(item: &Item, section: &Section, names: &[&str]) -> Vec<String> {
    let Some(list) = section.get("members") else {
        item.problem("the group has no members", "write \"members\": [\"201\", \"202\"]");
        return Vec::new();
    };
    let mut members: Vec<String> = Vec::new();
    let problem = |line, what: &str, remedy: &str| {
        item.sheet.problem(line, "members", &format!("group \"{}\": {what}", item.key), remedy);
    };
    let words = list.words("201");
    if words.is_empty() && list.value.as_array().is_some_and(|list| list.elements.is_empty()) {
        problem(list.line, "the list is empty", "write at least one extension: [\"201\"]");
    }
    if words.len() > MAX_GROUP_MEMBERS {
        problem(
            list.line,
            &format!("{} members are too many", words.len()),
            &format!("write at most {MAX_GROUP_MEMBERS}; Asterisk can dial several groups at once"),
        );
    }
    for word in words {
        let name = word.text;
        if name == item.key {
            problem(word.line, "the group names itself as a member", "write extensions instead");
        } else if names.contains(&name) {
            problem(
                word.line,
                &format!("the member \"{name}\" is a group, and groups can't hold groups"),
                "write that group's extensions instead",
            );
        } else if !is_extension(name) {
            let what = format!("\"{}\" can't be an extension", name.escape_debug());
            problem(word.line, &what, &name_rule());
        } else if members.iter().any(|member| member == name) {
            problem(word.line, &format!("\"{name}\" is a member twice"), "remove one of the two");
        } else {
            members.push(name.to_owned());
        }
    }
    members
}

fn name_rule() -> String {
    format!("write 1 to {MAX_EXTENSION} letters, digits or _.+*#@- instead")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parsed(text: &str) -> (Groups, String) {
        let findings = Findings::default();
        let groups = parse(&Sheet::new(Path::new("g"), text, &findings));
        (groups, findings.into_parts().0.to_string())
    }

    #[test]
    fn groups_are_read_with_their_defaults() {
        let (groups, problems) = parsed(
            r#"{ "_": "remark",
                 "G01": {"strategy": "sequential", "members": ["201", "202"], "rounds": 2},
                 "G02": {"strategy": "ringall", "members": ["201"], "timeout": 2.5},
                 "G03": null }"#,
        );
        assert_eq!(problems, "");
        assert_eq!(groups.len(), 2);
        assert_eq!(groups["G01"].timeout, DEFAULT_TIMEOUT);
        assert_eq!(groups["G01"].rounds, Some(2));
        assert_eq!(groups["G01"].members, ["201", "202"]);
        assert_eq!(groups["G02"].timeout, Duration::from_millis(2500));
        assert_eq!((groups["G02"].strategy, groups["G02"].rounds), (Strategy::RingAll, None));
    }

    #[test]
    fn every_fault_of_a_group_names_its_line_and_what_to_write() {
        let faults = [
            (r#"{"G": {"members": ["1"]}}"#, "g:1: \"G\": the group has no strategy; write"),
            (r#"{"G": {"strategy": "ringall"}}"#, "no members"),
            (r#"{"G": {"strategy": "ringall", "members": []}}"#, "the list is empty"),
            (r#"{"G": {"strategy": "roundrobin", "members": ["1"]}}"#, "isn't a strategy"),
            (r#"{"G": {"strategy": "ringall", "members": ["1", "1"]}}"#, "a member twice"),
            (r#"{"G": {"strategy": "ringall", "members": ["1", "G"]}}"#, "names itself"),
            (r#"{"G": {"strategy": "ringall", "members": [201]}}"#, "the number 201"),
            (r#"{"G": {"strategy": "ringall", "members": ["a b"]}}"#, "can't be an extension"),
            (r#"{"G": {"strategy": "ringall", "members": ["1"], "timeout": 0}}"#, "out of range"),
            (r#"{"G": {"strategy": "ringall", "members": ["1"], "timeout": -1}}"#, "out of range"),
            (r#"{"G": {"strategy": "ringall", "members": ["1"], "timeout": "30"}}"#, "a text"),
            (r#"{"G": {"strategy": "ringall", "members": ["1"], "rounds": 2}}"#, "no meaning"),
            (r#"{"G": {"strategy": "sequential", "members": ["1"], "rounds": 0}}"#, "whole number"),
            (r#"{"G": {"strategy": "ringall", "member": ["1"]}}"#, "did you mean \"members\""),
            (r#"{"a b": {"strategy": "ringall", "members": ["1"]}}"#, "the name of a group"),
            (r#"{"G": ["1"]}"#, "is a list; write an object"),
            ("{\"G\": null,\n\"G\": null}", "twice, in line 1 and in line 2"),
            ("[]", "doesn't hold a JSON object"),
            ("", "is empty"),
        ];
        for (text, expected) in faults {
            let (_, problems) = parsed(text);
            assert!(problems.contains(expected), "{text}\n{problems}");
        }
    }

    #[test]
    fn a_group_within_a_group_is_refused_at_the_line_where_it_stands() {
        let (_, problems) = parsed(
            "{\"A\": {\"strategy\": \"ringall\", \"members\": [\"1\",\n\"B\"]},\n\
             \"B\": {\"strategy\": \"ringall\", \"members\": [\"2\"]}}",
        );
        assert!(problems.starts_with("g:2: \"members\": group \"A\": the member \"B\" is a group"));
    }
}
