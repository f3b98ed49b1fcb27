//! Audit of a store: every image ranked by how much its map contradicts its folder class. `docs/guide/audit.md` explains
//! each column.

mod audited_image;
mod ranking;
mod class_statistics;
mod audit_summary;
mod audit_columns;
mod pred_probs;
mod audit_file;

pub use crate::inspection::random_crops::{iou, random_crops};
pub use audit_file::{AuditDrafts, AuditFile};
pub use audit_summary::{AuditSummary, Contradiction, CropSummary, ImageShare};
pub use audited_image::{AuditedImage, ClassProb, CropStatistics, FolderClassStatistics};
pub use class_statistics::{ClassStatistics, Confusion};
pub use ranking::{Audit, AuditOptions, rows_of_classes};
