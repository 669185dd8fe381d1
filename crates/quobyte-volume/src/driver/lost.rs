//! The guests that run on with files of a mount that is gone.

use crate::pure::connection::InstanceId;
use crate::pure::guests::GuestSurvey;
use crate::pure::record::Attachment;

/// A guest that runs on with files of a mount that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostGuest {
    /// The guest.
    pub instance: InstanceId,
    /// Its name; its identity where the name is not known.
    pub name: String,
    /// What it has lost.
    pub attachments: Vec<Attachment>,
}

impl LostGuest {
    /// The guests of lost attachments, each once.
    pub(super) fn group(attachments: Vec<Attachment>, survey: Option<&GuestSurvey>) -> Vec<Self> {
        let mut guests: Vec<Self> = Vec::new();
        for attachment in attachments {
            let instance = attachment.instance;
            match guests.iter_mut().find(|guest| guest.instance == instance) {
                Some(guest) => guest.attachments.push(attachment),
                None => {
                    let known = survey.and_then(|survey| survey.guest(instance));
                    let name = known.map_or_else(|| instance.to_string(), |guest| guest.name.clone());
                    guests.push(Self { instance, name, attachments: vec![attachment] });
                }
            }
        }
        guests
    }
}
