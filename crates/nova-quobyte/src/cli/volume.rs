//! How the command line names an image: by what Cinder says of it, by one URL, or in parts.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// An image to connect or to look at.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("volume").required(true).args(["url", "connection_info", "export"]))]
pub(crate) struct Volume {
    /// The image: [quobyte://]host[:port][,host…]/volume/image
    #[arg(value_name = "IMAGE")]
    pub(crate) url: Option<String>,
    /// Read Cinder's connection_info, a JSON object, from a file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "format"])]
    pub(crate) connection_info: Option<PathBuf>,
    /// The volume: [quobyte://]host[:port][,host…]/volume
    #[arg(long, value_name = "URL", requires_all = ["name", "format"])]
    pub(crate) export: Option<String>,
    /// The image's file name on the volume
    #[arg(long, requires = "export")]
    pub(crate) name: Option<String>,
    /// The image's format: raw or qcow2. An IMAGE whose name ends with .raw or .qcow2 has that format if none is given
    #[arg(long)]
    pub(crate) format: Option<String>,
}

impl Volume {
    /// The format that is given, or else the one that the name of the image says.
    pub(crate) fn declared_format(&self) -> Option<&str> {
        let in_name = || {
            let (_, ending) = self.url.as_deref()?.rsplit_once('.')?;
            ["raw", "qcow2"].into_iter().find(|format| *format == ending)
        };
        self.format.as_deref().or_else(in_name)
    }

    /// Whether nothing says which format the image has.
    pub(crate) fn lacks_format(&self) -> bool {
        self.url.is_some() && self.declared_format().is_none()
    }
}

/// An image that is, or was, connected.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("connected").required(true).args(["url", "connection_info", "export"]))]
pub(crate) struct Image {
    /// The image as it was connected: [quobyte://]host[:port][,host…]/volume/image
    #[arg(value_name = "IMAGE")]
    pub(crate) url: Option<String>,
    /// Read Cinder's connection_info, a JSON object, from a file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub(crate) connection_info: Option<PathBuf>,
    /// The volume: [quobyte://]host[:port][,host…]/volume
    #[arg(long, value_name = "URL", requires = "name")]
    pub(crate) export: Option<String>,
    /// The image's file name on the volume, as it was when it was connected
    #[arg(long, requires = "export")]
    pub(crate) name: Option<String>,
}
