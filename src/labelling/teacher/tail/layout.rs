//! Layout of feature tensors, and the grid of their cells.

use std::fmt;

use crate::labelling::teacher::tensors::FloatTensor;
use crate::shared::geometry::MapSize;

/// Order of the axes of a feature tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeatureLayout {
    /// `[batch, channel, y, x]`
    Nchw,
    /// `[batch, y, x, channel]`
    Nhwc,
    /// `[batch, cell, channel]`
    Tokens,
    /// `[batch, channel, cell]`
    ChannelTokens,
}

impl fmt::Display for FeatureLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nchw => "[batch, channel, y, x]",
            Self::Nhwc => "[batch, y, x, channel]",
            Self::Tokens => "[batch, cell, channel]",
            Self::ChannelTokens => "[batch, channel, cell]",
        })
    }
}

impl FeatureLayout {
    pub(crate) fn channels_last(self) -> bool {
        matches!(self, Self::Nhwc | Self::Tokens)
    }

    /// The axes of the cells, rows first.
    pub(crate) fn cell_axes(self) -> &'static [usize] {
        match self {
            Self::Nchw => &[2, 3],
            Self::Nhwc => &[1, 2],
            Self::Tokens => &[1],
            Self::ChannelTokens => &[2],
        }
    }

    /// Number of axes.
    pub(crate) fn rank(self) -> usize {
        self.cell_axes().len() + 2
    }

    /// Returns the values as `[image, cell, channel]`, cells in the order of the features.
    pub(crate) fn cells_last(self, features: &FloatTensor) -> Vec<f32> {
        if self.channels_last() {
            return features.values.clone();
        }
        let channels = self.channels_of(&features.dims);
        let cells: usize = self.cell_axes().iter().map(|&axis| features.dims[axis]).product();
        let mut vectors = vec![0.0; features.values.len()];
        for (at, plane) in features.values.chunks_exact(cells.max(1)).enumerate() {
            let (image, channel) = (at / channels, at % channels);
            for (cell, &value) in plane.iter().enumerate() {
                vectors[(image * cells + cell) * channels + channel] = value;
            }
        }
        vectors
    }

    /// Number of channels of features with these dimensions.
    pub(crate) fn channels_of(self, dims: &[usize]) -> usize {
        let side = if self.channels_last() { dims.last() } else { dims.get(1) };
        side.copied().unwrap_or(1)
    }

    /// Shape of the pooled tensor for a Reshape (0 keeps the first axis, -1 is inferred) if `kept_axes` of the averaged
    /// axes are kept with length 1.
    pub(super) fn pooled_shape(self, kept_axes: usize) -> Vec<i64> {
        let mut shape = vec![1; kept_axes + 2];
        shape[0] = 0;
        let channel = if self.channels_last() { kept_axes + 1 } else { 1 };
        shape[channel] = -1;
        shape
    }
}

/// The map that the averaged cells form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CellGrid {
    pub(crate) layout: FeatureLayout,
    pub(crate) size: MapSize,
    /// Index of the averaged vector of each cell, row by row; `None` if they are already in this order.
    pub(crate) order: Option<Vec<usize>>,
}

impl CellGrid {
    pub(crate) fn raster(layout: FeatureLayout, size: MapSize) -> Self {
        Self { layout, size, order: None }
    }

    /// Sorts vectors of `length` values into the order of the cells, image by image.
    pub(crate) fn in_order(&self, vectors: Vec<f32>, length: usize) -> Vec<f32> {
        let Some(order) = &self.order else { return vectors };
        let images = vectors.chunks_exact((order.len() * length).max(1));
        let ordered = images.flat_map(|image| order.iter().flat_map(move |&at| &image[at * length..(at + 1) * length]));
        ordered.copied().collect()
    }
}
