//! The progress bar of a copy.

use indicatif::{ProgressBar, ProgressStyle};

/// Creates a progress bar in bytes on standard error. It is invisible if that is not a terminal.
pub fn progress_bar(bytes: u64) -> ProgressBar {
    let style =
        "{bar:30} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    let bar = ProgressBar::new(bytes);
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
