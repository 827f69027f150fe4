//! A line chart with two logarithmic axes, as SVG.

use core::fmt::Write as _;

/// How to write the value of a tick.
pub(super) type Label = fn(f64) -> String;

/// A chart. The labels of the ticks are made by the axes' functions.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: (String, Label),
    pub(super) y: (String, Label),
    pub(super) series: Vec<Series>,
}

/// A line of the chart. Its points have positive coordinates and ascend in x.
pub(super) struct Series {
    pub(super) name: String,
    /// Drawn thicker.
    pub(super) is_ours: bool,
    pub(super) points: Vec<(f64, f64)>,
}

const SIZE: (f64, f64) = (860.0, 440.0);
/// Left, top, right, bottom.
const MARGINS: (f64, f64, f64, f64) = (80.0, 44.0, 220.0, 52.0);

/// Colours that most people can tell apart, after Okabe and Ito; the first are ringshm's.
const COLOURS: [&str; 8] = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000"];

/// A logarithmic scale from a range of values onto a range of the picture.
pub(super) struct Scale {
    values: (f64, f64),
    places: (f64, f64),
}

impl Scale {
    pub(super) fn new(values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |range, value| (range.0.min(value), range.1.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 10.0) };
        Self { values: (low / 1.2, high * 1.2), places }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (value / self.values.0).ln() / (self.values.1 / self.values.0).ln();
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// Powers of ten, with their twos and fives where there is room.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let decades = (self.values.1 / self.values.0).log10();
        let steps: &[f64] = if decades < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let first = self.values.0.log10().floor() as i32;
        let last = self.values.1.log10().ceil() as i32;
        let all = (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        all.filter(|tick| (self.values.0..self.values.1).contains(tick)).collect()
    }
}

impl Chart {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (left, right) = (MARGINS.0, SIZE.0 - MARGINS.2);
        let (top, bottom) = (MARGINS.1, SIZE.1 - MARGINS.3);
        let x = Scale::new(points().map(|point| point.0), (left, right));
        let y = Scale::new(points().map(|point| point.1), (bottom, top));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{left}\" y=\"26\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
            SIZE.0,
            SIZE.1,
            escaped(&self.title)
        );
        for tick in y.ticks() {
            let place = y.place(tick);
            let _ = writeln!(svg, "<path d=\"M{left} {place:.1}H{right}\" stroke=\"#ddd\"/>");
            text(&mut svg, (left - 6.0, place + 4.0), "end", &(self.y.1)(tick));
        }
        for tick in self.x_ticks(&x) {
            let place = x.place(tick);
            let _ = writeln!(svg, "<path d=\"M{place:.1} {bottom}v5\" stroke=\"#444\"/>");
            text(&mut svg, (place, bottom + 18.0), "middle", &(self.x.1)(tick));
        }
        let _ = writeln!(svg, "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>");
        text(&mut svg, (left.midpoint(right), SIZE.1 - 12.0), "middle", &self.x.0);
        let middle = top.midpoint(bottom);
        let _ = writeln!(
            svg,
            "<text transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(&self.y.0)
        );
        for (index, series) in self.series.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let width = if series.is_ours { 3.0 } else { 1.5 };
            let dashes = if index < COLOURS.len() { "" } else { " stroke-dasharray=\"5 3\"" };
            let mut path = String::new();
            for (index, point) in series.points.iter().filter(|point| point.1 > 0.0).enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", x.place(point.0), y.place(point.1));
            }
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}/>"
            );
            let legend = top + 8.0 + 18.0 * index as f64;
            let _ = writeln!(
                svg,
                "<path d=\"M{} {legend}h22\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}/>",
                right + 14.0
            );
            text(&mut svg, (right + 42.0, legend + 4.0), "start", &series.name);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The measured places, if they are few, and powers of ten otherwise.
    fn x_ticks(&self, scale: &Scale) -> Vec<f64> {
        let mut places: Vec<f64> = self.series.iter().flat_map(|series| &series.points).map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        if places.len() <= 8 { places } else { scale.ticks() }
    }
}

pub(super) fn text(svg: &mut String, place: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
        place.0,
        place.1,
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_scale_are_inside() {
        let scale = Scale::new([8.0, 1024.0].into_iter(), (0.0, 100.0));
        assert!(scale.place(8.0) > 0.0 && scale.place(1024.0) < 100.0);
        assert!(scale.ticks().contains(&100.0));
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let series = vec![Series { name: "<a&b>".into(), is_ours: true, points: vec![(1.0, 2.0), (2.0, 0.0)] }];
        let label = |value: f64| value.to_string();
        let chart = Chart { title: "t".into(), x: ("x".into(), label), y: ("y".into(), label), series };
        assert!(chart.svg().contains("&lt;a&amp;b&gt;") && !chart.svg().contains("NaN"));
    }
}
