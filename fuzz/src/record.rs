//! Records, which another version of the program may have written, or a disk damaged.

use quobyte_volume::pure::record::ShareRecord;

/// A record that is understood is understood the same way once it is written again.
///
/// # Panics
/// When it is not.
pub fn record(input: &[u8]) {
    let Ok(record) = serde_json::from_slice::<ShareRecord>(input) else { return };
    let written = serde_json::to_vec(&record).expect("a record can be written");
    let again: ShareRecord = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, record);
    assert!(record.lost().len() <= record.attachments.len());
}
