//! Panels of dots beside each other, with the same rows and a logarithmic axis each, as SVG: bars would need a zero, which such an axis has not.

use super::chart::{Label, Scale, text};
use core::fmt::Write as _;

/// Panels with a row for each name.
pub(super) struct Dots {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
    /// The panels' titles, and how to write their values.
    pub(super) panels: Vec<(String, Label)>,
}

/// A name, and its value in each panel.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) dots: Vec<Option<Dot>>,
}

/// A value, and how far it reaches.
pub(super) struct Dot {
    pub(super) value: f64,
    pub(super) range: (f64, f64),
}

/// Of the names, of a panel, of a row, and above and below the rows.
const NAMES: f64 = 230.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 24.0;
const ROW: f64 = 22.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 34.0;

impl Dots {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let width = NAMES + self.panels.len() as f64 * (PANEL + GAP);
        let end = TOP + self.rows.len() as f64 * ROW;
        let height = end + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<g font-size=\"15\" font-weight=\"bold\">"
        );
        text(&mut svg, (14.0, 26.0), "start", &self.title);
        svg.push_str("</g>\n");
        for (index, row) in self.rows.iter().enumerate() {
            let place = TOP + (index as f64 + 0.5) * ROW;
            let _ = writeln!(svg, "<path d=\"M14 {place}H{}\" stroke=\"#eee\"/>", width - GAP);
            let _ = writeln!(svg, "<g fill=\"{}\">", row.colour);
            text(&mut svg, (14.0, place + 4.0), "start", &row.name);
            svg.push_str("</g>\n");
        }
        for (index, (title, label)) in self.panels.iter().enumerate() {
            let left = NAMES + index as f64 * (PANEL + GAP);
            self.panel(&mut svg, index, (left, left + PANEL), end, title, *label);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn panel(&self, svg: &mut String, index: usize, places: (f64, f64), end: f64, title: &str, label: Label) {
        let dots = || self.rows.iter().map(|row| row.dots[index].as_ref());
        // Room for the values, which are written behind the dots.
        let scale = Scale::new(
            dots().flatten().flat_map(|dot| [dot.range.0, dot.value, dot.range.1]),
            (places.0, places.1 - 56.0),
        );
        text(svg, (places.0, TOP - 16.0), "start", title);
        for tick in scale.ticks().into_iter().filter(|tick| tick.log10().fract() == 0.0) {
            let place = scale.place(tick);
            let _ = writeln!(svg, "<path d=\"M{place:.1} {TOP}V{end}\" stroke=\"#ddd\"/>");
            text(svg, (place, end + 16.0), "middle", &label(tick));
        }
        for (row, (dot, colour)) in dots().zip(self.rows.iter().map(|row| row.colour)).enumerate() {
            let Some(dot) = dot else { continue };
            let height = TOP + (row as f64 + 0.5) * ROW;
            let [low, middle, high] = [dot.range.0, dot.value, dot.range.1].map(|value| scale.place(value));
            let _ = writeln!(
                svg,
                "<path d=\"M{low:.1} {height}H{high:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
                 <circle cx=\"{middle:.1}\" cy=\"{height}\" r=\"4\" fill=\"{colour}\"/>"
            );
            text(svg, (high.max(middle) + 8.0, height + 4.0), "start", &label(dot.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_every_value_is_in_the_picture() {
        let dot = |value| Some(Dot { value, range: (value / 2.0, value * 2.0) });
        let row = |name: &str, dots| Row { name: name.to_owned(), colour: "#000", dots };
        let rows = vec![row("a&b", vec![dot(3.0), None]), row("c", vec![dot(7000.0), dot(5.0)])];
        let label = |value: f64| format!("<{value}>");
        let panels = vec![("one".to_owned(), label as Label), ("two".to_owned(), label)];
        let svg = Dots { title: "t".to_owned(), rows, panels }.svg();
        for expected in ["a&amp;b", ">c<", "&lt;3&gt;", "&lt;7000&gt;", "&lt;5&gt;", "&lt;1000&gt;", ">one<", ">two<"] {
            assert!(svg.contains(expected), "{expected} is not in\n{svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
