//! `relabel report`

use relabel::inspection::inspect::find_class;
use relabel::inspection::report::{Choice, Query, Report, ReportFolder, Which, Written};
use relabel::shared::classes::ClassList;
use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;
use relabel::shared::threads::thread_pool;
use serde_json::json;

use super::args::{Global, ReportArguments};
use super::counting::Counting;
use super::output::{Output, bytes, count, path_json, thousands};
use super::photos::Photos;
use super::places::open_store;
use super::{Outcome, stop_flag};

pub fn run(arguments: &ReportArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag();
    let store = open_store(&arguments.store)?;
    let manifest = store.manifest()?;
    let query = query(arguments, &(&store.info().classes).into())?;
    let photos = Photos::of(&arguments.photos)?;
    let folder = ReportFolder::claim(&arguments.out)?;
    let index = folder.index();
    let threads = arguments.threads.map(|count| thread_pool(count, "report")).transpose()?;
    let choice = Choice::make(&store, &manifest, query)?;
    let photographs =
        photos.as_ref().map(|photos| photos.for_page(&store, &manifest, arguments.photo_side)).transpose()?;
    let monitor = Counting::new(choice.rows().len(), global, stop);
    let report = Report { store: &store, manifest: &manifest, choice: &choice, photographs };
    let write = || report.write(folder, &monitor);
    let written = match threads {
        Some(pool) => pool.install(write),
        None => write(),
    };
    monitor.finish();
    let written = written?;
    let document = json!({
        "rows": written.rows,
        "failed": written.failed,
        "photographs": written.photographs,
        "without_photograph": written.without_photograph,
        "finished": choice.finished(),
        "to_do": choice.to_do(),
        "bytes": written.bytes,
        "page": path_json(&index),
    });
    output.result(&words(arguments, &choice, written), &document)?;
    Ok(if written.without_photograph == 0 { Outcome::Done } else { Outcome::DoneWithProblems })
}

fn query(arguments: &ReportArguments, classes: &ClassList) -> Result<Query, Error> {
    let find = |wanted: &String| {
        find_class(classes, wanted).map_err(|problem| Error::Usage(format!("--class {wanted}: {problem}")))
    };
    let which =
        if arguments.all { Which::All } else { Which::Sample { count: arguments.sample, seed: arguments.seed } };
    let classes = arguments.classes.iter().map(find).collect::<Result<_, _>>()?;
    Ok(Query { which, classes, matching: arguments.matching.clone() })
}

fn words(arguments: &ReportArguments, choice: &Choice, written: Written) -> String {
    let how = match choice.query().which {
        Which::Sample { seed, .. } if written.rows < choice.finished() => format!(", at random (--seed {seed})"),
        _ => String::new(),
    };
    let mut words = format!("wrote    {} of {}{how}", count(written.rows, "image"), thousands(choice.finished()));
    if written.failed > 0 {
        words += &format!("; {} of them could not be labelled", thousands(written.failed));
    }
    words.push('\n');
    if arguments.photos.image_root.is_some() {
        words += &format!("photos   {}", thousands(written.photographs));
        if written.without_photograph > 0 {
            words += &format!("; {} cannot be shown, the page says why", thousands(written.without_photograph));
        }
        words.push('\n');
    }
    if choice.to_do() > 0 {
        words += &format!("to do    {} are not labelled yet and not shown\n", count(choice.to_do(), "image"));
    }
    words + &format!("page     {} ({})\n", printable_path(&arguments.out.join("index.html")), bytes(written.bytes))
}
