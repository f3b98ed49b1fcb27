//! Errors in the files of a store, or in values that are to be stored.

use crate::shared::error::Cause;
use crate::shared::geometry::{MapSize, map_size_text};
use crate::shared::pooling_parameters::ParameterError;

/// Errors in a file of a store, or in values that are to be stored. The caller prints the file before the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Not a JSON object.
    #[error("not a JSON object: {0}")]
    NotJson(#[source] serde_json::Error),
    /// A JSON object has no digest of its content.
    #[error("no checksum of its content")]
    NoChecksum,
    /// A JSON object was changed after it was written.
    #[error("checksum mismatch: stored {stated}, computed {computed}")]
    Checksum {
        /// Digest in the object, as JSON.
        stated: String,
        /// Digest of its content.
        computed: String,
    },
    /// The object lacks keys of a record, or has values of other types.
    #[error("not a shard record: {0}")]
    NotARecord(#[source] serde_json::Error),
    /// The record belongs to a different shard.
    #[error("this is the record of shard {0}")]
    OtherShard(usize),
    /// The record belongs to a store with different settings.
    #[error("from a store with different settings")]
    OtherStore,
    /// First row, rows, and labelled and failed images of the record do not fit the shard.
    #[error("row counts do not add up")]
    RowCounts,
    /// The files in the record are not those of the shard.
    #[error("the listed files are not those of the shard")]
    RecordFiles,
    /// The record lists a file that is too long to be the shard's.
    #[error("{path} is listed with {bytes} bytes, and at most {max_bytes} are possible")]
    RecordFileBytes {
        /// Path inside the store.
        path: String,
        /// Listed length.
        bytes: u64,
        /// Largest possible length.
        max_bytes: u64,
    },
    /// The record lists a failed row that is not in the shard.
    #[error("row {0}, listed as failed, is not in this shard")]
    FailedRow(usize),
    /// The failed rows of the record are not in order.
    #[error("failed row {row} is listed after row {previous}")]
    FailedOrder {
        /// The row that is out of order.
        row: usize,
        /// The row before it in the list.
        previous: usize,
    },
    /// The counts of the record's agreement contradict each other.
    #[error("the agreement is top-1 {top1} and top-5 {top5} of {compared} images, and the shard has {rows} rows")]
    AgreementCounts {
        /// Agreeing top-1 predictions.
        top1: usize,
        /// Agreeing top-5 predictions.
        top5: usize,
        /// Compared images.
        compared: usize,
        /// Rows of the shard.
        rows: usize,
    },
    /// The object lacks keys of a run note, or has values of other types.
    #[error("not a run note: {0}")]
    NotARunNote(#[source] serde_json::Error),
    /// The run note lists more images than a run can label.
    #[error("{images} images are listed, and at most {max_images} are possible")]
    RunNoteImages {
        /// Listed images.
        images: usize,
        /// Largest accepted number.
        max_images: usize,
    },
    /// A string is not a part.
    #[error("`{0}` is not a part\n  help: write it as `3-of-8`")]
    NotAPart(String),
    /// The part does not exist.
    #[error("task {index} is out of range: 0 to {}", count.saturating_sub(1))]
    PartIndex {
        /// Requested part.
        index: usize,
        /// Number of parts.
        count: usize,
    },
    /// A number of the store's description is out of range.
    #[error("{name} is {value}, and must be 1 to {max}")]
    OutOfRange {
        /// Key in the description.
        name: &'static str,
        /// Value in the description.
        value: usize,
        /// Largest accepted value.
        max: usize,
    },
    /// The images would make too many shards.
    #[error("{images} images make {shards} shards of {shard_images} images, and at most {max_shards} are possible")]
    TooManyShards {
        /// Number of images.
        images: usize,
        /// Images in a shard.
        shard_images: usize,
        /// Resulting number of shards.
        shards: usize,
        /// Largest accepted number.
        max_shards: usize,
    },
    /// The number of ids or names of the class list differs from the number of classes.
    #[error("{classes} classes, but {ids} class ids and {names} class names")]
    ClassNames {
        /// Number of classes.
        classes: usize,
        /// Number of ids.
        ids: usize,
        /// Number of names.
        names: usize,
    },
    /// A label map would have too many values.
    #[error("{maps} label maps of {map_size} cells with k = {k} have more than {max_values} values")]
    MapValues {
        /// Cells of the map.
        map_size: MapSize,
        /// Classes in each cell.
        k: usize,
        /// Maps of an image and its tiles.
        maps: usize,
        /// Largest accepted number of values.
        max_values: usize,
    },
    /// The version does not fit the rest of the description.
    #[error("`format_version` is {version}, but a store like this one has version {expected}")]
    FormatVersion {
        /// Version in the description.
        version: u32,
        /// Version of a store with the other values.
        expected: u32,
    },
    /// Maps of tiles without maps of images.
    #[error("it has label maps of tiles, but none of images")]
    TileMapsWithoutMaps,
    /// The labels do not have the tiles of the store.
    #[error("image {image} of the shard has labels of {tiles} tiles, the store has {store_tiles}")]
    TileCount {
        /// Position in the shard.
        image: usize,
        /// Tiles of the labels.
        tiles: usize,
        /// Tiles of the store.
        store_tiles: usize,
    },
    /// An array that the store does not have.
    #[error("the store has no array `{0}`")]
    NoArray(&'static str),
    /// Not a `pooling.json`.
    #[error("not a document of `relabel calibrate`: {0}")]
    NotACalibration(#[source] serde_json::Error),
    /// A later version of `pooling.json`.
    #[error("`pooling_version` is {version}, but this relabel reads only {expected}")]
    CalibrationVersion {
        /// Version of the document.
        version: u64,
        /// The only one that is read.
        expected: u32,
    },
    /// The `pooling.json` of another store.
    #[error("it was made for a store with other settings")]
    OtherCalibration,
    /// A parameter out of range.
    #[error(transparent)]
    Parameter(ParameterError),
    /// A record without the tiles of its store.
    #[error("it lists no files of the store's tiles")]
    NoTileFiles,
    /// The predictions of a shard would have too many values.
    #[error("{shard_images} images in a shard with k = {k} have more than {max_ranks} ranks")]
    ShardRanks {
        /// Images in a shard.
        shard_images: usize,
        /// Classes in each prediction.
        k: usize,
        /// Largest accepted number of ranks.
        max_ranks: usize,
    },
    /// The steps of scores are not a power of two, or too many.
    #[error("score_steps is {steps}, and must be a power of two up to {max_steps}")]
    ScoreSteps {
        /// Steps for each unit of score.
        steps: u16,
        /// Largest accepted number.
        max_steps: u16,
    },
    /// An entry of a shard's index points outside the file.
    #[error("its index places image {image} outside the file ({bytes} bytes at {offset} of {end})")]
    IndexEntry {
        /// Position of the image in the shard.
        image: usize,
        /// Offset of its chunk.
        offset: u64,
        /// Length of its chunk.
        bytes: u64,
        /// Where the index begins.
        end: u64,
    },
    /// A shard's index is shorter than its checksum.
    #[error("its index has {0} bytes")]
    IndexLength(usize),
    /// A shard's index does not have its checksum.
    #[error("its index does not match its checksum: the file is damaged or was replaced")]
    IndexChecksum,
    /// A chunk is shorter than its checksum or header.
    #[error("its chunk has only {0} bytes")]
    ShortChunk(usize),
    /// A chunk does not have its checksum.
    #[error("the checksum of its chunk is {computed:08x}, expected {stated:08x}")]
    ChunkChecksum {
        /// Checksum of the content.
        computed: u32,
        /// Checksum in the chunk.
        stated: u32,
    },
    /// The decoded length of a chunk is not that of its array.
    #[error("its chunk decodes to {bytes} bytes, expected {expected}")]
    ChunkBytes {
        /// Decoded length.
        bytes: usize,
        /// Expected length.
        expected: usize,
    },
    /// zarrs or zstd failed.
    #[error("cannot {action}: {source}")]
    Codec {
        /// The operation, as a verb with its object.
        action: &'static str,
        /// Underlying error.
        source: Cause,
    },
    /// The values of one array cannot be encoded or violate the format.
    #[error("{array}: {source}")]
    Array {
        /// Name of the array.
        array: &'static str,
        /// Underlying error.
        source: Box<StoreError>,
    },
    /// The shape of a label map differs from that of the store.
    #[error(
        "image {image} has a map of {} cells with k = {k}, and the store has {} cells with k = {store_k}", map_size_text(*size), map_size_text(*store_size)
    )]
    MapShape {
        /// Position of the image in the shard.
        image: usize,
        /// Cells of its map.
        size: Option<MapSize>,
        /// Classes in each of its cells.
        k: usize,
        /// Cells of the store's maps.
        store_size: Option<MapSize>,
        /// Classes in each cell of the store.
        store_k: usize,
    },
    /// A prediction has fewer classes than the store keeps.
    #[error("image {image} has a prediction of {ranks} classes, and the store keeps {store_ranks}")]
    PredictionRanks {
        /// Position of the image in the shard.
        image: usize,
        /// Classes of the prediction.
        ranks: usize,
        /// Classes that the store keeps.
        store_ranks: usize,
    },
    /// A label map has no log-sum-exp, although the store has an array for it.
    #[error("image {0} has no log-sum-exp, and the store has an array `lse`")]
    NoLse(usize),
    /// The scores of a cell are not sorted.
    #[error("cell {cell} is not sorted: {score} after {previous}")]
    NotSorted {
        /// Number of the cell, row by row.
        cell: usize,
        /// The larger score.
        score: f32,
        /// The score before it.
        previous: f32,
    },
    /// Labels of a tile are wrong.
    #[error("tile {tile}: {source}")]
    Tile {
        /// Number of the tile, from 0.
        tile: usize,
        /// Underlying error.
        source: Box<StoreError>,
    },
    /// The classes of a cell are damaged.
    #[error("cell {cell}: {source}")]
    Cell {
        /// Number of the cell, row by row.
        cell: usize,
        /// Underlying error.
        source: Box<StoreError>,
    },
    /// A class id is out of range.
    #[error("class id {class} is out of range (0 to {})", count.saturating_sub(1))]
    ClassId {
        /// Class id that was found.
        class: u32,
        /// Number of classes.
        count: usize,
    },
    /// A class is listed twice.
    #[error("class {0} is listed twice")]
    RepeatedClass(u32),
    /// Probabilities are not sorted, or are not between 0 and 1.
    #[error("{0:?} are not sorted probabilities")]
    Probabilities(Vec<f32>),
}

impl StoreError {
    /// Returns a [`StoreError::Codec`], for `map_err(StoreError::codec("decode its chunk"))`.
    pub(super) fn codec<E: Into<Cause>>(action: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Codec { action, source: error.into() }
    }
}
