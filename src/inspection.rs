//! Inspection of a store: single images, pictures, pages for the browser, and audits against folder classes. Feature
//! `label`.

pub mod inspect;
pub mod picture;
pub mod table;
pub mod random_crops;
pub mod audit;
pub mod report;
