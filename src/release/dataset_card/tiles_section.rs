//! The section of a dataset card about tiles.

use crate::release::escape::markdown;
use crate::release::published_tiles::{PublishedTiles, sides_text};

/// Returns the arrays and the boxes of the tiles.
pub(super) fn tiles(published: &PublishedTiles, has_maps: bool) -> String {
    let PublishedTiles { tiles, covering } = published;
    let why = if has_maps { "labels of their own scale" } else { "labels, although the store has no label maps" };
    let mut page = format!(
        "## Tiles\n\nThe teacher was also run on {} tiles of each image, so that crops have {why}. Each tile is cut from the image \
         at full resolution and resized to the input size.\n\n\
         * `tile_probs[n, tile, k]` and `tile_classes[n, tile, k]` are the teacher's prediction for the tile: the {} best classes, \
         after a softmax over all classes.\n",
        tiles.count(),
        tiles.k(),
    );
    if tiles.with_maps() {
        page += "* `tile_map_scores[n, tile, k, y, x]` and `tile_map_classes[n, tile, k, y, x]` are the label map of the tile. `y` \
                 and `x` start at the upper left corner of the tile.\n";
    }
    page += &format!("\nThe tiles, covering {}:\n\n| tile | x0, y0, x1, y1 |\n|---:|---|\n", markdown(covering));
    let row = |(tile, unit_box)| format!("| {tile} | {} |\n", sides_text(unit_box));
    page.extend(tiles.boxes().iter().copied().enumerate().map(row));
    page + "\n"
}
