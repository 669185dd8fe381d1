//! What caller and helper say to each other. Each may be of another build, or be killed in the middle of a line.

use std::path::Path;

use quobyte_volume::host::share::protocol::{
    HelperAnswer, HelperLine, HelperRequest, MAX_LINE_LEN, VERSION, read_reply, serve, write_reply,
    write_request,
};
use quobyte_volume::pure::connection::{ImageFormat, ImageName};
use quobyte_volume::pure::image::{Identity, Layer, MAX_LAYERS, RelativePath};
use quobyte_volume::pure::kernel_mount::Device;

use crate::image::assert_plain_path;

/// Requests as a helper reads them: each that it works on names plain files, is understood the same way once it is written
/// again, and has one answer, with its own number.
///
/// # Panics
/// When it is not so.
pub fn helper_requests(input: &[u8]) {
    let (requests, answers) = served(VERSION, input);
    let lines: Vec<_> = answers.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), requests.len());
    assert!(lines.len() <= input.iter().filter(|byte| **byte == b'\n').count());
    for (request, line) in requests.iter().zip(lines) {
        assert_plain_request(request);
        let HelperLine::Answer(number, answer) = serde_json::from_slice(line).expect("an answer is JSON")
        else {
            panic!("the version is the caller's")
        };
        assert!(line.len() < MAX_LINE_LEN);
        assert_eq!(read_reply(line, number, request).expect("it answers the request"), answer);
        let again = write_request(number, request).expect("a request can be written");
        assert_eq!(served(VERSION, &again).0, std::slice::from_ref(request));
    }
    let (requests, answers) = served(VERSION + 1, input);
    assert!(requests.is_empty(), "a caller of another version is told so and no more");
    let told = write_reply(&HelperLine::OtherVersion(VERSION.to_string())).expect("it can be written");
    assert!(answers.chunks(told.len()).all(|line| line == told));
}

/// The requests of a caller of that version that a helper has worked on, and what it has answered.
fn served(caller: u32, input: &[u8]) -> (Vec<HelperRequest>, Vec<u8>) {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    // That it ends with an error is one way to end.
    let _ = serve(&caller, input, &mut answers, |request| {
        requests.push(request);
        HelperAnswer::Failed(5)
    });
    (requests, answers)
}

fn assert_plain_request(request: &HelperRequest) {
    match request {
        HelperRequest::Query(None) => {}
        HelperRequest::Query(Some((name, _))) => {
            assert_eq!(Path::new(name.as_str()).file_name(), Some(name.as_str().as_ref()));
        }
        HelperRequest::Probe(layer) => assert_plain_path(&layer.path),
    }
}

/// Replies as a caller reads them: what is taken for an answer is one to that very request, and understood the same way
/// once it is written again. An image that was asked for is at the top of the chain, and no chain is empty.
///
/// # Panics
/// When it is not so.
pub fn helper_replies(input: &[u8]) {
    const NUMBER: u64 = 7;
    let name = ImageName::parse("disk").expect("a plain name");
    let query = |format| HelperRequest::Query(Some((name.clone(), format)));
    let layer = Layer {
        path: RelativePath::from(&name),
        format: ImageFormat::Raw,
        identity: Identity { device: Device { major: 0, minor: 42 }, inode: 7, btime: None },
        virtual_size: 4096,
    };
    for request in [
        HelperRequest::Query(None),
        query(ImageFormat::Raw),
        query(ImageFormat::Qcow2),
        HelperRequest::Probe(layer),
    ] {
        match read_reply(input, NUMBER, &request) {
            Ok(answer) => {
                assert_answers(&request, &answer);
                assert!(
                    read_reply(input, NUMBER + 1, &request).is_err(),
                    "it was the answer to another request"
                );
                let again =
                    write_reply(&HelperLine::Answer(NUMBER, answer.clone())).expect("it can be written");
                assert_eq!(read_reply(&again, NUMBER, &request).expect("it was understood"), answer);
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() < 1000 && !text.contains(char::is_control), "{text:?}");
            }
        }
    }
}

fn assert_answers(request: &HelperRequest, answer: &HelperAnswer) {
    match (request, answer) {
        (HelperRequest::Query(image), HelperAnswer::Query(root, chain)) => match (image, chain) {
            (Some((name, format)), Ok(layers)) if root.size == 0 => {
                assert_eq!((layers[0].path.to_string().as_str(), layers[0].format), (name.as_str(), *format));
                assert!(layers.len() <= MAX_LAYERS);
                layers.iter().for_each(|layer| assert_plain_path(&layer.path));
            }
            (Some(_), Err(_)) if root.size == 0 => {}
            (_, Ok(layers)) => assert!(layers.is_empty()),
            (_, Err(failure)) => panic!("{failure:?} of no image"),
        },
        (HelperRequest::Probe(_), HelperAnswer::Probe(_) | HelperAnswer::Failed(_))
        | (
            HelperRequest::Query(_),
            HelperAnswer::Failed(_) | HelperAnswer::Dead(_) | HelperAnswer::Unserved(..),
        ) => {}
        _ => panic!("{answer:?} answers {request:?}"),
    }
}
