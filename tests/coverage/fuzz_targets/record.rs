#![no_main]

relabel_coverage::target!(record);
