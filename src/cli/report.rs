//! `relabel report`

use std::path::Path;

use relabel::evaluation::charts::{charts, figure_tables};
use relabel::evaluation::evaluation_file::Evaluation;
use relabel::inspection::inspect::find_class;
use relabel::inspection::report::{
    Report, ReportChart, ReportFigures, ReportFolder, ReportTable, RowQuery, RowSelection, SampleMode, WrittenReport,
};
use relabel::shared::classes::ClassList;
use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;
use relabel::shared::store::StoreReader;
use relabel::shared::threads::thread_pool;
use serde_json::json;

use super::args::{Global, ReportArguments};
use super::output::{Output, bytes, count, path_json, thousands};
use super::photo_source::PhotoSource;
use super::progress_bar::RowProgress;
use super::store_access::open_store;
use super::{Outcome, stop_flag};

pub fn run(arguments: &ReportArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag();
    let store = open_store(&arguments.store)?;
    let manifest = store.manifest()?;
    let query = query(arguments, &(&store.info().classes).into())?;
    let figures = arguments.evaluation.as_deref().map(|path| figures(path, &store)).transpose()?;
    let photos = PhotoSource::open(&arguments.photos)?;
    let folder = ReportFolder::claim(&arguments.out)?;
    let index = folder.index();
    let threads = arguments.threads.map(|count| thread_pool(count, "report")).transpose()?;
    let selection = RowSelection::new(&store, &manifest, query)?;
    let photographs =
        photos.as_ref().map(|photos| photos.for_page(&store, &manifest, arguments.photo_side)).transpose()?;
    let monitor = RowProgress::new(selection.rows().len(), global, stop);
    let report = Report { store: &store, manifest: &manifest, selection: &selection, photographs, figures };
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
        "photographs_missing": written.without_photograph,
        "rows_done": selection.finished(),
        "to_do": selection.to_do(),
        "charts": report.figures.as_ref().map_or(0, |figures| figures.charts.len()),
        "bytes": written.bytes,
        "page": path_json(&index),
    });
    output.result(&text(arguments, &selection, written), &document)?;
    Ok(if written.without_photograph == 0 { Outcome::Done } else { Outcome::DoneWithProblems })
}

/// Reads an evaluation of the store, and draws its charts.
fn figures(path: &Path, store: &StoreReader) -> Result<ReportFigures, Error> {
    let evaluation = Evaluation::read(path)?;
    evaluation.verify_store(store)?;
    let charts = charts(&evaluation)
        .map_err(|problem| Error::Internal { action: "draw the charts".to_owned(), problem: problem.into() })?;
    let charts = charts.into_iter().map(|chart| ReportChart {
        title: chart.title,
        description: chart.description,
        png: chart.png,
    });
    let tables = figure_tables(&evaluation).into_iter().map(|table| ReportTable {
        title: table.title,
        columns: table.columns,
        rows: table.rows,
        notes: table.notes,
    });
    let about = format!(
        "Figures of relabel evaluate {} for all images of the store. The filters do not affect them.",
        evaluation.tool_version
    );
    Ok(ReportFigures { about, charts: charts.collect(), tables: tables.collect() })
}

fn query(arguments: &ReportArguments, classes: &ClassList) -> Result<RowQuery, Error> {
    let find = |wanted: &String| {
        find_class(classes, wanted).map_err(|problem| Error::Usage(format!("--class {wanted}: {problem}")))
    };
    let mode = if arguments.all {
        SampleMode::All
    } else {
        SampleMode::Sample { count: arguments.sample, seed: arguments.seed }
    };
    let folder_classes = arguments.classes.iter().map(find).collect::<Result<_, _>>()?;
    Ok(RowQuery { mode, folder_classes, matching: arguments.matching.clone() })
}

fn text(arguments: &ReportArguments, selection: &RowSelection, written: WrittenReport) -> String {
    let sampling = match selection.query().mode {
        SampleMode::Sample { seed, .. } if written.rows < selection.finished() => {
            format!(", at random (--seed {seed})")
        }
        _ => String::new(),
    };
    let mut text =
        format!("wrote    {} of {}{sampling}", thousands(written.rows), count(selection.finished(), "image"));
    if written.failed > 0 {
        text += &format!("; {} could not be labelled", thousands(written.failed));
    }
    text.push('\n');
    if arguments.photos.image_root.is_some() {
        text += &format!("photos   {}", thousands(written.photographs));
        if written.without_photograph > 0 {
            text += &format!("; {} cannot be shown, see the page", thousands(written.without_photograph));
        }
        text.push('\n');
    }
    if selection.to_do() > 0 {
        text += &format!("to do    {}, not shown\n", count(selection.to_do(), "image"));
    }
    text + &format!("page     {} ({})\n", printable_path(&arguments.out.join("index.html")), bytes(written.bytes))
}
