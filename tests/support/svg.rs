//! A captured screen as a picture: one self-contained SVG, the same for the same screen.

use std::fmt::Write as _;

const CELL: f32 = 8.4;
const LINE: f32 = 19.0;
const MARGIN: f32 = 18.0;
const BAR: f32 = 34.0;

/// Draws the lines of the screen that are not empty.
pub fn draw(screen: &vt100::Screen, title: &str, replace: &[(&str, &str)]) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let lines: Vec<Vec<(String, String)>> =
        (0..rows).map(|row| runs(screen, row, columns)).collect();
    let used = lines
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(0, |last| last + 1);
    let width = f32::from(columns.min(112)) * CELL + 2.0 * MARGIN;
    let count = u16::try_from(used).unwrap_or(u16::MAX);
    let height = f32::from(count) * LINE + BAR + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"9\" fill=\"#15191f\"/>\n\
         <circle cx=\"20\" cy=\"17\" r=\"5.5\" fill=\"#ff5f57\"/><circle cx=\"38\" cy=\"17\" r=\"5.5\" fill=\"#febc2e\"/><circle cx=\"56\" cy=\"17\" r=\"5.5\" fill=\"#28c840\"/>\n\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for (number, line) in (0_u16..).zip(&lines[..used]) {
        let y = BAR + f32::from(number) * LINE + 14.0;
        write!(svg, "<text x=\"{MARGIN}\" y=\"{y:.0}\">").expect("a String");
        for (text, color) in line {
            let mut text = text.clone();
            for (old, new) in replace {
                text = text.replace(old, new);
            }
            write!(svg, "<tspan fill=\"{color}\">{}</tspan>", escape(&text)).expect("a String");
        }
        svg.push_str("</text>\n");
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// Neighbouring cells of one colour, without the blanks at the end.
fn runs(screen: &vt100::Screen, row: u16, columns: u16) -> Vec<(String, String)> {
    let mut runs: Vec<(String, String)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else {
            continue;
        };
        let text = if cell.has_contents() {
            cell.contents()
        } else {
            " "
        };
        let color = color(cell);
        match runs.last_mut() {
            Some((run, same)) if *same == color => run.push_str(text),
            _ => runs.push((text.to_owned(), color)),
        }
    }
    while let Some((last, _)) = runs.last_mut() {
        let trimmed = last.trim_end().len();
        if trimmed > 0 {
            last.truncate(trimmed);
            break;
        }
        runs.pop();
    }
    runs
}

fn color(cell: &vt100::Cell) -> String {
    const PALETTE: [&str; 16] = [
        "#5c6370", "#f07178", "#8fd18f", "#e5c07b", "#6cb6ff", "#d19aef", "#56c8d8", "#d7dae0",
        "#7d8590", "#ff8b94", "#a5e3a5", "#ffd88f", "#8fccff", "#e2b5ff", "#7fe0ec", "#ffffff",
    ];
    match cell.fgcolor() {
        vt100::Color::Idx(index) => PALETTE.get(usize::from(index)).unwrap_or(&"#d7dae0"),
        _ => "#d7dae0",
    }
    .to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
