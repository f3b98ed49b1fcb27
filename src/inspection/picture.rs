//! Pictures of label maps, and charts, as PNG.

mod font;
mod canvas;
mod panels;
mod annotations;
mod tile_cards;
mod picture_layout;
mod image_picture;
mod maps_picture;
mod predictions_picture;
mod chart;
mod plot;
mod bar_list;
mod chart_picture;
mod pair_picture;

pub use canvas::PictureError;
pub use chart::{
    BarList, Chart, ChartColumn, ChartKey, ChartPart, KeyRow, KeySymbol, LineStyle, Marker, NamedBar, Plot, PlotAxis,
    PlotBar, PlotLayer, PlotPoint,
};
pub use chart_picture::draw_chart;
pub use image_picture::{Scene, draw_image};
pub use maps_picture::draw_maps;
pub use pair_picture::{MapPanel, PairScene, draw_pair};
pub use predictions_picture::draw_predictions;
