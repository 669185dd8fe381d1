use std::cell::Cell;
use std::collections::BTreeSet;

use image_corpus::{Content, Specimen, Verdict, hostile, legitimate};

use super::*;

/// What a share without the file answers.
#[derive(Debug, PartialEq, Eq)]
struct NoSuchFile;

fn file(inode: u64) -> Identity {
    Identity { device: Device { major: 0, minor: 42 }, inode, btime: None }
}

fn walk_specimen(specimen: &Specimen) -> Result<Vec<Layer>, ChainError<NoSuchFile>> {
    let format: ImageFormat = specimen.format.parse().unwrap();
    let start = RelativePath::parse(specimen.top()).unwrap();
    walk(start, format, &mut |path| {
        let path = path.to_string();
        let inode = specimen.files.iter().position(|(name, _)| *name == path).ok_or(NoSuchFile)?;
        let (_, content) = &specimen.files[inode];
        Ok(Opened { identity: file(inode as u64), size: content.len(), content: Box::new(content) })
    })
}

fn verdict(specimen: &Specimen) -> Verdict {
    match walk_specimen(specimen) {
        Ok(layers) => Verdict::Accepted { layers: layers.len() },
        Err(ChainError::Refused { violation, .. }) => Verdict::Refused(violation.rule.as_str()),
        Err(ChainError::Open(NoSuchFile)) => Verdict::Missing,
        Err(ChainError::Unreadable { path, source }) => panic!("{}: {path}: {source}", specimen.name),
    }
}

#[test]
fn corpus_images_get_expected_verdicts() {
    let mut wrong = Vec::new();
    for specimen in hostile::all().iter().chain(&legitimate::of_bytes()) {
        let verdict = verdict(specimen);
        if verdict != specimen.verdict {
            wrong.push(format!("{}: {verdict:?}, not {:?}", specimen.name, specimen.verdict));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_rule_is_broken_by_a_hostile_image() {
    let all = [
        Rule::AnotherVolume,
        Rule::NotQcow2,
        Rule::Truncated,
        Rule::Version,
        Rule::ClusterSize,
        Rule::HeaderLength,
        Rule::IncompatibleFeature,
        Rule::Corrupt,
        Rule::ExternalDataFile,
        Rule::CompressionType,
        Rule::RefcountWidth,
        Rule::Encryption,
        Rule::HeaderExtension,
        Rule::RefcountTable,
        Rule::L1Table,
        Rule::SnapshotTable,
        Rule::BitmapDirectory,
        Rule::VirtualSize,
        Rule::OpenCost,
        Rule::SecondFormat,
        Rule::BackingName,
        Rule::BackingFormat,
        Rule::ChainLoop,
        Rule::ChainDepth,
    ];
    let broken: BTreeSet<_> = hostile::all()
        .iter()
        .filter_map(|specimen| match specimen.verdict {
            Verdict::Refused(rule) => Some(rule),
            _ => None,
        })
        .collect();
    assert_eq!(broken, all.iter().map(|rule| rule.as_str()).collect());
}

#[test]
fn backing_name_that_is_a_pattern_is_refused() {
    for name in ["base*", "b[a]se", "{base,other}", "bas?", "ba\"se", "cache*/base"] {
        let overlay = Content::from(image_corpus::Qcow2::v3().on(name, "raw"));
        let files = vec![("top".to_owned(), overlay)];
        let over_pattern = Specimen { files, ..hostile::all().remove(0) };
        assert_eq!(verdict(&over_pattern), Verdict::Refused("backing_name"), "{name}");
    }
}

#[test]
fn raw_image_is_accepted_with_any_content() {
    for hostile in hostile::all() {
        let size = hostile.files[0].1.len();
        let raw = Specimen { format: "raw", ..hostile };
        let layers = walk_specimen(&raw).unwrap();
        assert_eq!(layers.len(), 1, "{}", raw.name);
        assert_eq!(layers[0].virtual_size, size, "{}", raw.name);
    }
}

/// Content that must not be asked for.
struct Sealed;

impl ReadAt for Sealed {
    fn read_exact_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<()> {
        panic!("a raw file is read")
    }
}

#[test]
fn raw_image_content_is_never_read() {
    let start = RelativePath::parse("disk").unwrap();
    let layers = walk(start, ImageFormat::Raw, &mut |_| {
        let identity = file(1);
        Ok::<_, NoSuchFile>(Opened { identity, size: 4096, content: Box::new(Sealed) })
    });
    assert_eq!(layers.unwrap()[0].virtual_size, 4096);
}

#[test]
fn layers_carry_share_path_and_declared_format() {
    let files = [
        ("cache/top", image_corpus::Qcow2::v3().on("base", "qcow2").into()),
        ("cache/base", image_corpus::Qcow2::v2().on("sub/raw", "raw").into()),
        ("cache/sub/raw", Content::zeroes(512)),
    ];
    let specimen = Specimen {
        name: "three",
        format: "qcow2",
        files: files.map(|(path, content)| (path.to_owned(), content)).into(),
        verdict: Verdict::Accepted { layers: 3 },
    };
    let layers: Vec<_> = walk_specimen(&specimen)
        .unwrap()
        .into_iter()
        .map(|layer| (layer.path.to_string(), layer.format, layer.virtual_size, layer.identity.inode))
        .collect();
    let expected = [
        ("cache/top".to_owned(), ImageFormat::Qcow2, 1 << 20, 0),
        ("cache/base".to_owned(), ImageFormat::Qcow2, 1 << 20, 1),
        ("cache/sub/raw".to_owned(), ImageFormat::Raw, 512, 2),
    ];
    assert_eq!(layers, expected);
}

#[test]
fn hard_link_in_chain_is_rejected_as_loop() {
    let overlay = Content::from(image_corpus::Qcow2::v3().on("other-name", "raw"));
    let start = RelativePath::parse("top").unwrap();
    let error = walk(start, ImageFormat::Qcow2, &mut |_| {
        let identity = file(1);
        Ok::<_, NoSuchFile>(Opened { identity, size: overlay.len(), content: Box::new(&overlay) })
    });
    let Err(ChainError::Refused { path, violation }) = error else { panic!("{error:?}") };
    assert_eq!((path.to_string().as_str(), violation.rule), ("other-name", Rule::ChainLoop));
    assert_eq!(violation.value, "it is top as well");
}

#[test]
fn chain_walk_stops_at_maximum_depth() {
    let opened = Cell::new(0);
    let overlay = Content::from(image_corpus::Qcow2::v3().on("below", "qcow2"));
    let start = RelativePath::parse("top").unwrap();
    let error = walk(start, ImageFormat::Qcow2, &mut |_| {
        opened.set(opened.get() + 1);
        let identity = file(opened.get());
        Ok::<_, NoSuchFile>(Opened { identity, size: overlay.len(), content: Box::new(&overlay) })
    });
    assert!(
        matches!(error, Err(ChainError::Refused { violation, .. }) if violation.rule == Rule::ChainDepth)
    );
    assert_eq!(opened.get(), MAX_LAYERS as u64 + 1);
}

#[test]
fn unreadable_layer_is_not_a_violation() {
    let start = RelativePath::parse("top").unwrap();
    let error = walk(start, ImageFormat::Qcow2, &mut |_| {
        let identity = file(1);
        let nothing: Box<dyn ReadAt> = Box::new(Content::zeroes(0));
        Ok::<_, NoSuchFile>(Opened { identity, size: 1 << 20, content: nothing })
    });
    assert!(matches!(error, Err(ChainError::Unreadable { .. })), "{error:?}");
}
