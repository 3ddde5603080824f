//! DICOM: an image as Secondary Capture, and a radiograph to begin from.
//!
//! Reading goes header -> stored values -> grey values: [`header`] finds the elements, `pixels`
//! decodes the stored values, `grey` applies the grey-scale pipeline, and [`read`](mod@read) puts
//! the three together.

mod grey;
pub mod header;
mod pixels;
pub mod read;
pub mod write;

/// An error with its causes, on one line.
pub fn fault(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
