//! The normalisation of pixels inside the graph.

use super::builder::{GraphBuilder, int, ints};
use super::spec::{ImageInput, InputLayout, port};
use crate::labelling::teacher::Views;
use crate::labelling::teacher::card::{ChannelOrder, TeacherCard};
use crate::labelling::teacher::graph::element;

impl GraphBuilder<'_> {
    /// Adds `(x / 255 - mean) / std` on u8 pixels, in the teacher's channel order, layout and precision.
    pub(super) fn normalise(&mut self, input: &ImageInput, card: &TeacherCard, views: Views) {
        let mut tensor = port::PIXELS.to_owned();
        if views == Views::ImageAndMirror {
            let backwards: Vec<i64> = (0..i64::from(card.input_size.width_pixels())).rev().collect();
            let backwards = self.ints("pixels_backwards", &backwards);
            let mirrored = self.add("mirrored_pixels", "Gather", &[&tensor, &backwards], vec![int("axis", 2)]);
            tensor = self.add("pixels_of_views", "Concat", &[&tensor, &mirrored], vec![int("axis", 0)]);
        }
        if card.channel_order == ChannelOrder::Bgr {
            let order = self.ints("channel_order", &[2, 1, 0]);
            tensor = self.add("reordered", "Gather", &[&tensor, &order], vec![int("axis", 3)]);
        }
        let per_channel: &[i64] = match input.layout {
            InputLayout::Nchw => {
                tensor = self.add("planes", "Transpose", &[&tensor], vec![ints("perm", &[0, 3, 1, 2])]);
                &[1, 3, 1, 1]
            }
            InputLayout::Nhwc => &[1, 1, 1, 3],
        };
        tensor = self.add("float_pixels", "Cast", &[&tensor], vec![int("to", i64::from(element::FLOAT))]);
        // Computed in float64 here: x - 255 mean, then / (255 std).
        let shift = self.floats("mean", per_channel, &card.mean.map(|mean| (mean * 255.0) as f32));
        let scale = self.floats("std", per_channel, &card.std.map(|std| (std * 255.0).recip() as f32));
        tensor = self.add("centred", "Sub", &[&tensor, &shift], vec![]);
        tensor = self.add("normalised", "Mul", &[&tensor, &scale], vec![]);
        self.node("Cast", &[&tensor], &input.name, vec![int("to", i64::from(input.element))]);
    }
}
