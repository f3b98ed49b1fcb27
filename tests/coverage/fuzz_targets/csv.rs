#![no_main]

relabel_coverage::target!(csv);
