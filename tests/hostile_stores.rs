mod forged;
mod odd_files;
mod servers;
