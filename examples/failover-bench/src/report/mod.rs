//! Where the figures go: a file with all of them, a plot, and the document.

mod csv;
mod document;
mod plot;

use crate::Outcome;
use crate::options::Options;
use crate::results::Results;

/// Writes all of it.
///
/// # Errors
/// The system's.
pub(crate) fn write(options: &Options, results: &Results) -> Outcome<()> {
    std::fs::create_dir_all(&options.folder)?;
    let (figures, plot) = (options.folder.join("figures.csv"), options.folder.join("figures.svg"));
    std::fs::write(&figures, csv::of(&results.lines))?;
    std::fs::write(&plot, plot::of(&results.lines))?;
    println!("\nall figures: {}\nthe plot: {}", figures.display(), plot.display());
    if let Some(path) = &options.document {
        std::fs::write(path, document::of(options, results)?)?;
        println!("the table: {}", path.display());
    }
    Ok(())
}
