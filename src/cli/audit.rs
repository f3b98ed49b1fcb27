//! `relabel audit`

use relabel::inspection::audit::{Audit, AuditFile, ClassFigures, Request, Share, Summary, rows_of_classes};
use relabel::inspection::inspect::{find_class, name_of};
use relabel::shared::classes::ClassList;
use relabel::shared::error::Error;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::threads::thread_pool;
use serde_json::json;

use super::args::{AuditArguments, Global};
use super::counting::Counting;
use super::output::{Output, count, path_json, thousands};
use super::places::open_store;
use super::summary::shell_word;
use super::{Outcome, stop_flag};

pub fn run(arguments: &AuditArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let file = AuditFile::new(&arguments.out, arguments.pred_probs)?;
    let stop = stop_flag();
    let store = open_store(&arguments.store)?;
    let list: ClassList = (&store.info().classes).into();
    let classes = arguments.classes.iter().map(|wanted| find_class(&list, wanted)).collect::<Result<Vec<_>, _>>();
    let manifest = store.manifest()?;
    let rows = rows_of_classes(&manifest, &list, &classes.map_err(Error::Usage)?)?;
    let drafts = file.drafts(&arguments.store)?;
    let passes = 1 + usize::from(file.with_pred_probs());
    let counting = Counting::new(passes * rows.len(), global, stop);
    let request = Request { rows, crops: arguments.crops, seed: arguments.seed };
    let work = || {
        let audit = Audit::run(&store, &manifest, request, &counting)?;
        drafts.write(&audit, &counting)?;
        // The one to look at first.
        let first = audit.images().first().map(|image| name_of(&manifest, image.row));
        Ok((audit.summary(), first.unwrap_or_default()))
    };
    let result: Result<(Summary, String), Error> = on_threads(arguments.threads, work);
    counting.finish();
    let (summary, first) = result?;
    let mut document = json!(summary);
    document["out"] = path_json(file.path());
    document["classes_out"] = json!(file.classes_path().as_deref().map(path_json));
    let next =
        format!("next     relabel inspect {} {}\n", printable_path(&arguments.store), printable(&shell_word(&first)));
    output.result(&(words(&summary, &file) + &next), &document)?;
    Ok(Outcome::Done)
}

/// Does work on so many threads, or on those that the program has anyway.
fn on_threads<T: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    match threads {
        Some(count) => thread_pool(count, "audit")?.install(work),
        None => work(),
    }
}

fn words(summary: &Summary, file: &AuditFile) -> String {
    let mut words = format!(
        "audited  {} ({} failed, {} to do)\n",
        count(summary.images, "image"),
        thousands(summary.failed),
        thousands(summary.to_do)
    );
    if summary.not_compared == summary.images {
        words += "compared none: no image lies in a folder that is a class of the teacher\n";
    } else {
        words += &compared_words(summary);
    }
    words += &format!("wrote    {}", printable_path(file.path()));
    if let Some(classes) = file.classes_path() {
        words += &format!(", {}", printable_path(&classes));
    }
    words.push('\n');
    words
}

fn compared_words(summary: &Summary) -> String {
    let line = |what: &str, share: Share, meaning: &str| {
        let percent = share.share.map_or(String::new(), |share| format!("{:.1} %", share * 100.0));
        format!("{what:<8} {percent:>7}  {:>9}  {meaning}\n", thousands(share.images))
    };
    let mut words = line("agree", summary.agree, "the folder's class is the best");
    words += &line("differ", summary.differ, "another class is the best, but some cell holds the folder's");
    words += &line("absent", summary.absent, "no cell holds the folder's class");
    if summary.not_compared > 0 {
        let not_compared = Share { images: summary.not_compared, share: None };
        words += &line("neither", not_compared, "not compared: the folder is no class of the teacher");
    }
    if let Some(crops) = &summary.crops {
        words += &format!(
            "crops    a random crop carries a wrong label in {:.1} %, and shows nothing of the folder's class in {:.1} %\n",
            crops.wrong * 100.0,
            crops.miss * 100.0
        );
    }
    if !summary.contradictions.is_empty() {
        words += "\nimages that contradict their folders most\n";
    }
    for image in &summary.contradictions {
        words += &format!(
            "  {:<28} {} {}, not {} {}\n",
            printable(&image.id),
            printable(&image.best_name),
            percent(image.best_prob),
            printable(&image.label_name),
            percent(image.label_prob)
        );
    }
    words += "\nclasses of the lowest agreement\n";
    for class in &summary.lowest_agreement {
        words += &class_words(class);
    }
    if !summary.confusions.is_empty() {
        words += "\nmost frequent confusions\n";
    }
    for confusion in &summary.confusions {
        words += &format!(
            "  {:<28} is {} in {}\n",
            printable(&confusion.label_name),
            printable(&confusion.best_name),
            count(confusion.images, "image")
        );
    }
    words.push('\n');
    words
}

fn class_words(class: &ClassFigures) -> String {
    let mut words =
        format!("  {:<28} {:>7} of {}", printable(&class.name), percent(class.agreement), count(class.images, "image"));
    if let Some(with) = &class.confused_with {
        words += &format!(", mostly {}", printable(&with.best_name));
    }
    words.push('\n');
    words
}

fn percent(share: f32) -> String {
    format!("{:.1} %", share * 100.0)
}
