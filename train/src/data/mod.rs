//! Files on disk -> radiographs and what is known about them: readers, images, findings, locations,
//! prompts.

pub mod dataset;
pub mod dicom;
pub mod doubts;
pub mod draw;
pub mod findings;
pub mod images;
pub mod location;
pub mod moved;
pub mod prompts;
pub mod readers;
pub mod record;
pub mod sides;
pub mod summary;
pub mod tables;
