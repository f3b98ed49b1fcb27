//! Draws a chart: title, columns, key and notes.

use super::bar_list::{bar_list, bar_list_pixels};
use super::canvas::{Canvas, EMPTY, FAINT_INK, GAP_PIXELS, HEADER_PIXELS, INK, MARGIN_PIXELS, PictureError, PixelRect};
use super::chart::{Chart, ChartColumn, ChartKey, ChartPart, KeyRow, KeySymbol};
use super::plot::{bar, line_sample, plot, plot_pixels};

/// Height of the title of a column.
const TITLE_PIXELS: f32 = 34.0;
/// Space between the parts of a column.
const PART_GAP_PIXELS: f32 = 12.0;
const KEY_ROW_PIXELS: f32 = 26.0;
const SYMBOL_PIXELS: f32 = 40.0;
/// Width of a column of values in the key.
const VALUE_PIXELS: f32 = 190.0;
const NOTE_PIXELS: f32 = 22.0;

/// Draws a chart as a PNG (RGB, 8 bits).
///
/// # Errors
/// Returns a [`PictureError`] if the picture is too large or cannot be encoded.
pub fn draw_chart(chart: &Chart) -> Result<Vec<u8>, PictureError> {
    let gaps = chart.columns.len().saturating_sub(1) as f32 * GAP_PIXELS;
    let content = chart.columns.iter().map(|column| column.width_pixels).sum::<f32>() + gaps;
    let columns = chart.columns.iter().map(column_pixels).fold(0.0, f32::max);
    let top = MARGIN_PIXELS + HEADER_PIXELS;
    let key_top = top + columns + PART_GAP_PIXELS;
    let notes_top = key_top + key_pixels(&chart.key);
    let height = notes_top + chart.notes.len() as f32 * NOTE_PIXELS + MARGIN_PIXELS;
    let width = content + 2.0 * MARGIN_PIXELS;
    let mut canvas = Canvas::new(width.ceil() as u32, height.ceil() as u32)?;
    header(&mut canvas, chart, content);
    let mut x = MARGIN_PIXELS;
    for each in &chart.columns {
        column(&mut canvas, PixelRect { x, y: top, width: each.width_pixels, height: columns }, each);
        x += each.width_pixels + GAP_PIXELS;
    }
    let area = PixelRect { x: MARGIN_PIXELS, y: key_top, width: content, height: notes_top - key_top };
    key(&mut canvas, area, &chart.key);
    let small = canvas.small.clone();
    for (at, note) in chart.notes.iter().enumerate() {
        let y = notes_top + at as f32 * NOTE_PIXELS;
        canvas.text(&small, &small.fitted_line(note, content), MARGIN_PIXELS, y, FAINT_INK);
    }
    canvas.png()
}

fn header(canvas: &mut Canvas, chart: &Chart, max_width: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    canvas.text(&large, &large.fitted_line(&chart.title, max_width), MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    let subtitle = normal.fitted_line(&chart.subtitle, max_width);
    canvas.text(&normal, &subtitle, MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}

fn part_pixels(part: &ChartPart) -> f32 {
    PART_GAP_PIXELS
        + match part {
            ChartPart::Plot(content) => plot_pixels(content),
            ChartPart::BarList(content) => bar_list_pixels(content),
        }
}

fn column_pixels(column: &ChartColumn) -> f32 {
    TITLE_PIXELS + column.parts.iter().map(part_pixels).sum::<f32>()
}

fn column(canvas: &mut Canvas, area: PixelRect, column: &ChartColumn) {
    let normal = canvas.normal.clone();
    canvas.text(&normal, &normal.fitted_line(&column.title, area.width), area.x, area.y, INK);
    let mut y = area.y + TITLE_PIXELS;
    for part in &column.parts {
        let height = part_pixels(part);
        let place = PixelRect { y, height: height - PART_GAP_PIXELS, ..area };
        match part {
            ChartPart::Plot(content) => plot(canvas, place, content),
            ChartPart::BarList(content) => bar_list(canvas, place, content),
        }
        y += height;
    }
}

fn key_pixels(key: &ChartKey) -> f32 {
    let rows = key.rows.len() + usize::from(!key.headings.is_empty());
    if rows == 0 { 0.0 } else { rows as f32 * KEY_ROW_PIXELS + PART_GAP_PIXELS }
}

fn key(canvas: &mut Canvas, area: PixelRect, key: &ChartKey) {
    let small = canvas.small.clone();
    let values = key.headings.len().saturating_sub(1) as f32 * VALUE_PIXELS;
    let name_x = area.x + SYMBOL_PIXELS + 12.0;
    let name_pixels = (area.right() - values - name_x - 8.0).max(1.0);
    let right = |at: usize| area.right() - values + (at + 1) as f32 * VALUE_PIXELS;
    let mut y = area.y;
    if let Some((first, rest)) = key.headings.split_first() {
        canvas.text(&small, &small.fitted_line(first, name_pixels), name_x, y, FAINT_INK);
        for (at, heading) in rest.iter().enumerate() {
            canvas.text_to(&small, &small.fitted_line(heading, VALUE_PIXELS - 12.0), right(at), y, FAINT_INK);
        }
        canvas.line((area.x, y + 22.0), (area.right(), y + 22.0), EMPTY, 1.0);
        y += KEY_ROW_PIXELS + 2.0;
    }
    for KeyRow { symbol, name, values } in &key.rows {
        let place = PixelRect { x: area.x, y: y + 2.0, width: SYMBOL_PIXELS, height: 14.0 };
        match *symbol {
            KeySymbol::Bar { color, outlined } => bar(canvas, place, color, outlined),
            KeySymbol::Line(style) => line_sample(canvas, place, style),
        }
        canvas.text(&small, &small.fitted_line(name, name_pixels), name_x, y, INK);
        for (at, value) in values.iter().enumerate() {
            canvas.text_to(&small, &small.fitted_line(value, VALUE_PIXELS - 12.0), right(at), y, INK);
        }
        y += KEY_ROW_PIXELS;
    }
}
