//! `run`

use std::ffi::OsString;

use quobyte_volume::driver::{Driver, Finding, HeldShare, Unrepaired};
use quobyte_volume::error::with_causes;
use quobyte_volume::pure::connection::Export;
use quobyte_volume::pure::mount_path::MountPath;

use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, export: &Export, command: &[OsString]) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let HeldShare { mount_path, mount } =
        progress::with_spinner(format!("mounting {export}"), || driver.hold(export))?;
    let [program, arguments @ ..] = command else { return Ok(Answer::of_program(0)) };
    let status = mount.run(mount_path.as_path(), program, arguments);
    drop(mount);
    let_go(&driver, &mount_path);
    let status = status.map_err(|source| Error::CommandNotRun { program: program.clone(), source })?;
    Ok(Answer::of_program(status))
}

/// Unmounts the volume unless it is needed. What the command has done is done, whatever comes of it.
fn let_go(driver: &Driver, at: &MountPath) {
    let findings = progress::with_spinner("letting go".to_owned(), || driver.reconcile_share(at));
    let reason = match findings {
        Ok(findings) => findings.iter().find_map(|finding| match finding {
            Finding::Unrepaired(_, Unrepaired::StillMounted(why)) => Some(why.as_str().to_owned()),
            Finding::Unrepaired(_, Unrepaired::Failed(error)) => Some(with_causes(error)),
            Finding::Unrepaired(_, Unrepaired::Unknown(why)) => Some(why.clone()),
            _ => None,
        }),
        Err(error) => Some(with_causes(&error)),
    };
    if let Some(reason) = reason {
        tracing::warn!(mount_path = %at, reason, "the volume stays mounted; `nova-quobyte reconcile` unmounts it once nobody needs it");
    }
}
