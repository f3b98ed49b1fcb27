//! Normalises pixels on the host, for graphs that take floating-point images.

use super::batch::PixelBatch;
use super::card::{ChannelOrder, Normalisation};
use super::rewrite::{ImageInput, InputLayout};
use super::tensors::FloatTensor;

/// Computes `(x / 255 - mean) / std` in float64, and rounds it to float32.
pub(super) fn normalised_input(pixels: &PixelBatch, normalisation: &Normalisation, input: &ImageInput) -> FloatTensor {
    let source_channel = |channel: usize| match normalisation.channel_order {
        ChannelOrder::Rgb => channel,
        ChannelOrder::Bgr => 2 - channel,
    };
    let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| {
        let (mean, std) = (normalisation.mean[channel], normalisation.std[channel]);
        std::array::from_fn(|byte| ((byte as f64 / 255.0 - mean) / std) as f32)
    });
    let (images, size) = (pixels.images(), pixels.size());
    let (height, width) = (size.height_pixels() as usize, size.width_pixels() as usize);
    let mut values = Vec::with_capacity(images * size.rgb_bytes());
    let dims = match input.layout {
        InputLayout::Nchw => {
            for image in 0..images {
                for (channel, table) in tables.iter().enumerate() {
                    let bytes = pixels.image(image).iter().skip(source_channel(channel)).step_by(3);
                    values.extend(bytes.map(|&byte| table[usize::from(byte)]));
                }
            }
            vec![images, 3, height, width]
        }
        InputLayout::Nhwc => {
            for pixel in pixels.data().chunks_exact(3) {
                let value = |channel: usize| tables[channel][usize::from(pixel[source_channel(channel)])];
                values.extend([value(0), value(1), value(2)]);
            }
            vec![images, height, width, 3]
        }
    };
    FloatTensor { dims, values, element: input.element }
}
