//! Reports into one table: least, middle and most of each figure, and the ratio to the floor.

use std::fmt::Write;

use serde_json::Value;

/// One figure of one case: what the gateway's runs and the floor's gave, in the order of the runs.
struct Row {
    case: String,
    figure: String,
    gateway: Vec<f64>,
    floor: Vec<f64>,
}

/// Reads one report a line.
pub fn markdown(lines: &str) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for report in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let case = format!("{} {}", report["case"].as_str().unwrap_or("?"), report["count"]);
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
            if report["of"] == "floor" { &mut row.floor } else { &mut row.gateway }.push(value);
        }
    }
    let mut text = String::from(
        "| case | figure | gateway: least / middle / most | floor: least / middle / most | ratio, run by run: middle (least to most) |\n\
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

fn sorted(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    Some((*values.first()?, values[values.len() / 2], *values.last()?))
}

fn three(values: &[f64]) -> String {
    match sorted(values) {
        None => "–".to_owned(),
        Some((least, _, most)) if least == most => number(least),
        Some((least, middle, most)) => {
            format!("{} / **{}** / {}", number(least), number(middle), number(most))
        }
    }
}

fn ratio(row: &Row) -> String {
    let pairs = row.gateway.iter().zip(&row.floor).filter(|(_, floor)| **floor != 0.0);
    match sorted(&pairs.map(|(gateway, floor)| gateway / floor).collect::<Vec<_>>()) {
        Some((least, middle, most)) => format!("**{middle:.2}** ({least:.2} to {most:.2})"),
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
