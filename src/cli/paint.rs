//! Colours on the terminal.

use std::io::{self, IsTerminal as _};

use anstyle::{Ansi256Color, Color as AnsiColor, RgbColor, Style};
use relabel::inspection::inspect::Rgb;

use super::args::Color;

/// How much colour there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Painter {
    /// None: letters have to do.
    Plain,
    /// The 256 colours that nearly all terminals have.
    Indexed,
    /// All of them.
    True,
}

impl Painter {
    /// For stdout, as `NO_COLOR`, `CLICOLOR_FORCE`, `TERM` and `COLORTERM` say.
    pub fn of_stdout(asked: Color) -> Self {
        let has_colors = match asked {
            Color::Never => false,
            Color::Always => true,
            Color::Auto => {
                let wanted = io::stdout().is_terminal() && anstyle_query::term_supports_color();
                !anstyle_query::no_color() && (wanted || anstyle_query::clicolor_force())
            }
        };
        match (has_colors, anstyle_query::truecolor()) {
            (false, _) => Self::Plain,
            (true, false) => Self::Indexed,
            (true, true) => Self::True,
        }
    }

    /// Text on a ground of this colour, in ink that can be read on it.
    pub fn on(self, text: &str, ground: Rgb) -> String {
        match (self.color(ground), self.color(ground.ink())) {
            (Some(ground), Some(ink)) => {
                let style = Style::new().bg_color(Some(ground)).fg_color(Some(ink));
                format!("{style}{text}{style:#}")
            }
            _ => text.to_owned(),
        }
    }

    /// Text in this colour.
    pub fn in_color(self, text: &str, color: Rgb) -> String {
        match self.color(color) {
            Some(color) => {
                let style = Style::new().fg_color(Some(color));
                format!("{style}{text}{style:#}")
            }
            None => text.to_owned(),
        }
    }

    fn color(self, color: Rgb) -> Option<AnsiColor> {
        let Rgb([r, g, b]) = color;
        match self {
            Self::Plain => None,
            Self::Indexed => Some(AnsiColor::Ansi256(Ansi256Color(nearest_of_cube(color)))),
            Self::True => Some(AnsiColor::Rgb(RgbColor(r, g, b))),
        }
    }
}

/// The nearest of xterm's 6x6x6 colours.
fn nearest_of_cube(Rgb(color): Rgb) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let nearest = |value: u8| (0..6_u8).min_by_key(|&level| LEVELS[usize::from(level)].abs_diff(value)).unwrap_or(0);
    let [r, g, b] = color.map(nearest);
    16 + 36 * r + 6 * g + b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_terminal() {
        let yellow = Rgb([242, 227, 47]);
        assert_eq!(Painter::Plain.on("A", yellow), "A");
        assert_eq!(Painter::True.on("A", yellow), "\u{1b}[38;2;0;0;0m\u{1b}[48;2;242;227;47mA\u{1b}[0m");
        assert_eq!([yellow, Rgb([0; 3]), Rgb([255; 3])].map(nearest_of_cube), [220, 16, 231]);
    }
}
