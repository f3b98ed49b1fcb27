//! Colours on the terminal.

use std::io::{self, IsTerminal as _};

use anstyle::{Ansi256Color, Color as AnsiColor, RgbColor, Style};
use relabel::inspection::inspect::Rgb;

use super::args::Color;

/// Colour support of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColourSupport {
    /// No colours.
    Plain,
    /// 256 colours.
    Indexed,
    /// 24-bit colours.
    True,
}

impl ColourSupport {
    /// Returns the support of stdout, according to `NO_COLOR`, `CLICOLOR_FORCE`, `TERM` and `COLORTERM`.
    pub fn for_stdout(when: Color) -> Self {
        let has_colors = match when {
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

    /// Returns text on a background colour, in black or white, whichever is readable.
    pub fn on_background(self, text: &str, background: Rgb) -> String {
        match (self.color(background), self.color(background.ink())) {
            (Some(background), Some(ink)) => {
                let style = Style::new().bg_color(Some(background)).fg_color(Some(ink));
                format!("{style}{text}{style:#}")
            }
            _ => text.to_owned(),
        }
    }

    /// Returns coloured text.
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
            Self::Indexed => Some(AnsiColor::Ansi256(Ansi256Color(nearest_indexed(color)))),
            Self::True => Some(AnsiColor::Rgb(RgbColor(r, g, b))),
        }
    }
}

/// Returns the nearest colour of xterm's 6x6x6 cube.
fn nearest_indexed(Rgb(color): Rgb) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let nearest = |value: u8| (0..6_u8).min_by_key(|&level| LEVELS[usize::from(level)].abs_diff(value)).unwrap_or(0);
    let [r, g, b] = color.map(nearest);
    16 + 36 * r + 6 * g + b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_match_the_terminal() {
        let yellow = Rgb([242, 227, 47]);
        assert_eq!(ColourSupport::Plain.on_background("A", yellow), "A");
        assert_eq!(
            ColourSupport::True.on_background("A", yellow),
            "\u{1b}[38;2;0;0;0m\u{1b}[48;2;242;227;47mA\u{1b}[0m"
        );
        assert_eq!([yellow, Rgb([0; 3]), Rgb([255; 3])].map(nearest_indexed), [220, 16, 231]);
    }
}
