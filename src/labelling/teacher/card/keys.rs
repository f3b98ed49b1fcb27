//! The keys of a card.

use crate::shared::spelling::suggestion;

/// A key of a card: a field of [`CardValues`](super::CardValues).
pub(super) struct CardKey {
    pub(super) name: &'static str,
    /// The accepted values, for error messages.
    pub(super) expected: &'static str,
    /// Whether its name is specific to the preparation of the input or the interpretation of the output, so no other
    /// table of a card would use it.
    pub(super) is_specific: bool,
    /// Whether it is read from a model's metadata.
    pub(super) is_in_metadata: bool,
    /// Names of other programs for it. Such a key is ignored, with a warning if this one is missing.
    pub(super) aliases: &'static [&'static str],
}

/// All keys. One that is added here and to [`CardValues`](super::CardValues) is checked everywhere.
pub(super) static KEYS: [CardKey; 12] = [
    CardKey { name: "name", expected: "a string", is_specific: false, is_in_metadata: false, aliases: &[] },
    CardKey {
        name: "input_size",
        expected: "height and width in pixels, such as [224, 224], each from 1 to 8192",
        is_specific: true,
        is_in_metadata: true,
        aliases: &["image_size", "img_size", "size", "resolution"],
    },
    CardKey {
        name: "mean",
        expected: "three numbers, of x/255 in channel order, such as [0.485, 0.456, 0.406]",
        is_specific: true,
        is_in_metadata: true,
        aliases: &["image_mean", "pixel_mean"],
    },
    CardKey {
        name: "std",
        expected: "three positive numbers, of x/255 in channel order, such as [0.229, 0.224, 0.225]",
        is_specific: true,
        is_in_metadata: true,
        aliases: &["image_std", "pixel_std"],
    },
    CardKey {
        name: "filter",
        expected: "\"nearest\", \"box\", \"bilinear\", \"bicubic\" or \"lanczos\"",
        is_specific: true,
        is_in_metadata: true,
        aliases: &["interpolation", "resample", "resampling"],
    },
    CardKey {
        name: "channel_order",
        expected: "\"rgb\" or \"bgr\"",
        is_specific: true,
        is_in_metadata: true,
        aliases: &["channels", "color_order", "colour_order", "color_mode", "color_space"],
    },
    CardKey {
        name: "exif_orientation",
        expected: "\"ignore\" or \"apply\"",
        is_specific: true,
        is_in_metadata: true,
        aliases: &["exif", "exif_transpose", "orientation"],
    },
    CardKey {
        name: "output",
        expected: "the name of an output of the graph",
        is_specific: false,
        is_in_metadata: false,
        aliases: &[],
    },
    CardKey {
        name: "grid",
        expected: "rows and columns of cells, such as [14, 14], each at least 1",
        is_specific: true,
        is_in_metadata: true,
        aliases: &[],
    },
    CardKey {
        name: "layout",
        expected: "\"nchw\" or \"nhwc\"",
        is_specific: true,
        is_in_metadata: true,
        aliases: &["data_format"],
    },
    // Not from metadata: only the user may skip the check, not the file that is checked.
    CardKey {
        name: "locality",
        expected: "\"proved\" or \"unchecked\"",
        is_specific: true,
        is_in_metadata: false,
        aliases: &[],
    },
    CardKey {
        name: "classes",
        expected: "\"imagenet-1k\", or a file with one class per line",
        is_specific: false,
        is_in_metadata: true,
        aliases: &["class_names", "class_list", "labels"],
    },
];

/// Returns the key of this name.
pub(super) fn key_of(name: &str) -> Option<&'static CardKey> {
    KEYS.iter().find(|key| key.name == name)
}

/// Returns the key that a misspelled name probably means.
pub(super) fn meant_key(name: &str) -> Option<&'static str> {
    suggestion(name, &KEYS.iter().map(|key| key.name).collect::<Vec<_>>())
}
