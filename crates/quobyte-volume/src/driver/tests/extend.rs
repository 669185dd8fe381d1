//! extend, whose fake image holds 1 MiB.

use super::*;
use crate::error::Code;

const HELD: u64 = 1 << 20;

#[test]
fn extend_rounds_up_and_never_shrinks() {
    let f = fixture();
    let a = volume("a");
    let qcow2 = ConnectionInfo { format: ImageFormat::Qcow2, ..a.clone() };
    for (info, unit) in [(&a, 4096), (&qcow2, 512)] {
        f.connect(info, 1).unwrap();
        for (requested, size) in
            [(HELD, HELD), (HELD + 1, HELD + unit), (HELD - 1, HELD), (3 * HELD, 3 * HELD)]
        {
            assert_eq!(f.driver.extend(info, requested).unwrap(), size);
        }
        let error = f.driver.extend(info, HELD - unit).unwrap_err();
        assert_eq!(error.code(), Code::WouldShrink, "{error}");
        f.disconnect(info, 1);
    }
}

#[test]
fn extend_refuses_unmounted_or_rejected_image() {
    let f = fixture();
    let a = volume("a");
    assert_eq!(f.driver.extend(&a, 2 * HELD).unwrap_err().code(), Code::NotMounted);
    f.connect(&a, 1).unwrap();
    f.host.world().image = Image::Link;
    assert_eq!(f.driver.extend(&a, 2 * HELD).unwrap_err().code(), Code::ImageRejected);
}
