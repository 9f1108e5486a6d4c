//! The nights as a picture: one SVG without scripts, readable on a light and on a dark page.

use std::fmt::{self, Write as _};

use super::results::{Cause, Night, Results};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
/// The bars are between these heights.
const TOP: f64 = 74.0;
const BOTTOM: f64 = 270.0;
const LEGEND: f64 = 46.0;
/// The first line of events, and the distance to the next.
const EVENTS: f64 = 326.0;
const EVENT_LINE: f64 = 34.0;

const STYLE: &str = "\
text{font:12px system-ui,'Segoe UI',sans-serif;fill:#24292f}.small{font-size:11px;fill:#57606a}\
.title{font-size:15px;font-weight:600}.card{fill:#fff;stroke:#d0d7de}.grid{stroke:#d0d7de}\
.renewal{fill:#2f6fb5}.extension{fill:#c2690c}.application{fill:#7a7f87}.event{fill:#b3261e}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.card{fill:#151b23;stroke:#3d444d}\
.grid{stroke:#3d444d}.renewal{fill:#5ea1e8}.extension{fill:#f0a04b}.application{fill:#868d96}.event{fill:#ff7b72}}";

/// Requests for tokens in each night, and below them what went wrong.
pub fn draw(results: &Results) -> String {
    let mut svg = String::new();
    write(&mut svg, results).expect("a String takes all");
    svg
}

fn write(svg: &mut String, results: &Results) -> fmt::Result {
    let nights = &results.nights[1..];
    let lines = event_lines(nights);
    let height = EVENTS + as_f64(lines.len().max(1)) * EVENT_LINE - 16.0;
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">Requests for tokens in each of {} nights, and what went wrong</title>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n\
         <text class=\"title\" x=\"16\" y=\"26\">Requests for tokens at the portals, by night</text>",
        nights.len(),
        WIDTH - 1.0,
        height - 1.0,
    )?;
    write_legend(svg)?;
    let step = (WIDTH - LEFT - RIGHT) / as_f64(nights.len().max(1));
    write_bars(svg, nights, step)?;
    for (index, (name, counts)) in lines.iter().enumerate() {
        let y = EVENTS + as_f64(index) * EVENT_LINE;
        write_events(svg, name, counts, (y, step))?;
    }
    writeln!(svg, "</svg>")
}

fn write_legend(svg: &mut String) -> fmt::Result {
    let mut x = 16.0;
    for (class, words) in [
        ("renewal", "renewals"),
        ("application", "application tokens"),
        ("extension", "extensions of sign-ins"),
    ] {
        writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\" rx=\"2\"/><text class=\"small\" x=\"{}\" y=\"{LEGEND}\">{words}</text>",
            LEGEND - 10.0,
            x + 16.0
        )?;
        x += 40.0 + as_f64(words.len()) * 6.0;
    }
    Ok(())
}

fn write_bars(svg: &mut String, nights: &[Night], step: f64) -> fmt::Result {
    let total = |night: &Night| night.renewals + night.applications + night.extensions;
    let most = nights.iter().map(total).max().unwrap_or_default().max(1);
    let scale = round_up(most);
    let per_request = (BOTTOM - TOP) / as_f64(scale);
    for part in 0..=4 {
        let y = BOTTOM - (BOTTOM - TOP) * as_f64(part) / 4.0;
        writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/><text class=\"small\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            scale * part / 4
        )?;
    }
    let every = nights.len().div_ceil(15).max(1);
    for (index, night) in nights.iter().enumerate() {
        let x = LEFT + as_f64(index) * step + step * 0.15;
        let mut y = BOTTOM;
        for (class, count) in [
            ("renewal", night.renewals),
            ("application", night.applications),
            ("extension", night.extensions),
        ] {
            let tall = as_f64(count) * per_request;
            y -= tall;
            writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"/>",
                step * 0.7
            )?;
        }
        if index % every == 0 {
            writeln!(
                svg,
                "<text class=\"small\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x + step * 0.35,
                BOTTOM + 17.0,
                index + 1
            )?;
        }
    }
    Ok(())
}

/// A dot for each night in which it happened, with the number where it is more than one.
fn write_events(svg: &mut String, name: &str, counts: &[usize], place: (f64, f64)) -> fmt::Result {
    let (y, step) = place;
    writeln!(
        svg,
        "<text class=\"small\" x=\"16\" y=\"{}\">{name}</text>",
        y - 11.0
    )?;
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let x = LEFT + (as_f64(index) + 0.5) * step;
        writeln!(
            svg,
            "<circle class=\"event\" cx=\"{x:.1}\" cy=\"{y}\" r=\"4\"/>"
        )?;
        if *count > 1 {
            writeln!(
                svg,
                "<text class=\"small\" x=\"{:.1}\" y=\"{}\">{count}</text>",
                x + 6.0,
                y + 4.0
            )?;
        }
    }
    Ok(())
}

fn event_lines(nights: &[Night]) -> Vec<(String, Vec<usize>)> {
    let mut lines = vec![(
        "commands killed by a restart of the machine".to_owned(),
        nights.iter().map(|night| night.killed).collect::<Vec<_>>(),
    )];
    for cause in Cause::ALL {
        let count = |night: &Night| night.lost.get(&cause).copied().unwrap_or_default();
        lines.push((
            format!("sign-ins lost: {}", cause.words()),
            nights.iter().map(count).collect(),
        ));
    }
    lines.retain(|(_, counts)| counts.iter().any(|count| *count > 0));
    lines
}

/// The next number that four divides into round parts.
fn round_up(most: usize) -> usize {
    [4, 8, 20, 40, 80, 120, 160, 200, 240, 280, 320, 360, 400]
        .into_iter()
        .find(|scale| *scale >= most)
        .unwrap_or_else(|| most.div_ceil(400) * 400)
}

#[allow(clippy::cast_precision_loss)] // Counts of some hundreds.
fn as_f64(count: usize) -> f64 {
    count as f64
}
