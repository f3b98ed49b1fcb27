//! `relabel compare`

mod comparison_text;

use std::io::Write as _;
use std::path::Path;

use relabel::evaluation::compare::{
    ComparedImage, Comparison, ComparisonFile, ComparisonOptions, ComparisonSummary, ImagePairs, StoreSide,
};
use relabel::inspection::inspect::{find_image, name_of_row};
use relabel::inspection::picture::{MapPanel, PairScene, draw_pair};
use relabel::shared::atomic_file::AtomicFile;
use relabel::shared::error::Error;
use relabel::shared::geometry::map_size_text;
use relabel::shared::label_map::{ImageLabels, LabelMap};
use relabel::shared::manifest::Manifest;
use relabel::shared::threads::thread_pool;
use serde_json::{Value, json};

use super::args::{CompareArguments, Global};
use super::output::{CommandResult, Output, count, path_json, warning};
use super::photo_source::PhotoSource;
use super::progress_bar::RowProgress;
use super::store_access::open_store;
use super::{Outcome, stop_flag};

pub fn run(arguments: &CompareArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let file = arguments.out.as_deref().map(ComparisonFile::new).transpose()?;
    if arguments.photos.image_root.is_some() && arguments.picture.is_none() {
        return Err(Error::Usage(
            "--image-root is only used with --picture\n  help: pass --picture FILE.png".to_owned(),
        ));
    }
    let stop = stop_flag();
    let (a, b) = (open_store(&arguments.a)?, open_store(&arguments.b)?);
    let (a_manifest, b_manifest) = (a.manifest()?, b.manifest()?);
    let pairs = ImagePairs::new((&a, &a_manifest), (&b, &b_manifest))?;
    let chosen = arguments.picture_of.as_deref().map(|name| find_row(&a_manifest, name, arguments)).transpose()?;
    let photos = PhotoSource::open(&arguments.photos)?;
    let drafts = file.as_ref().map(|file| file.drafts(&[&arguments.a, &arguments.b])).transpose()?;
    let picture = arguments.picture.as_deref().map(AtomicFile::create).transpose()?;
    let progress = RowProgress::new(pairs.len(), global, stop);
    let sides = [StoreSide { store: &a, manifest: &a_manifest }, StoreSide { store: &b, manifest: &b_manifest }];
    let options = ComparisonOptions { crops: arguments.crops, seed: arguments.seed };
    let work = || {
        let comparison = Comparison::run(sides[0], sides[1], pairs, options, &progress)?;
        let drawn = match picture {
            Some(file) => Some(draw(file, &comparison, sides, chosen, photos.as_ref())?),
            None => None,
        };
        if let Some(drafts) = drafts {
            drafts.write(&comparison, &progress)?;
        }
        Ok((comparison.summary(), drawn))
    };
    let result: Result<(ComparisonSummary, Option<usize>), Error> = match arguments.threads {
        Some(count) => thread_pool(count, "compare")?.install(work),
        None => work(),
    };
    progress.finish();
    let (summary, drawn) = result?;
    if summary.labelled_in_one > 0 {
        let images = count(summary.labelled_in_one, "image");
        warning(&format!("the agreement does not include {images} with labels in only one store"));
    }
    let passed = arguments.require_agreement.is_none_or(|required| summary.agreement >= required);
    let name = |row: usize| name_of_row(&a_manifest, row);
    let written = comparison_text::Written {
        arguments,
        stores: [a.path(), b.path()],
        file: file.as_ref(),
        picture_of: drawn.map(name),
        next: summary.worst.first().map(|worst| name(worst.row_a)),
    };
    output.command(&CommandResult {
        outcome: if passed { Outcome::Done } else { Outcome::DoneWithProblems },
        text: comparison_text::text(&summary, &written, passed),
        document: document(&summary, &written, passed),
    })
}

fn find_row(manifest: &Manifest, name: &str, arguments: &CompareArguments) -> Result<usize, Error> {
    find_image(manifest, name).map_err(|problem| Error::Store { path: arguments.a.clone(), problem: problem.into() })
}

/// Draws the chosen image, or the one that differs most. Returns its row in the first store.
fn draw(
    mut file: AtomicFile,
    comparison: &Comparison<'_>,
    [a, b]: [StoreSide<'_>; 2],
    chosen: Option<usize>,
    photos: Option<&PhotoSource<'_>>,
) -> Result<usize, Error> {
    let image = match chosen {
        None => comparison.images().first(),
        Some(row) => comparison.images().iter().find(|image| image.row_a == row),
    };
    let Some(image) = image else {
        let id = a.manifest.id(chosen.unwrap_or_default());
        let problem = format!("cannot draw `{id}`: it does not have labels in both stores");
        return Err(Error::Store { path: a.store.path().to_path_buf(), problem: problem.into() });
    };
    let photo = photos.map(|photos| photos.decode_row(a.store, a.manifest, image.row_a)).transpose()?;
    let [in_a, in_b] = comparison.labels(image)?;
    let title = |letter: char, side: StoreSide<'_>| format!("{letter}: {}", last_name(side.store.path()));
    let detail = |side: StoreSide<'_>| {
        let info = side.store.info();
        format!("{}, {} cells, top {}", info.teacher.name, map_size_text(info.map_size), info.k)
    };
    let (titles, details) = ([title('A', a), title('B', b)], [detail(a), detail(b)]);
    let maps = [label_map(&in_a)?, label_map(&in_b)?];
    let panel = |at: usize| MapPanel { title: &titles[at], detail: &details[at], map: maps[at] };
    let id = a.manifest.id(image.row_a);
    let scene = PairScene {
        title: id,
        note: &note(comparison, image),
        maps: [panel(0), panel(1)],
        classes: comparison.classes(),
        photo: photo.as_ref(),
    };
    let picture = draw_pair(&scene)
        .map_err(|problem| Error::Internal { action: format!("draw the picture of {id}"), problem: problem.into() })?;
    file.write_all(&picture).map_err(|error| Error::file("write", file.path())(error))?;
    file.commit()?;
    Ok(image.row_a)
}

/// Returns the label map of a compared image. Comparisons are refused for stores without maps.
fn label_map(labels: &ImageLabels) -> Result<&LabelMap, Error> {
    labels.label_map().map_err(|problem| Error::Internal { action: "draw maps".to_owned(), problem: problem.into() })
}

/// Describes how the maps of an image differ.
fn note(comparison: &Comparison<'_>, image: &ComparedImage) -> String {
    let mut note = match &image.cells {
        Some(_) if image.is_identical => "The labels are identical".to_owned(),
        Some(cells) => format!("The best class is the same in {} of {} cells", cells.same_best, cells.cells),
        None => "The maps have different sizes".to_owned(),
    };
    if !image.is_identical {
        note += &format!(" · total variation of crops {:.3}", image.crops.mean_distance);
    }
    if let Some(looks_like) = comparison.likeness_text(image) {
        note += &format!(" · B looks like: {looks_like}");
    }
    note
}

/// Returns the last part of a path or address.
fn last_name(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = text.trim_end_matches('/');
    text.rsplit('/').next().unwrap_or(text).to_owned()
}

fn document(summary: &ComparisonSummary, written: &comparison_text::Written<'_>, passed: bool) -> Value {
    let mut document = json!(summary);
    for (side, path) in ["a", "b"].iter().zip(written.stores) {
        document[side]["path"] = path_json(path);
    }
    document["required_agreement"] = json!(written.arguments.require_agreement);
    document["passed"] = json!(passed);
    document["out"] = json!(written.file.map(|file| path_json(file.path())));
    document["classes_out"] = json!(written.file.and_then(ComparisonFile::classes_path).as_deref().map(path_json));
    document["picture"] = json!(written.arguments.picture.as_deref().map(path_json));
    document
}
