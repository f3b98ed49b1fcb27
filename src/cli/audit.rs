//! `relabel audit`

use relabel::inspection::audit::{
    Audit, AuditFile, AuditOptions, AuditSummary, ClassStatistics, ImageShare, rows_of_classes,
};
use relabel::inspection::inspect::{find_class, name_of_row};
use relabel::shared::classes::ClassList;
use relabel::shared::error::Error;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::threads::thread_pool;
use serde_json::json;

use super::args::{AuditArguments, Global};
use super::output::{Output, count, path_json, thousands};
use super::progress_bar::RowProgress;
use super::shell::shell_quote;
use super::store_access::open_store;
use super::{Outcome, stop_flag};

pub fn run(arguments: &AuditArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let file = AuditFile::new(&arguments.out, arguments.pred_probs)?;
    let stop = stop_flag();
    let store = open_store(&arguments.store)?;
    let list: ClassList = (&store.info().classes).into();
    let classes = arguments
        .classes
        .iter()
        .map(|wanted| find_class(&list, wanted).map_err(|problem| Error::Usage(format!("--class {wanted}: {problem}"))))
        .collect::<Result<Vec<_>, _>>();
    let manifest = store.manifest()?;
    let rows = rows_of_classes(&manifest, &list, &classes?)?;
    let drafts = file.drafts(&arguments.store)?;
    let passes = 1 + usize::from(file.with_pred_probs());
    let progress = RowProgress::new(passes * rows.len(), global, stop);
    let options = AuditOptions { rows, crops: arguments.crops, seed: arguments.seed };
    let work = || {
        let audit = Audit::run(&store, &manifest, options, &progress)?;
        drafts.write(&audit, &progress)?;
        let strongest = audit.images().first().map(|image| name_of_row(&manifest, image.row));
        Ok((audit.summary(), strongest.unwrap_or_default()))
    };
    let result: Result<(AuditSummary, String), Error> = on_threads(arguments.threads, work);
    progress.finish();
    let (summary, strongest) = result?;
    let mut document = json!(summary);
    document["out"] = path_json(file.path());
    document["classes_out"] = json!(file.classes_path().as_deref().map(path_json));
    let next = format!(
        "next     relabel inspect {} {}\n",
        printable_path(&arguments.store),
        printable(&shell_quote(&strongest))
    );
    output.result(&(text(&summary, &file) + &next), &document)?;
    Ok(Outcome::Done)
}

/// Runs `work` on `threads` threads, or on the common thread pool.
fn on_threads<T: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    match threads {
        Some(count) => thread_pool(count, "audit")?.install(work),
        None => work(),
    }
}

fn text(summary: &AuditSummary, file: &AuditFile) -> String {
    let mut text = format!(
        "audited  {} ({} failed, {} to do)\n",
        count(summary.images, "image"),
        thousands(summary.failed),
        thousands(summary.to_do)
    );
    if summary.not_compared == summary.images {
        text += "compared 0 images: no folder name matches a teacher class\n";
    } else {
        text += &compared_text(summary);
    }
    text += &format!("wrote    {}", printable_path(file.path()));
    if let Some(classes) = file.classes_path() {
        text += &format!(", {}", printable_path(&classes));
    }
    text.push('\n');
    text
}

fn compared_text(summary: &AuditSummary) -> String {
    let line = |what: &str, share: ImageShare, meaning: &str| {
        let percent = share.share.map_or(String::new(), |share| format!("{:.1} %", share * 100.0));
        format!("{what:<8} {percent:>7}  {:>9}  {meaning}\n", thousands(share.images))
    };
    let mut text = line("agree", summary.agree, "the folder class is the top class");
    text +=
        &line("differ", summary.differ, "another class is the top class, but the folder class appears in some cells");
    text += &line("absent", summary.absent, "no cell has the folder class");
    if summary.not_compared > 0 {
        let not_compared = ImageShare { images: summary.not_compared, share: None };
        text += &line("neither", not_compared, "not compared: the folder is not a class of the teacher");
    }
    if let Some(crops) = &summary.crops {
        text += &format!(
            "crops    wrong label in {:.1} % of random crops, no overlap with the folder class in {:.1} %\n",
            crops.wrong * 100.0,
            crops.miss * 100.0
        );
    }
    if !summary.contradictions.is_empty() {
        text += "\nstrongest contradictions\n";
    }
    for image in &summary.contradictions {
        text += &format!(
            "  {:<28} {} {}, not {} {}\n",
            printable(&image.id),
            printable(&image.best_name),
            percent(image.best_prob),
            printable(&image.folder_class_name),
            percent(image.folder_class_prob)
        );
    }
    text += "\nclasses with the lowest agreement\n";
    for class in &summary.lowest_agreement {
        text += &class_text(class);
    }
    if !summary.confusions.is_empty() {
        text += "\nmost frequent confusions\n";
    }
    for confusion in &summary.confusions {
        text += &format!(
            "  {:<28} is {} in {}\n",
            printable(&confusion.folder_class_name),
            printable(&confusion.best_name),
            count(confusion.images, "image")
        );
    }
    text.push('\n');
    text
}

fn class_text(class: &ClassStatistics) -> String {
    let mut text =
        format!("  {:<28} {:>7} of {}", printable(&class.name), percent(class.agreement), count(class.images, "image"));
    if let Some(other) = &class.confused_with {
        text += &format!(", mostly {}", printable(&other.best_name));
    }
    text.push('\n');
    text
}

fn percent(share: f32) -> String {
    format!("{:.1} %", share * 100.0)
}
