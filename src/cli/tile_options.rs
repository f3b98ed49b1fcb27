//! The tiles of `relabel run --tiles`.

use std::path::Path;

use relabel::shared::error::Error;
use relabel::shared::tiles::{Covering, Tiles, read_tile_boxes};

use super::args::RunArguments;

/// Returns the requested tiles for a teacher of which `top_k` classes are kept for each cell.
///
/// # Errors
/// Returns [`Error::Usage`] if `--tiles` is neither a covering nor a file of boxes, or `--tile-top-k` is larger than the number
/// of classes that the teacher returns for an image.
pub fn requested_tiles(arguments: &RunArguments, top_k: usize, class_count: usize) -> Result<Option<Tiles>, Error> {
    let Some(text) = &arguments.levels.tiles else { return Ok(None) };
    let (name, boxes) = match text.parse::<Covering>() {
        Ok(covering) => (covering.name().to_owned(), covering.boxes()),
        Err(unknown) => {
            let path = Path::new(text);
            if !path.exists() {
                return Err(Error::Usage(format!(
                    "cannot use --tiles {text}: {unknown}, and a file of this name does not exist\n  help: pass a covering, or a \
                     CSV file with the columns x0,y0,x1,y1"
                )));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, read_tile_boxes(path)?)
        }
    };
    let most = top_k.max(PREDICTED_CLASSES).min(class_count);
    let k = arguments.levels.tile_top_k.unwrap_or_else(|| top_k.min(PREDICTED_CLASSES));
    if k > most {
        return Err(Error::Usage(format!(
            "--tile-top-k {k} is out of range: the teacher returns {most} classes for an image\n  help: choose --tile-top-k from \
             1 to {most}, or raise --top-k"
        )));
    }
    let tiles = Tiles::new(name, boxes, k, arguments.levels.tile_maps);
    tiles.map(Some).map_err(|problem| Error::Usage(format!("cannot use --tiles {text}: {problem}")))
}

/// Classes that a teacher returns for an image even if `--top-k` is smaller.
const PREDICTED_CLASSES: usize = 5;
