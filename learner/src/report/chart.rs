//! One plot as inline SVG: axes, and what is drawn between them.
//!
//! Colours are names: a plot carries the light ones, and the page's style sheet gives each its value for light and dark
//! ([`Ink::style`]). Nothing from data files is written into a plot; names stand in the legend below it.

use plotters::coord::combinators::BindKeyPointMethod;
use plotters::prelude::*;

/// plotters draws on whole pixels, so plots are drawn this much larger than they are meant to be seen.
const FINE: f64 = 4.0;
/// Changes of a line below this share of the plot's width and height together do not show.
const STEP_MIN: f64 = 1.0 / 350.0;

type Failed = Box<dyn std::error::Error>;

/// Colours by what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Model,
    First,
    Second,
    Third,
    Guess,
    Positive,
    Negative,
    Chosen,
    StepUp,
    Hold,
    Grid,
    Axis,
}

impl Ink {
    const ALL: [Self; 12] = [
        Self::Model,
        Self::First,
        Self::Second,
        Self::Third,
        Self::Guess,
        Self::Positive,
        Self::Negative,
        Self::Chosen,
        Self::StepUp,
        Self::Hold,
        Self::Grid,
        Self::Axis,
    ];
    /// For what a model is compared with.
    pub(super) const OTHERS: [Self; 3] = [Self::First, Self::Second, Self::Third];

    /// On light ground, on dark ground, and the dashes that tell lines apart without colour.
    const fn look(self) -> (RGBColor, &'static str, &'static str) {
        match self {
            Self::Model => (RGBColor(0x1d, 0x5f, 0xd1), "#7fb0ff", ""),
            Self::First => (RGBColor(0xb4, 0x53, 0x09), "#f0954a", "28 10"),
            Self::Second => (RGBColor(0x0f, 0x76, 0x6e), "#4fc7b8", "12 8"),
            Self::Third => (RGBColor(0x72, 0x47, 0xb8), "#b598f0", "5 8"),
            Self::Guess => (RGBColor(0x6b, 0x74, 0x81), "#8e99a7", "16 12"),
            Self::Positive => (RGBColor(0xd0, 0x3a, 0x4a), "#f4707c", ""),
            Self::Negative => (RGBColor(0x8f, 0xa3, 0xb8), "#5b7087", ""),
            Self::Chosen => (RGBColor(0x14, 0x18, 0x1f), "#e8ecf1", "6 6"),
            Self::StepUp => (RGBColor(0x73, 0x48, 0xb9), "#b699f1", "28 10"),
            Self::Hold => (RGBColor(0x95, 0x43, 0x06), "#f0964b", "10 8"),
            Self::Grid => (RGBColor(0xe2, 0xe5, 0xea), "#262e38", ""),
            Self::Axis => (RGBColor(0x9a, 0xa3, 0xae), "#4a5563", ""),
        }
    }

    /// Its light value, which marks it in a plot.
    pub(super) fn mark(self) -> String {
        let (RGBColor(red, green, blue), ..) = self.look();
        format!("#{red:02X}{green:02X}{blue:02X}")
    }

    /// Style rules of all colours: dashes, and values on dark ground.
    pub(super) fn style() -> String {
        let (mut dashes, mut dark) = (String::new(), String::new());
        for ink in Self::ALL {
            let (mark, (_, on_dark, dash)) = (ink.mark(), ink.look());
            if !dash.is_empty() {
                dashes += &format!("[stroke=\"{mark}\"]{{stroke-dasharray:{dash}}}");
            }
            dark += &format!("[stroke=\"{mark}\"]{{stroke:{on_dark}}}[fill=\"{mark}\"]{{fill:{on_dark}}}");
        }
        format!("{dashes}\n@media (prefers-color-scheme:dark){{{dark}}}")
    }

    fn colour(self) -> RGBColor {
        self.look().0
    }

    fn line(self, width: f64) -> ShapeStyle {
        self.colour().stroke_width(fine(width))
    }
}

fn fine(size: f64) -> u32 {
    (size * FINE) as u32
}

/// How values are spaced on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
}

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    name: String,
    scale: Scale,
    range: (f64, f64),
    /// Values with their labels.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to 100 %.
    pub(super) fn share(name: &str) -> Self {
        let ticks = (0..=5).map(|n| f64::from(n) / 5.0).map(|at| (at, format!("{:.0} %", 100.0 * at)));
        Self { name: name.to_owned(), scale: Scale::Linear, range: (0.0, 1.0), ticks: ticks.collect() }
    }

    /// From `from` (a power of ten) to 100 %, on a log scale.
    pub(super) fn log_share(name: &str, from: f64) -> Self {
        let ticks = (-6..=0).map(|power| 10f64.powi(power)).filter(|at| *at >= from * 0.999);
        let ticks = ticks.map(|at| (at, format!("{} %", 100.0 * at)));
        Self { name: name.to_owned(), scale: Scale::Log, range: (from, 1.0), ticks: ticks.collect() }
    }

    /// Counts on a log scale, from a little below one.
    pub(super) fn counts(name: &str, most: f64) -> Self {
        let top = most.max(1.0) * 1.5;
        let ticks = (0..12).map(|power| 10f64.powi(power)).take_while(|at| *at <= top);
        let ticks = ticks.map(|at| (at, compact(at))).collect();
        Self { name: name.to_owned(), scale: Scale::Log, range: (0.7, top), ticks }
    }

    /// Any values, with round numbers as ticks.
    pub(super) fn linear(name: &str, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / 5.0);
        let first = (low / step).ceil() as i64;
        let ticks = (first..first + 12).map(|n| n as f64 * step).take_while(|at| *at <= high + step * 1e-9);
        let places = (-step.log10().floor()).max(0.0) as usize;
        let label = |at: f64| if step >= 1000.0 { compact(at) } else { format!("{:.places$}", at + 0.0) };
        let ticks = ticks.map(|at| (at, label(at))).collect();
        Self { name: name.to_owned(), scale: Scale::Linear, range: (low, high), ticks }
    }

    /// The same with these ticks.
    pub(super) fn with_ticks(self, ticks: Vec<(f64, String)>) -> Self {
        Self { ticks, ..self }
    }

    fn place(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let within = value.clamp(low, high);
        if self.scale == Scale::Log { within.log10() } else { within }
    }

    fn ends(&self) -> (f64, f64) {
        (self.place(self.range.0), self.place(self.range.1))
    }

    fn places(&self) -> Vec<f64> {
        self.ticks.iter().map(|(at, _)| self.place(*at)).collect()
    }

    fn label(&self, place: f64) -> String {
        let near = |(at, _): &&(f64, String)| (self.place(*at) - place).abs() < 1e-9;
        self.ticks.iter().find(near).map_or(String::new(), |(_, label)| label.clone())
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= step * 0.999);
    times.unwrap_or(10.0) * power
}

/// A number in few characters: `12k`, `3M`.
pub(super) fn compact(number: f64) -> String {
    let short = |number: f64, unit: &str| {
        let text = format!("{number:.1}");
        format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match number.abs() {
        size if size >= 999_500.0 => short(number / 1e6, "M"),
        size if size >= 9_995.0 => format!("{:.0}k", number / 1e3),
        size if size >= 1_000.0 => short(number / 1e3, "k"),
        _ => format!("{number:.0}"),
    }
}

/// A point with the interval that it lies in.
#[derive(Debug, Clone)]
pub(super) struct Dot {
    pub(super) at: (f64, f64),
    /// Lower and upper end of its y.
    pub(super) between: [f64; 2],
    /// Written beside it; no text from data.
    pub(super) label: String,
}

/// What is drawn, in this order.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// A line through points.
    Line(Ink, Vec<(f64, f64)>),
    /// Bars from the bottom: left end, right end, height.
    Bars(Ink, Vec<[f64; 3]>),
    Dots(Ink, Vec<Dot>),
    /// A line from bottom to top.
    Rule(Ink, f64),
}

/// A plot.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) marks: Vec<Mark>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Plane<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

impl Chart {
    /// The SVG element, named `label` for those who do not see it, with a width and height in CSS pixels.
    pub(super) fn svg(&self, label: &str, size: (f64, f64)) -> Result<String, String> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (fine(size.0), fine(size.1))).into_drawing_area();
            self.draw(&area).map_err(|error| error.to_string())?;
            area.present().map_err(|error| error.to_string())?;
        }
        // The page sets the size, so that a plot fits a phone.
        let rest = svg.find("viewBox").and_then(|at| svg.get(at..)).unwrap_or_default();
        Ok(format!("<svg role=\"img\" aria-label=\"{}\" {rest}", super::page::escaped(label)))
    }

    fn draw(&self, area: &Area<'_>) -> Result<(), Failed> {
        let ((left, right), (bottom, top)) = (self.x.ends(), self.y.ends());
        let font = ("sans-serif", 12.5 * FINE).into_font();
        let mut plane = ChartBuilder::on(area)
            .margin(fine(4.0))
            .margin_right(fine(14.0))
            .x_label_area_size(fine(38.0))
            .y_label_area_size(fine(54.0))
            .build_cartesian_2d(
                (left..right).with_key_points(self.x.places()),
                (bottom..top).with_key_points(self.y.places()),
            )?;
        plane
            .configure_mesh()
            .x_labels(40)
            .y_labels(40)
            .x_label_formatter(&|at| self.x.label(*at))
            .y_label_formatter(&|at| self.y.label(*at))
            .x_desc(self.x.name.as_str())
            .y_desc(self.y.name.as_str())
            .label_style(font.clone())
            .axis_desc_style(font)
            .set_all_tick_mark_size(fine(3.0))
            .light_line_style(TRANSPARENT)
            .bold_line_style(Ink::Grid.line(1.0))
            .axis_style(Ink::Axis.line(1.0))
            .draw()?;
        self.marks.iter().try_for_each(|mark| self.mark(&mut plane, mark))
    }

    fn mark<X, Y>(&self, plane: &mut Plane<'_, '_, X, Y>, mark: &Mark) -> Result<(), Failed>
    where
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        let place = |(x, y): (f64, f64)| (self.x.place(x), self.y.place(y));
        match mark {
            Mark::Line(ink, points) => {
                let points = self.thinned(points.iter().map(|point| place(*point)));
                plane.draw_series(LineSeries::new(points, ink.line(if *ink == Ink::Model { 2.0 } else { 1.5 })))?;
            }
            Mark::Bars(ink, bars) => {
                let floor = self.y.range.0;
                let bar = |[from, to, height]: &[f64; 3]| {
                    Rectangle::new([place((*from, floor)), place((*to, *height))], ink.colour().mix(0.6).filled())
                };
                plane.draw_series(bars.iter().filter(|[.., height]| *height > floor).map(bar))?;
            }
            Mark::Dots(ink, dots) => {
                for Dot { at: (x, y), between: [low, high], label } in dots {
                    let whisker = [place((*x, *low)), place((*x, *high))];
                    plane.draw_series([PathElement::new(whisker, ink.line(1.5))])?;
                    let font = ("sans-serif", 12.0 * FINE).into_font();
                    let beside = (fine(7.0).cast_signed(), fine(3.0).cast_signed());
                    plane.draw_series([EmptyElement::at(place((*x, *y)))
                        + Circle::new((0, 0), fine(4.0), ink.colour().filled())
                        + Text::new(label.clone(), beside, font)])?;
                }
            }
            Mark::Rule(ink, x) => {
                let (bottom, top) = self.y.range;
                let ends = [place((*x, bottom)), place((*x, top))];
                plane.draw_series([PathElement::new(ends, ink.line(1.5))])?;
            }
        }
        Ok(())
    }

    /// Without points that nobody could tell from the one before.
    fn thinned(&self, points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
        let ((left, right), (bottom, top)) = (self.x.ends(), self.y.ends());
        let mut kept: Vec<(f64, f64)> = Vec::new();
        let mut last = None;
        for point in points {
            let far = kept.last().is_none_or(|(x, y)| {
                ((point.0 - x) / (right - left)).abs() + ((point.1 - y) / (top - bottom)).abs() >= STEP_MIN
            });
            last = (!far).then_some(point);
            if far {
                kept.push(point);
            }
        }
        kept.extend(last);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        for (low, high, labels) in [
            (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].as_slice()),
            (-1.3, 2.4, &["-1", "0", "1", "2"]),
            (0.0, 61_000.0, &["0", "20k", "40k", "60k"]),
            (3.0, 3.0, &["3.0", "3.2", "3.4", "3.6", "3.8", "4.0"]),
        ] {
            let found: Vec<String> =
                Axis::linear("", low, high).ticks.into_iter().map(|(_, label)| label).collect();
            assert_eq!(found, labels, "{low} to {high}");
        }
    }

    #[test]
    fn numbers_are_written_short() {
        for (number, text) in
            [(12.0, "12"), (999.0, "999"), (1_500.0, "1.5k"), (57_355.0, "57k"), (999_999.0, "1M"), (2.5e6, "2.5M")]
        {
            assert_eq!(compact(number), text);
        }
    }

    #[test]
    fn a_long_line_becomes_few_points_and_keeps_its_ends() {
        let points: Vec<(f64, f64)> = (0..=100_000).map(|n| f64::from(n) / 1e5).map(|x| (x, x * x)).collect();
        let marks = vec![Mark::Line(Ink::Model, points.clone())];
        let chart = Chart { x: Axis::share("x"), y: Axis::share("y"), marks };
        let thin = chart.thinned(points.into_iter());
        assert!(thin.len() < 800 && thin.first() == Some(&(0.0, 0.0)) && thin.last() == Some(&(1.0, 1.0)));
        assert!(chart.svg("a square", (400.0, 300.0)).unwrap().len() < 20_000);
    }

    #[test]
    fn every_colour_of_a_plot_has_its_rule_for_dark_ground() {
        let marks = vec![Mark::Line(Ink::First, vec![(0.0, 0.0), (1.0, 1.0)]), Mark::Rule(Ink::Hold, 0.5)];
        let chart = Chart { x: Axis::share("x"), y: Axis::share("y"), marks };
        let svg = chart.svg("lines", (400.0, 300.0)).unwrap();
        for ink in [Ink::First, Ink::Hold, Ink::Grid, Ink::Axis] {
            assert!(svg.contains(&format!("stroke=\"{}\"", ink.mark())), "{ink:?}");
            assert!(Ink::style().contains(&format!("[stroke=\"{}\"]", ink.mark())), "{ink:?}");
        }
        assert!(!svg.contains("style="));
    }
}
