//! Figures on the page that are not computed from its rows: charts and tables.

use serde_json::{Value, json};

use super::report_folder::PageWriter;
use crate::shared::error::Error;

/// Charts and tables of a report. Texts are untrusted; the page shows them literally.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportFigures {
    /// Origin of the figures, one line.
    pub about: String,
    /// Charts.
    pub charts: Vec<ReportChart>,
    /// Tables.
    pub tables: Vec<ReportTable>,
}

/// A chart on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportChart {
    /// Title.
    pub title: String,
    /// Description of the chart.
    pub description: String,
    /// The picture.
    pub png: Vec<u8>,
}

/// A table on the page. The first column names the row; the others are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportTable {
    /// Title.
    pub title: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<String>>,
    /// Lines below the table.
    pub notes: Vec<String>,
}

impl ReportFigures {
    /// Writes the charts as files. Returns the data for the page.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be written.
    pub(super) fn write(&self, page_writer: &PageWriter) -> Result<Value, Error> {
        let mut charts = Vec::new();
        for (number, chart) in self.charts.iter().enumerate() {
            let file = page_writer.write_chart(number, &chart.png)?;
            charts.push(json!({ "title": chart.title, "description": chart.description, "file": file }));
        }
        let tables: Vec<Value> = self
            .tables
            .iter()
            .map(|table| {
                json!({ "title": table.title, "columns": table.columns, "rows": table.rows, "notes": table.notes })
            })
            .collect();
        Ok(json!({ "about": self.about, "charts": charts, "tables": tables }))
    }
}
