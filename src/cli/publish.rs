//! `relabel publish`

mod release_summary;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relabel::evaluation::evaluation_file::Evaluation;
use relabel::inspection::inspect::find_image;
use relabel::release::{
    BucketDestination, Completeness, Delivery, DeliveryCallbacks, DeliveryProgress, Existing, FolderDestination,
    HubLimits, Licence, LinkMode, OverviewPicture, PublishOptions, Release, ReleaseDestination, SignFn, Signer,
    ToolVersion, build_release, check_destination, deliver, files_to_send,
};
use relabel::shared::error::Error;
use relabel::shared::regular_file::concerns_file;
use relabel::shared::remote::{Access, RemoteFiles, is_address};
use relabel::shared::store::{Depth, StoreReader, VerifyProgress};
use serde_json::{Value, json};

use super::args::{Global, PublishArguments};
use super::output::{Output, message, warning};
use super::photo_source::PhotoSource;
use super::progress_bar::{RowProgress, step_bar, styled_bar};
use super::store_access::{network_settings, warn_if_unchecked};
use super::{Outcome, raised, stop_flag};

pub fn run(arguments: &PublishArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let destination = destination(arguments)?;
    check_destination(&*destination)?;
    let licence = licence(&arguments.license)?;
    let source_terms = arguments.source_terms.as_deref().map(source_terms).transpose()?;
    let evaluation = arguments.evaluation.as_deref().map(Evaluation::read).transpose()?;
    let signer = arguments.sign.as_deref().map(signer).transpose()?;
    let sign = signer.as_ref().map(|signer| |sums: &[u8]| signer.sign(sums));
    let stop = stop_flag();
    let store = StoreReader::open(&arguments.store)?;
    warn_if_unchecked(store.info());
    let options = PublishOptions {
        name: arguments.name.clone(),
        licence,
        source_terms,
        source_dataset: arguments.source_dataset.clone(),
        hub_repo: arguments.hub_repo.clone(),
        evaluation,
        completeness: if arguments.allow_partial { Completeness::PartialAllowed } else { Completeness::Required },
        depth: if arguments.full { Depth::Values } else { Depth::Files },
        picture: picture(arguments, &store)?,
        hub_limits: if arguments.beyond_hub_limits { HubLimits::Ignored } else { HubLimits::Enforced },
        tool: ToolVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("RELABEL_COMMIT").map(str::to_owned),
        },
        sign: sign.as_ref().map(|sign| sign as &SignFn<'_>),
    };
    let release = build_with_progress(&store, &options, global, &stop)?;
    for text in &release.warnings {
        warning(text);
    }
    let existing = if arguments.replace { Existing::Replace } else { Existing::Keep };
    let result = if arguments.dry_run {
        let missing = files_to_send(&release.files, &*destination, existing)?;
        PublishResult::Planned { files: missing.len(), bytes: missing.iter().map(|file| file.bytes).sum() }
    } else {
        let concurrency = arguments.at_a_time.unwrap_or(if is_address(&arguments.to) { UPLOADS } else { COPIES });
        PublishResult::Delivered(deliver_with_progress(&release, &*destination, existing, concurrency, global, &stop)?)
    };
    let signed_by = signer.as_ref().map(|signer| format!("{} ({})", signer.fingerprint(), signer.public_key()));
    let text = release_summary::text(arguments, &release, result, signed_by.as_deref());
    output.result(&text, &document(arguments, &release, result, signed_by.as_deref()))?;
    Ok(Outcome::Done)
}

/// Result of publishing.
#[derive(Clone, Copy)]
enum PublishResult {
    /// Nothing was written; these files would be.
    Planned {
        files: usize,
        bytes: u64,
    },
    Delivered(Delivery),
}

/// Concurrent uploads to an object store, which has a high latency.
const UPLOADS: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Concurrent copies into a folder.
const COPIES: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Returns the destination of the release.
fn destination(arguments: &PublishArguments) -> Result<Box<dyn ReleaseDestination>, Error> {
    if is_address(&arguments.to) {
        if arguments.link {
            return Err(Error::Usage(
                "--link requires a folder as --to, and this is a URL\n  help: omit --link".to_owned(),
            ));
        }
        return Ok(Box::new(BucketDestination::new(RemoteFiles::open(
            &arguments.to,
            network_settings(Access::Write),
        )?)));
    }
    let folder = PathBuf::from(&arguments.to);
    let real = |path: &Path| path.canonicalize().ok();
    // The nearest existing ancestor shows where a new folder will be.
    let existing =
        folder.ancestors().map(|at| if at.as_os_str().is_empty() { Path::new(".") } else { at }).find_map(real);
    if let (Some(existing), Some(store)) = (existing, real(&arguments.store))
        && (existing.starts_with(&store) || real(&folder).is_some_and(|folder| store.starts_with(folder)))
    {
        return Err(Error::Usage(format!(
            "--to {}: cannot publish into the store or a folder that contains it\n  help: choose another --to",
            arguments.to
        )));
    }
    let link_mode = if arguments.link { LinkMode::Hardlink } else { LinkMode::Copy };
    Ok(Box::new(FolderDestination::new(folder, link_mode)))
}

fn build_with_progress(
    store: &StoreReader,
    options: &PublishOptions<'_>,
    global: &Global,
    stop: &Arc<AtomicBool>,
) -> Result<Release, Error> {
    let bar = step_bar(0, global);
    let on_step = |step| match step {
        VerifyProgress::Shards(shards) => bar.set_length(shards as u64),
        VerifyProgress::ShardDone => bar.inc(1),
    };
    let rows = RowProgress::new(store.info().images, global, Arc::clone(stop));
    let release = build_release(store, options, &on_step, &rows);
    bar.finish_and_clear();
    rows.finish();
    release
}

fn deliver_with_progress(
    release: &Release,
    destination: &dyn ReleaseDestination,
    existing: Existing,
    concurrency: NonZeroUsize,
    global: &Global,
    stop: &AtomicBool,
) -> Result<Delivery, Error> {
    let bar = styled_bar(0, global, "{bar:30} {percent:>3}% {bytes} of {total_bytes}, {eta} left");
    let on_progress = |progress| match progress {
        DeliveryProgress::Started { bytes, .. } => bar.set_length(bytes),
        DeliveryProgress::FileDone { bytes } => bar.inc(bytes),
    };
    let callbacks = DeliveryCallbacks { on_progress: &on_progress, should_stop: &|| raised(stop) };
    let delivered = deliver(&release.files, destination, existing, concurrency, &callbacks);
    bar.finish_and_clear();
    if matches!(delivered, Err(Error::Interrupted)) {
        message(&format!("{} is incomplete; re-run the same command to resume", destination.name()));
    }
    delivered
}

fn signer(key: &Path) -> Result<Signer, Error> {
    let passphrase = std::env::var("RELABEL_KEY_PASSPHRASE").ok();
    Signer::open(key, passphrase.as_deref())
}

/// Returns the licence with the given id, or the text of the given file.
fn licence(given: &str) -> Result<Licence, Error> {
    let path = Path::new(given);
    let licence = if is_file(path)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Licence::from_text(&name, read_text(path)?)
    } else {
        Licence::from_id(given)
    };
    licence.map_err(|problem| Error::Usage(format!("--license: {problem}")))
}

/// Returns the given statement, or that of the given file.
fn source_terms(given: &str) -> Result<String, Error> {
    let path = Path::new(given);
    if is_file(path)? {
        return read_text(path);
    }
    // `CC-BY-4.0` is a statement, `terms.md` a missing file.
    let is_page =
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("md") || ending.eq_ignore_ascii_case("txt"));
    let is_path = !given.contains(char::is_whitespace) && (given.contains('/') || is_page);
    if given.trim().is_empty() || (is_path && !given.contains("://")) {
        return Err(Error::Usage(format!(
            "--source-terms {given}: file not found\n  help: pass an existing file, or the statement itself"
        )));
    }
    Ok(given.to_owned())
}

/// Returns whether the file exists. A statement that is too long for a file name is not a file.
fn is_file(path: &Path) -> Result<bool, Error> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if concerns_file(&error) => Ok(false),
        Err(error) => Err(Error::file("access", path)(error)),
    }
}

fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::file("read", path))
}

/// Returns the image of the picture. Its photograph is read only with `--image-root`.
fn picture(arguments: &PublishArguments, store: &StoreReader) -> Result<OverviewPicture, Error> {
    let Some(wanted) = &arguments.picture else {
        if arguments.photos.image_root.is_some() {
            let problem = "--image-root requires --picture\n  help: choose the image whose photograph is published with --picture IMAGE";
            return Err(Error::Usage(problem.to_owned()));
        }
        return Ok(OverviewPicture::Automatic);
    };
    let manifest = store.manifest()?;
    let row = find_image(&manifest, wanted).map_err(|problem| Error::Store {
        path: arguments.store.clone(),
        problem: format!("--picture: {problem}").into(),
    })?;
    let photos = PhotoSource::open(&arguments.photos)?;
    let photo = photos.as_ref().map(|photos| photos.decode_row(store, &manifest, row)).transpose()?;
    Ok(OverviewPicture::Image { row, photo })
}

fn document(arguments: &PublishArguments, release: &Release, result: PublishResult, signed_by: Option<&str>) -> Value {
    let files: Vec<_> = release
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "bytes": file.bytes, "sha256": file.sha256 }))
        .collect();
    let (delivered, planned) = match result {
        PublishResult::Delivered(delivery) => (Some(delivery), None),
        PublishResult::Planned { files, bytes } => (None, Some(json!({ "files": files, "bytes": bytes }))),
    };
    json!({
        "destination": arguments.to,
        "name": release.name,
        "partial": release.is_partial(),
        "images": release.status.images,
        "labelled": release.status.labelled,
        "failed": release.status.failed,
        "to_do": release.status.to_do,
        "verdicts": release.verdicts,
        "picture_ids": release.pictured,
        "bytes": release.bytes(),
        "files": files,
        "redactions": release.redactions,
        "warnings": release.warnings,
        "licence": release.licence,
        "source_terms": release.source_terms,
        "delivered": delivered,
        "planned": planned,
        "signed_by": signed_by,
        "upload_command": release_summary::upload_command(arguments),
    })
}
