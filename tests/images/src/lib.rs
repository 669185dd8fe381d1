//! Disk images that a tenant or an operator may hand over, each with the verdict it must get.
//!
//! The corpus knows the formats only from their own descriptions and shares no code with what it judges: a mistake in
//! the product must not be repeated here.

mod content;
mod costly;
pub mod hostile;
pub mod legitimate;
mod place;
mod qcow2;

pub use content::Content;
pub use qcow2::{Qcow2, at, extension};

/// An image, what it is handed over as, and what must come of it.
#[derive(Debug, Clone)]
pub struct Specimen {
    /// A name of its own, in `snake_case`.
    pub name: &'static str,
    /// The declared format, `raw` or `qcow2`.
    pub format: &'static str,
    /// The files by their paths beneath the share. The first is the one that is handed over.
    pub files: Vec<(String, Content)>,
    /// What must come of it.
    pub verdict: Verdict,
}

/// What must come of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is given to the guest, with so many files in its chain.
    Accepted {
        /// The handed-over file and all below.
        layers: usize,
    },
    /// It is refused for breaking the rule of this name.
    Refused(&'static str),
    /// A file of its chain does not exist.
    Missing,
}

/// The name of the file that is handed over, unless an image needs another.
pub const VOLUME: &str = "volume-6c1f3a52-8f0e-4e7b-9d0e-2b8f4f1f7a11";

impl Specimen {
    /// One file that is declared as qcow2 and must be refused.
    fn refused(name: &'static str, rule: &'static str, content: impl Into<Content>) -> Self {
        Self::of_files(name, Verdict::Refused(rule), [(VOLUME, content.into())])
    }

    /// Several files, the first of them declared as qcow2.
    fn of_files<'a>(
        name: &'static str,
        verdict: Verdict,
        files: impl IntoIterator<Item = (&'a str, Content)>,
    ) -> Self {
        Self {
            name,
            format: "qcow2",
            files: files.into_iter().map(|(path, content)| (path.to_owned(), content)).collect(),
            verdict,
        }
    }

    /// The path of the file that is handed over.
    #[must_use]
    pub fn top(&self) -> &str {
        &self.files[0].0
    }

    /// The file at a path, if there is one.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Content> {
        self.files.iter().find_map(|(name, content)| (name == path).then_some(content))
    }
}
