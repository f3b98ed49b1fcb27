#![no_main]

relabel_coverage::target!(card);
