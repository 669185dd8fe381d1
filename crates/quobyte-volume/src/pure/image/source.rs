//! Where an image's bytes come from.

use std::io;

/// Something that can be read at any place, like an open file.
///
/// The inspection of an image knows nothing else of it, so that it runs wherever the file may safely be touched, and
/// on bytes in memory.
pub trait ReadAt {
    /// Fills `buffer` with the bytes that start at `offset`.
    ///
    /// # Errors
    /// Any error of the source, [`io::ErrorKind::UnexpectedEof`] when it ends before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
impl ReadAt for image_corpus::Content {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.read(offset, buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}
