//! `relabel publish`

mod words;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::{ProgressBar, ProgressStyle};
use relabel::inspection::inspect::find;
use relabel::release::{
    BucketTarget, Delivery, Existing, FolderTarget, HubLimits, Licence, Picture, Progress, Release, Request, Sign,
    Signer, StoredAs, Target, Tool, Watch, Wholeness, check_target, deliver, plan, would_send,
};
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::regular_file::concerns_file;
use relabel::shared::remote::{Access, RemoteFiles, is_address};
use relabel::shared::store::{Depth, StoreReader, VerifyProgress};
use serde_json::json;

use super::args::{Global, PublishArguments};
use super::counting::Counting;
use super::output::{Output, may_draw, say};
use super::photos::Photos;
use super::places::{settings, warn_of};
use super::{Outcome, raised, stop_flag};

pub fn run(arguments: &PublishArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let target = target(arguments)?;
    check_target(&*target)?;
    let licence = licence(&arguments.license)?;
    let source_terms = arguments.source_terms.as_deref().map(source_terms).transpose()?;
    let signer = arguments.sign.as_deref().map(signer).transpose()?;
    let sign = signer.as_ref().map(|signer| |sums: &[u8]| signer.sign(sums));
    let stop = stop_flag();
    let store = StoreReader::open(&arguments.store)?;
    warn_of(store.info());
    let request = Request {
        name: arguments.name.clone(),
        licence,
        source_terms,
        source_dataset: arguments.source_dataset.clone(),
        hub_repo: arguments.hub_repo.clone(),
        wholeness: if arguments.allow_partial { Wholeness::PartialAllowed } else { Wholeness::Whole },
        depth: if arguments.full { Depth::Values } else { Depth::Files },
        picture: picture(arguments, &store)?,
        hub_limits: if arguments.beyond_hub_limits { HubLimits::Ignored } else { HubLimits::Kept },
        tool: Tool {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("RELABEL_COMMIT").map(str::to_owned),
        },
        sign: sign.as_ref().map(|sign| sign as &Sign<'_>),
    };
    let bar = if may_draw() && !global.quiet { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let heard = |step| match step {
        VerifyProgress::Shards(shards) => bar.set_length(shards as u64),
        VerifyProgress::ShardDone => bar.inc(1),
    };
    let counting = Counting::new(store.info().images, global, Arc::clone(&stop));
    let planned = plan(&store, &request, &heard, &counting);
    bar.finish_and_clear();
    counting.finish();
    let release = planned?;
    for warning in &release.warnings {
        say(warning);
    }
    let existing = if arguments.replace { Existing::Replace } else { Existing::Keep };
    let done = if arguments.dry_run {
        let missing = would_send(&release.files, &*target, existing)?;
        Done::Planned { files: missing.len(), bytes: missing.iter().map(|file| file.bytes).sum() }
    } else {
        let at_a_time = arguments.at_a_time.unwrap_or(if is_address(&arguments.to) { UPLOADS } else { COPIES });
        Done::Delivered(bring(&release, &*target, existing, at_a_time, global, &stop)?)
    };
    let signed_by = signer.as_ref().map(|signer| format!("{} ({})", signer.fingerprint(), signer.public_key()));
    let words = words::of(arguments, &release, done, signed_by.as_deref());
    output.result(&words, &document(arguments, &release, done, signed_by.as_deref()))?;
    Ok(Outcome::Done)
}

/// What came of it.
#[derive(Clone, Copy)]
enum Done {
    /// Nothing was written; so much would be.
    Planned { files: usize, bytes: u64 },
    /// It is there.
    Delivered(Delivery),
}

/// Files at a time to an object store, which takes its time to answer.
const UPLOADS: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Files at a time into a folder.
const COPIES: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Where the release goes.
fn target(arguments: &PublishArguments) -> Result<Box<dyn Target>, Error> {
    if is_address(&arguments.to) {
        if arguments.link {
            return Err(Error::Usage("--link is for folders; what goes over the network is copied".to_owned()));
        }
        return Ok(Box::new(BucketTarget::new(RemoteFiles::open(&arguments.to, settings(Access::Write))?)));
    }
    let folder = PathBuf::from(&arguments.to);
    let real = |path: &Path| path.canonicalize().ok();
    // A folder that does not exist yet lies where its nearest existing one does.
    let there = folder.ancestors().map(|at| if at.as_os_str().is_empty() { Path::new(".") } else { at }).find_map(real);
    if let (Some(there), Some(store)) = (there, real(&arguments.store))
        && (there.starts_with(&store) || real(&folder).is_some_and(|folder| store.starts_with(folder)))
    {
        return Err(Error::Usage(format!(
            "--to {}: a release is a folder of its own, neither in the store nor around it",
            arguments.to
        )));
    }
    let stored_as = if arguments.link { StoredAs::Links } else { StoredAs::Copies };
    Ok(Box::new(FolderTarget::new(folder, stored_as)))
}

/// Delivers, with a bar.
fn bring(
    release: &Release,
    target: &dyn Target,
    existing: Existing,
    at_a_time: NonZeroUsize,
    global: &Global,
    stop: &AtomicBool,
) -> Result<Delivery, Error> {
    let bar = if may_draw() && !global.quiet { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {bytes} of {total_bytes}, {eta} to go");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let heard = |progress| match progress {
        Progress::Begun { bytes, .. } => bar.set_length(bytes),
        Progress::FileDone { bytes } => bar.inc(bytes),
    };
    let watch = Watch { heard: &heard, stop: &|| raised(stop) };
    let delivered = deliver(&release.files, target, existing, at_a_time, &watch);
    bar.finish_and_clear();
    if matches!(delivered, Err(Error::Interrupted)) {
        say(&format!("{} is not whole yet; the same command goes on with what is missing", target.name()));
    }
    delivered
}

/// Who signs.
fn signer(key: &Path) -> Result<Signer, Error> {
    let passphrase = std::env::var("RELABEL_KEY_PASSPHRASE").ok();
    Signer::open(key, passphrase.as_deref())
}

/// An id, or the text of a file of this name.
fn licence(given: &str) -> Result<Licence, Error> {
    let path = Path::new(given);
    let licence = if is_file(path)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Licence::of_text(&name, text_of(path)?)
    } else {
        Licence::of_id(given)
    };
    licence.map_err(|problem| Error::Usage(format!("--license: {problem}")))
}

/// Words, or those of a file of this name.
fn source_terms(given: &str) -> Result<String, Error> {
    let path = Path::new(given);
    if is_file(path)? {
        return text_of(path);
    }
    // `CC-BY-4.0` is words, and `terms.md` is a file that is missing.
    let is_page =
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("md") || ending.eq_ignore_ascii_case("txt"));
    let is_path = !given.contains(char::is_whitespace) && (given.contains('/') || is_page);
    if given.trim().is_empty() || (is_path && !given.contains("://")) {
        return Err(Error::Usage(format!("--source-terms {given}: there is no such file, and it is no text either")));
    }
    Ok(given.to_owned())
}

/// Whether there is a file of this name. Words that are too long for a name are none.
fn is_file(path: &Path) -> Result<bool, Error> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if concerns_file(&error) => Ok(false),
        Err(error) => Err(Error::file("look at", path)(error)),
    }
}

fn text_of(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::file("read", path))
}

/// What the picture shows; the photograph is read only where one was asked for.
fn picture(arguments: &PublishArguments, store: &StoreReader) -> Result<Picture, Error> {
    let Some(wanted) = &arguments.picture else {
        if arguments.photos.image_root.is_some() {
            let what = "--image-root gives the photograph of the image that --picture names; name one, or leave it out";
            return Err(Error::Usage(what.to_owned()));
        }
        return Ok(Picture::Chosen);
    };
    let manifest: Manifest = store.manifest()?;
    let row = find(&manifest, wanted).map_err(|problem| Error::Store {
        path: arguments.store.clone(),
        problem: format!("--picture: {problem}").into(),
    })?;
    let photos = Photos::of(&arguments.photos)?;
    let photo = photos.as_ref().map(|photos| photos.decoded(store, &manifest, row)).transpose()?;
    Ok(Picture::Of { row, photo })
}

fn document(arguments: &PublishArguments, release: &Release, done: Done, signed_by: Option<&str>) -> serde_json::Value {
    let files: Vec<_> = release
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "bytes": file.bytes, "sha256": file.sha256 }))
        .collect();
    json!({
        "to": arguments.to,
        "name": release.name,
        "partial": release.is_partial(),
        "images": release.status.images,
        "labelled": release.status.labelled,
        "failed": release.status.failed,
        "to_do": release.status.to_do,
        "verdicts": release.verdicts,
        "pictured": release.pictured,
        "bytes": release.bytes(),
        "files": files,
        "shortened": release.shortened,
        "warnings": release.warnings,
        "licence": release.licence,
        "source_terms": release.source_terms,
        "delivered": match done {
            Done::Delivered(delivery) => Some(delivery),
            Done::Planned { .. } => None,
        },
        "would_send": match done {
            Done::Planned { files, bytes } => json!({ "files": files, "bytes": bytes }),
            Done::Delivered(_) => json!(null),
        },
        "signed_by": signed_by,
        "upload": words::upload_command(arguments),
    })
}
