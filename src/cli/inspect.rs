//! `relabel inspect`

mod image_summary;

use std::io::Write as _;

use relabel::inspection::inspect::{CropRequest, ImageView, ImageViewer, find_image};
use relabel::inspection::picture::{Scene, draw_image};
use relabel::inspection::report::{Report, ReportFolder, RowQuery, RowSelection, SampleMode};
use relabel::labelling::pixels::RgbImage;
use relabel::shared::atomic_file::AtomicFile;
use relabel::shared::classes::ClassList;
use relabel::shared::error::Error;
use relabel::shared::geometry::UnitBox;
use relabel::shared::manifest::Manifest;
use relabel::shared::monitor::NoopMonitor;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::store::{RowState, StoreReader};
use relabel::training::labels::{CropPooling, PoolingKind};
use serde_json::{Value, json};

use super::Outcome;
use super::args::{CropArgument, InspectArguments};
use super::output::{CommandResult, Output, path_json};
use super::photo_source::PhotoSource;
use super::store_access::open_store;
use super::terminal_colors::ColourSupport;

pub fn run(arguments: &InspectArguments, output: Output) -> Result<Outcome, Error> {
    output.command(&describe(arguments)?)
}

/// Reads the labels, writes the picture and the page, and returns the description.
pub fn describe(arguments: &InspectArguments) -> Result<CommandResult, Error> {
    let store = open_store(&arguments.store)?;
    let manifest = store.manifest()?;
    let row = find_image(&manifest, &arguments.image)
        .map_err(|problem| Error::Store { path: arguments.store.clone(), problem: problem.into() })?;
    let poolings = if arguments.crop.is_some() { poolings(&store, arguments.pooling)? } else { Vec::new() };
    let picture_draft = arguments.out.as_deref().map(AtomicFile::create).transpose()?;
    let page_folder = arguments.html.as_deref().map(ReportFolder::claim).transpose()?;
    let photos = PhotoSource::open(&arguments.photos)?;
    let photo = photos.as_ref().map(|photos| photos.decode_row(&store, &manifest, row)).transpose()?;
    let crop = crop(arguments.crop, photo.as_ref())?;
    let classes: ClassList = (&store.info().classes).into();
    let mut document =
        json!({ "row": row, "id": manifest.id(row), "path": manifest.path(row), "label": manifest.folder_class(row) });
    let title = format!("{} (row {row}, {})\n", printable(manifest.id(row)), printable(manifest.path(row)));
    let (text, state, outcome) = match store.row(row)? {
        RowState::Labelled(labels) => {
            let request = crop.map(|unit_box| CropRequest { unit_box, poolings });
            let mut viewer = ImageViewer::new(store.info(), &manifest, &classes);
            let view = viewer.view(row, labels, request.as_ref()).map_err(|problem| Error::Store {
                path: arguments.store.clone(),
                problem: format!("row {row}: {problem}").into(),
            })?;
            let colours = ColourSupport::for_stdout(arguments.color);
            let text = image_summary::text(&view, &classes, colours);
            let mut state = image_summary::document(&view, &classes);
            if let Some(file) = picture_draft {
                write_picture(file, &view, &classes, store.info().teacher.name.as_str(), photo.as_ref())?;
                state["picture"] = json!(arguments.out.as_deref().map(path_json));
            }
            if let Some(folder) = page_folder {
                state["page"] = path_json(&folder.index());
                write_page(folder, &store, &manifest, row, crop, photos.as_ref())?;
            }
            (text, state, Outcome::Done)
        }
        RowState::Failed(failed) => (
            format!("could not be labelled: {}\n", failed.error),
            json!({ "state": "failed", "error": failed.error }),
            Outcome::DoneWithProblems,
        ),
        RowState::ToDo => (
            "not labelled yet: its shard is still to do\n".to_owned(),
            json!({ "state": "to-do" }),
            Outcome::DoneWithProblems,
        ),
    };
    if let (Value::Object(document), Value::Object(state)) = (&mut document, state) {
        document.extend(state);
    }
    Ok(CommandResult { outcome, text: title + &text + &files_text(arguments, outcome), document })
}

/// Returns the chosen kind of pooling, or the default one and `calibrated` if the store has its parameters.
fn poolings(store: &StoreReader, chosen: Option<PoolingKind>) -> Result<Vec<(PoolingKind, CropPooling)>, Error> {
    let mut kinds: Vec<PoolingKind> = chosen.into_iter().collect();
    if kinds.is_empty() {
        kinds.push(if store.info().map_size.is_some() { PoolingKind::Paper } else { PoolingKind::Tiles });
        kinds.extend(store.calibration()?.map(|_| PoolingKind::Calibrated));
    }
    kinds.into_iter().map(|kind| Ok((kind, CropPooling::of_store(kind, store)?))).collect()
}

/// Converts the crop to 0..1 of the image.
fn crop(given: Option<CropArgument>, photo: Option<&RgbImage>) -> Result<Option<UnitBox>, Error> {
    match (given, photo) {
        (None, _) => Ok(None),
        (Some(CropArgument::Unit(unit_box)), _) => Ok(Some(unit_box)),
        (Some(CropArgument::Pixels([x0, y0, x1, y1])), Some(photo)) => {
            let (width, height) = (f64::from(photo.width_pixels()), f64::from(photo.height_pixels()));
            let unit_box = UnitBox::new(x0 / width, y0 / height, x1 / width, y1 / height);
            unit_box.and_then(UnitBox::overlapping_image).map(Some).map_err(|problem| {
                Error::Usage(format!("--crop in pixels of a photograph of {width}x{height} (width x height): {problem}"))
            })
        }
        (Some(CropArgument::Pixels(_)), None) => Err(Error::Usage(
            "--crop is in pixels, but a store does not record the size of its images\n  help: pass --image-root with the \
             photographs, or the crop in 0..1 of the image"
                .to_owned(),
        )),
    }
}

fn write_picture(
    mut file: AtomicFile,
    view: &ImageView,
    classes: &ClassList,
    teacher: &str,
    photo: Option<&RgbImage>,
) -> Result<(), Error> {
    let picture = draw_image(&Scene { view, classes, teacher, photo }).map_err(|problem| Error::Internal {
        action: format!("draw the picture of {}", view.id),
        problem: problem.into(),
    })?;
    file.write_all(&picture).map_err(|error| Error::file("write", file.path())(error))?;
    file.commit()
}

/// Longer side of the photograph on its page, in pixels.
const PAGE_PHOTO_PIXELS: usize = 960;

fn write_page(
    folder: ReportFolder,
    store: &StoreReader,
    manifest: &Manifest,
    row: usize,
    crop: Option<UnitBox>,
    photos: Option<&PhotoSource<'_>>,
) -> Result<(), Error> {
    let query = RowQuery { mode: SampleMode::One { row, crop }, folder_classes: Vec::new(), matching: None };
    let selection = RowSelection::new(store, manifest, query)?;
    let photographs = photos.map(|photos| photos.for_page(store, manifest, PAGE_PHOTO_PIXELS)).transpose()?;
    Report { store, manifest, selection: &selection, photographs, figures: None }.write(folder, &NoopMonitor)?;
    Ok(())
}

/// Lists the files that were written, or not.
fn files_text(arguments: &InspectArguments, outcome: Outcome) -> String {
    let index = arguments.html.as_ref().map(|folder| folder.join("index.html"));
    let mut text = String::new();
    for (what, path) in [("picture", arguments.out.as_ref()), ("page", index.as_ref())] {
        let Some(path) = path else { continue };
        if text.is_empty() {
            text.push('\n');
        }
        text += &match outcome {
            Outcome::Done => format!("{what:<8} {}\n", printable_path(path)),
            Outcome::DoneWithProblems => {
                format!("{what:<8} {} was not written, since there are no labels\n", printable_path(path))
            }
        };
    }
    text
}
