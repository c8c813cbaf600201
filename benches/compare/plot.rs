//! Plots, as small SVG files: bars and lines on a logarithmic scale.

use std::fmt::Write;

use crate::load::shown;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 40.0;
const ROW: f64 = 26.0;

/// A bar for each name, as long as its value; the value beside it.
pub(crate) fn bars(title: &str, values: &[(String, f64)]) -> String {
    let height = TOP + ROW * values.len() as f64 + 10.0;
    let mut svg = head(title, height);
    let greatest = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    for (index, (name, value)) in values.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        let width = value / greatest * (WIDTH - LEFT - RIGHT);
        write!(
            svg,
            "<text x=\"{x:.0}\" y=\"{text_y:.0}\" text-anchor=\"end\">{name}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"18\" fill=\"{colour}\"/>\n\
             <text x=\"{end:.1}\" y=\"{text_y:.0}\">{value}</text>\n",
            x = LEFT - 8.0,
            text_y = y + 14.0,
            colour = colour(index),
            end = LEFT + width + 6.0,
            value = shown(*value),
        )
        .unwrap();
    }
    svg + "</svg>\n"
}

/// A line: its name and its points.
pub(crate) type Line = (String, Vec<(f64, f64)>);

/// Lines over places along the x axis, each with its label; y is logarithmic.
pub(crate) fn lines(title: &str, places: &[(f64, String)], lines: &[Line]) -> String {
    const BOTTOM: f64 = 340.0;
    const LEAST: f64 = 1e-3;
    // The names stand below, where there is room for long ones.
    let key_y = |index: usize| BOTTOM + 50.0 + 20.0 * index as f64;
    let mut svg = head(title, key_y(lines.len()));
    let points = || lines.iter().flat_map(|(_, points)| points);
    // Nothing is 0 on this scale.
    let lowest = points().map(|point| point.1).fold(f64::MAX, f64::min);
    let lowest = lowest.max(LEAST);
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    let (low, high) = (lowest.log10().floor(), highest.log10().ceil());
    let (first, last) = (places[0].0, places[places.len() - 1].0);
    let x = |value: f64| 60.0 + (value - first) / (last - first) * (WIDTH - LEFT - 80.0);
    let y = |value: f64| {
        BOTTOM - (value.max(LEAST).log10() - low) / (high - low).max(1.0) * (BOTTOM - TOP)
    };
    for power in low as i32..=high as i32 {
        let value = 10f64.powi(power);
        write!(
            svg,
            "<line x1=\"60\" x2=\"{end:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"52\" y=\"{text_y:.1}\" text-anchor=\"end\">{value}</text>\n",
            end = x(last),
            y = y(value),
            text_y = y(value) + 4.0,
        )
        .unwrap();
    }
    for (place, label) in places {
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{label}</text>",
            x(*place),
            BOTTOM + 20.0
        )
        .unwrap();
    }
    for (index, (name, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"60\" y=\"{row:.0}\" fill=\"{colour}\">{name}</text>\n",
            path.join(" "),
            colour = colour(index),
            row = key_y(index),
        )
        .unwrap();
    }
    svg + "</svg>\n"
}

fn head(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">{title}</text>\n"
    )
}

/// Colours that are told apart by most eyes (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#999999", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9",
];

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}
