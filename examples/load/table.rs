//! Reports into one table: least, middle and most of each figure, and the ratio to the floor.
//!
//! A run in which the load itself was late measured the machine: it is counted as disturbed, and
//! where there are pairs that weren't, ratios are of those alone.

use std::fmt::Write;

use serde_json::Value;

use crate::stats::LATE;

/// One figure of one case: what the gateway's runs and the floor's gave, in the order of the runs.
struct Row {
    case: String,
    figure: String,
    gateway: Vec<Run>,
    floor: Vec<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    value: f64,
    disturbed: bool,
}

/// Reads one report a line.
pub fn markdown(lines: &str) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for report in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let case = format!("{} {}", report["case"].as_str().unwrap_or("?"), report["count"]);
        let late = report["report"]["own lateness p99 ms"].as_f64();
        let disturbed = late.is_some_and(|late| late > LATE);
        for (figure, value) in report["report"].as_object().into_iter().flatten() {
            let Some(value) = value.as_f64() else { continue };
            let at = rows.iter().position(|r| r.case == case && r.figure == *figure);
            let at = at.unwrap_or_else(|| {
                rows.push(Row {
                    case: case.clone(),
                    figure: figure.clone(),
                    gateway: Vec::new(),
                    floor: Vec::new(),
                });
                rows.len() - 1
            });
            let row = &mut rows[at];
            if report["of"] == "gateway" { &mut row.gateway } else { &mut row.floor }
                .push(Run { value, disturbed });
        }
    }
    let mut text = String::from(
        "| case | figure | gateway: least / middle / most | floor, or what it is held against: least / middle / most | ratio, run by run: middle (least to most) |\n\
         |---|---|---|---|---|\n",
    );
    let mut last = String::new();
    for row in &rows {
        let case = if row.case == last { "" } else { row.case.as_str() };
        let _ = writeln!(
            text,
            "| {case} | {} | {} | {} | {} |",
            row.figure,
            three(&row.gateway),
            three(&row.floor),
            ratio(row)
        );
        last.clone_from(&row.case);
    }
    text
}

fn sorted(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    Some((*values.first()?, values[values.len() / 2], *values.last()?))
}

fn three(runs: &[Run]) -> String {
    let disturbed = runs.iter().filter(|run| run.disturbed).count();
    let mark = if disturbed > 0 { format!(" ({disturbed} disturbed)") } else { String::new() };
    match sorted(runs.iter().map(|run| run.value).collect()) {
        None => "–".to_owned(),
        Some((least, _, most)) if least == most => number(least) + &mark,
        Some((least, middle, most)) => {
            format!("{} / **{}** / {}{mark}", number(least), number(middle), number(most))
        }
    }
}

fn ratio(row: &Row) -> String {
    let pairs = || row.gateway.iter().zip(&row.floor).filter(|(_, floor)| floor.value != 0.0);
    let all = pairs().count();
    let quiet = pairs().filter(|(gateway, floor)| !gateway.disturbed && !floor.disturbed);
    let quiet: Vec<f64> = quiet.map(|(gateway, floor)| gateway.value / floor.value).collect();
    let (of, ratios) = match quiet.len() {
        0 if all > 0 => {
            let ratios = pairs().map(|(gateway, floor)| gateway.value / floor.value);
            (", all disturbed".to_owned(), ratios.collect())
        }
        n if n < all => (format!(", {n} of {all} pairs"), quiet),
        _ => (String::new(), quiet),
    };
    match sorted(ratios) {
        Some((least, middle, most)) => format!("**{middle:.2}** ({least:.2} to {most:.2}{of})"),
        None => String::new(),
    }
}

fn number(value: f64) -> String {
    let digits = if value.abs() >= 100.0 || value == value.trunc() { 0 } else { 2 };
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain.split_once('.').map_or((plain.as_str(), ""), |(w, r)| (w, r));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}
