//! Label maps of a batch as arrays.

use std::num::NonZeroUsize;

use half::f16;

use super::{Labels, parallel_chunks, same_length};
use crate::shared::error::Error;
use crate::shared::store::DecodeScratch;

impl Labels {
    /// Copies the label maps of rows to `scores` and `classes`, `[image, k, y, x]`.
    ///
    /// # Errors
    /// See [`Labels::pool`]. Also returns [`Error::NoLabelMaps`] if the store has no label maps; [`Error::Usage`] if a length does
    /// not fit or a class id is too large for `C`; and [`Error::Threads`] if threads cannot be started.
    pub fn maps_into<C: TryFrom<u32> + Send>(
        &self,
        rows: &[usize],
        threads: NonZeroUsize,
        scores: &mut [f16],
        classes: &mut [C],
    ) -> Result<(), Error> {
        let (k, cells) = (self.info().k, self.reader.map_size("read label maps")?.cells());
        let values = k * cells;
        same_length("scores and rows times values of a map", scores.len(), rows.len() * values)?;
        same_length("class ids and rows times values of a map", classes.len(), rows.len() * values)?;
        let of_map = values.max(1);
        let mut maps: Vec<_> = scores.chunks_mut(of_map).zip(classes.chunks_mut(of_map)).collect();
        parallel_chunks::for_each_chunk(threads, &mut maps, 1, DecodeScratch::default, |scratch, at, copy| {
            let map = self.map_with(rows[at], scratch)?;
            let (scores, classes) = &mut copy[0];
            for cell in 0..cells {
                let (cell_scores, cell_classes) = map.cell(cell);
                for (rank, (&score, &class)) in cell_scores.iter().zip(cell_classes).enumerate() {
                    scores[rank * cells + cell] = score;
                    classes[rank * cells + cell] = C::try_from(class).map_err(|_| {
                        Error::Usage(format!("class id {class} of row {} is too large for the array", rows[at]))
                    })?;
                }
            }
            Ok(())
        })
    }
}
