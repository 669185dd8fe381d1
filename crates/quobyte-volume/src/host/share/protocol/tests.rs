use super::*;
use crate::pure::image::Identity;
use crate::pure::kernel_mount::Device;

fn layer(name: &str) -> Layer {
    let identity = Identity { device: Device { major: 0, minor: 42 }, inode: 7, btime: None };
    let path = RelativePath::parse(name).unwrap();
    Layer { path, format: ImageFormat::Raw, identity, virtual_size: 4096 }
}

/// A root of that size: none where its client is connected.
fn root(size: u64) -> RootFacts {
    RootFacts { size, device: Device { major: 0, minor: 42 } }
}

fn query(name: &str) -> HelperRequest {
    HelperRequest::Query(Some((ImageName::parse(name).unwrap(), ImageFormat::Raw)))
}

/// What a caller that has asked `request` as its seventh takes `line` for.
fn read(request: &HelperRequest, line: &HelperLine) -> Result<HelperAnswer, ReplyError> {
    read_reply(&write_reply(line).unwrap(), 7, request)
}

/// Serves requests in which each is answered with the place it has among them, and returns what was answered.
fn served(caller: &str, requests: &str) -> (io::Result<()>, String) {
    let (mut answers, mut count) = (Vec::new(), 0);
    let ended = serve(&caller, requests.as_bytes(), &mut answers, |_| {
        count += 1;
        HelperAnswer::Failed(count)
    });
    (ended, String::from_utf8(answers).unwrap())
}

#[test]
fn requests_are_answered_in_order_and_by_number() {
    let (ended, answers) = served("3", "[5,{\"look\":null}]\n[9,{\"look\":[\"none\",\"raw\"]}]\n");
    ended.unwrap();
    assert_eq!(answers, "{\"answer\":[5,{\"failed\":1}]}\n{\"answer\":[9,{\"failed\":2}]}\n");
}

#[test]
fn invalid_request_ends_the_helper() {
    let valid = "[1,{\"look\":null}]";
    for request in [
        "x\n",
        "\n",
        "{\"look\":null}\n",
        "[1,{\"look\":[\"../x\",\"raw\"]}]\n",
        "[-1,{\"look\":null}]\n",
        &format!("{valid} {valid}\n"),
        valid,
        &" ".repeat(MAX_LINE_LEN),
        &format!("{}{valid}\n", " ".repeat(MAX_LINE_LEN)),
    ] {
        let (ended, answers) = served("3", &format!("{valid}\n{request}"));
        assert!(ended.is_err(), "{request:.40}");
        assert_eq!(answers.lines().count(), 1, "{request:.40}");
    }
}

#[test]
fn version_mismatch_is_reported_to_caller() {
    for caller in ["", "0.0.1", "0.1.0+2", "2", "03", "3.0", "4"] {
        let (ended, answer) = served(caller, "\"of later days\"\n");
        ended.unwrap();
        assert_eq!(answer, "{\"other_version\":\"3\"}\n", "{caller:?}");
    }
    let other = HelperLine::OtherVersion("0.1.0+2".to_owned());
    let error = read(&query("disk"), &other).unwrap_err().to_string();
    assert!(error.contains("0.1.0+2") && error.ends_with("restart the service"), "{error}");
}

#[test]
fn answer_to_another_request_is_refused() {
    let answer = HelperAnswer::Failed(libc::EIO);
    for request in [query("disk"), HelperRequest::Probe(layer("disk"))] {
        assert_eq!(read(&request, &HelperLine::Answer(7, answer.clone())).unwrap(), answer);
        for number in [0, 6, 8, u64::MAX] {
            let error = read(&request, &HelperLine::Answer(number, answer.clone())).unwrap_err();
            assert!(matches!(error, ReplyError::OtherQuestion(_)), "{number}: {error}");
        }
    }
}

#[test]
fn only_the_chain_asked_for_is_an_answer() {
    let nothing = HelperRequest::Query(None);
    let probe = HelperRequest::Probe(layer("disk"));
    let disk = query("disk");
    let answer = |root, chain| HelperAnswer::Query(root, chain);
    let layers = |count: usize| {
        let below = (1..count).map(|_| layer("below"));
        Ok([layer("disk")].into_iter().chain(below).collect())
    };
    let failed = Err(ChainFailure::Failed(layer("disk").path, libc::ENOENT));
    let qcow2 = Ok(vec![Layer { format: ImageFormat::Qcow2, ..layer("disk") }]);
    for (name, request, answer, is_accepted) in [
        ("one layer", &disk, answer(root(0), layers(1)), true),
        ("as many as may be", &disk, answer(root(0), layers(MAX_LAYERS)), true),
        ("too many", &disk, answer(root(0), layers(MAX_LAYERS + 1)), false),
        ("no layer", &disk, answer(root(0), Ok(Vec::new())), false),
        ("another image's", &disk, answer(root(0), Ok(vec![layer("other")])), false),
        ("another format", &disk, answer(root(0), qcow2), false),
        ("a failure", &disk, answer(root(0), failed.clone()), true),
        ("not connected", &disk, answer(root(1), Ok(Vec::new())), true),
        ("not connected, but layers", &disk, answer(root(1), layers(1)), false),
        ("not connected, but a failure", &disk, answer(root(1), failed.clone()), false),
        ("no image", &nothing, answer(root(0), Ok(Vec::new())), true),
        ("layers of no image", &nothing, answer(root(0), layers(1)), false),
        ("a failure of no image", &nothing, answer(root(0), failed), false),
        ("layers for a probe", &probe, answer(root(0), layers(1)), false),
        ("a dead client for a probe", &probe, HelperAnswer::Dead(libc::ENOTCONN), false),
    ] {
        let read = read(request, &HelperLine::Answer(7, answer));
        assert_eq!(read.is_ok(), is_accepted, "{name}: {read:?}");
    }
}
