//! A file's content, which may be far longer than what is written in it.

/// A sparse file: some bytes at its start, others wherever they are put, zeroes between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    len: u64,
    parts: Vec<(u64, Vec<u8>)>,
}

impl Content {
    /// A file of `len` zeroes.
    #[must_use]
    pub fn zeroes(len: u64) -> Self {
        Self { len, parts: Vec::new() }
    }

    /// The same with `bytes` at `offset`, grown where they do not fit.
    #[must_use]
    pub fn with(mut self, offset: u64, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.len = self.len.max(offset + bytes.len() as u64);
        self.parts.push((offset, bytes));
        self
    }

    /// The same, cut or grown to `len` bytes.
    #[must_use]
    pub fn cut(mut self, len: u64) -> Self {
        self.len = len;
        for (offset, bytes) in &mut self.parts {
            bytes.truncate(usize::try_from(len.saturating_sub(*offset)).unwrap_or(usize::MAX));
        }
        self.parts.retain(|(_, bytes)| !bytes.is_empty());
        self
    }

    /// The file's length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a file's length is a number, not a container's size")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// What to write where; later parts lie over earlier ones.
    #[must_use]
    pub fn parts(&self) -> &[(u64, Vec<u8>)] {
        &self.parts
    }

    /// The `len` bytes at `offset`; `None` where the file ends before.
    #[must_use]
    pub fn read(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len)?;
        let mut bytes = vec![0; len];
        for (start, part) in &self.parts {
            let (from, to) = (offset.max(*start), end.min(start + part.len() as u64));
            if from < to {
                let [target, source] = [offset, *start].map(|base| {
                    let index = |place| usize::try_from(place - base).expect("a part is in memory");
                    index(from)..index(to)
                });
                bytes[target].copy_from_slice(&part[source]);
            }
        }
        Some(bytes)
    }
}
