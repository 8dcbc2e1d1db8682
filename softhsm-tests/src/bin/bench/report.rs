//! The report to read: tables and charts in one HTML file without anything from elsewhere.

use anyhow::{Context, Result};
use askama::Template;

use super::{
    figure::{Figure, Round},
    machine::Machine,
};

/// Units of the charts' own coordinates.
const WIDTH: f64 = 640.0;
/// A ratio of 1 in the overview.
const WHOLE: f64 = 400.0;
const COLOURS: [&str; 8] =
    ["#1f4e79", "#c55a11", "#548235", "#7f6000", "#7030a0", "#a5a5a5", "#2e75b6", "#bf9000"];

#[derive(Template)]
#[template(path = "report.html")]
struct Report<'a> {
    machine: &'a Machine,
    figures: Vec<Shown<'a>>,
}

/// A figure with its charts' coordinates.
struct Shown<'a> {
    figure: &'a Figure,
    verdict: &'static str,
    ratio_width: f64,
    reach_at: Option<f64>,
    bars: Vec<Bar>,
    slices: Vec<Slice<'a>>,
    whole_us: f64,
}

/// A pair of bars in the chart of rounds.
struct Bar {
    y: usize,
    round: Round,
    ours: f64,
    baseline: f64,
}

/// A slice of the processor time.
struct Slice<'a> {
    name: &'a str,
    us: f64,
    x: f64,
    width: f64,
    colour: &'static str,
}

/// The report.
///
/// # Errors
/// When it can't be composed.
pub(crate) fn html(machine: &Machine, figures: &[Figure]) -> Result<String> {
    let figures = figures.iter().map(shown).collect();
    Report { machine, figures }.render().context("composing the report")
}

fn shown(figure: &Figure) -> Shown<'_> {
    let most =
        figure.rounds.iter().flat_map(|round| [round.ours, round.baseline]).fold(f64::EPSILON, f64::max);
    let long = |value: f64| value / most * (WIDTH - 100.0);
    let bars = figure.rounds.iter().enumerate().map(|(index, &round)| Bar {
        y: index * 40,
        round,
        ours: long(round.ours),
        baseline: long(round.baseline),
    });
    let whole_us: f64 = figure.parts.iter().map(|part| part.us).sum();
    let mut x = 0.0;
    let slices = figure.parts.iter().zip(COLOURS.iter().cycle()).map(|(part, colour)| {
        let width = part.us / whole_us * WIDTH;
        x += width;
        Slice { name: &part.name, us: part.us, x: x - width, width, colour }
    });
    Shown {
        figure,
        verdict: match figure.is_reached() {
            Some(true) => "reached",
            Some(false) => "not reached",
            None => "",
        },
        ratio_width: (figure.ratio * WHOLE).min(WIDTH),
        reach_at: figure.reach.map(|reach| (reach * WHOLE).min(WIDTH)),
        bars: bars.collect(),
        slices: slices.collect(),
        whole_us,
    }
}
