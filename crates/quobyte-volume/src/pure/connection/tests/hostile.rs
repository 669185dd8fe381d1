//! What a connection_info holds besides our fields, or in their place, is in no message.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use super::*;
use crate::error::with_causes;

const SECRET: &str = "open-sesame";

/// Every field that is read, and what holds its value.
const FIELDS: [(&str, &str); 14] = [
    ("", "driver_volume_type"),
    ("", "serial"),
    ("", "multiattach"),
    ("", "data"),
    ("/data", "export"),
    ("/data", "name"),
    ("/data", "format"),
    ("/data", "volume_id"),
    ("/data", "access_mode"),
    ("/data", "discard"),
    ("/data", "encrypted"),
    ("/data", "qos_specs"),
    ("/data", "logical_block_size"),
    ("/data", "physical_block_size"),
];

type Reader = fn(&[u8]) -> Option<ConnectionError>;

/// What reads a connection_info: to connect, and to disconnect.
const READERS: [Reader; 2] =
    [|json| ConnectionInfo::parse(json).err(), |json| VolumeReference::parse(json).err()];

/// Asserts that an error is one of the input's, and that its text may be shown to anybody.
fn assert_discreet(error: &ConnectionError, input: &str) {
    assert_eq!(error.code(), Code::InvalidConnection, "{error}: {input}");
    let text = with_causes(error);
    assert!(text.len() < 200 && !text.contains(char::is_control), "{text}");
    assert!(!text.contains(SECRET) && !format!("{error:?}").contains(SECRET), "{text}");
}

#[test]
fn wrong_shape_names_field_and_type_only() {
    let secret = json!({"auth_password": SECRET});
    for (input, message) in [
        (json!(secret.to_string()), "connection_info itself is text; it should be an object"),
        (json!([secret]), "connection_info itself is a list; it should be an object"),
        (json!(7), "connection_info itself is a number; it should be an object"),
        (Value::Null, "connection_info itself is missing; it should be an object"),
        (with("/data", json!(secret.to_string())), "connection_info data is text; it should be an object"),
        (with("/data", json!([SECRET])), "connection_info data is a list; it should be an object"),
        (with("/data", json!(1.5)), "connection_info data is a number; it should be an object"),
        (with("/data", Value::Null), "connection_info data is missing; it should be an object"),
        (with("/data/name", secret.clone()), "connection_info data.name is an object; it should be text"),
        (
            with("/data/export", json!(true)),
            "connection_info data.export is true or false; it should be text",
        ),
        (
            with("/data/discard", json!(SECRET)),
            "connection_info data.discard is text; it should be true or false",
        ),
        (
            with("/data/qos_specs", json!(SECRET)),
            "connection_info data.qos_specs is text; it should be an object",
        ),
        (
            with("/data/qos_specs", json!({"total_iops_sec": secret})),
            "connection_info data.qos_specs is an object; it should be a number",
        ),
    ] {
        let error = parse(&input).unwrap_err();
        assert_eq!(with_causes(&error), message);
        assert_discreet(&error, &input.to_string());
    }
}

#[test]
fn key_given_twice_is_refused_at_any_depth() {
    let info = from_cinder().to_string();
    let twice = format!(r#""{SECRET}":1,"{SECRET}":2"#);
    for (known, doubled) in [
        ("{", format!("{{{twice},")),
        (r#""data":{"#, format!(r#""data":{{{twice},"#)),
        (r#""qos_specs":{"#, format!(r#""qos_specs":{{{twice},"#)),
        (r#""options":null"#, format!(r#""options":{{{twice}}}"#)),
        (r#""options":null"#, format!(r#""options":[[{{"a":{{{twice}}}}}]]"#)),
        (r#""format":"qcow2""#, r#""format":"qcow2","format":"qcow2""#.to_owned()),
        (r#""total_iops_sec":"500""#, r#""total_iops_sec":"500","total_iops_sec":"500""#.to_owned()),
    ] {
        let input = info.replacen(known, &doubled, 1);
        assert_ne!(input, info);
        for read in READERS {
            assert_discreet(&read(input.as_bytes()).unwrap(), &input);
        }
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let padded = |bytes| with("/data/auth_password", json!(SECRET.repeat(bytes / SECRET.len()))).to_string();
    let nested = |levels| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        from_cinder().to_string().replacen(r#""options":null"#, &format!(r#""options":{open}{close}"#), 1)
    };
    let below = MAX_CONNECTION_INFO_DEPTH - 2;
    for (input, is_accepted) in [
        (padded(MAX_CONNECTION_INFO_LEN - 2000), true),
        (padded(MAX_CONNECTION_INFO_LEN + 20), false),
        (nested(below), true),
        (nested(below + 1), false),
        (nested(5000), false),
        (nested(400_000), false),
    ] {
        for read in READERS {
            let error = read(input.as_bytes());
            assert_eq!(error.is_none(), is_accepted);
            error.iter().for_each(|error| assert_discreet(error, ""));
        }
    }
}

#[test]
fn disconnect_reads_export_name_and_ids_only() {
    let connected = parse(&from_cinder()).unwrap();
    let expected =
        VolumeReference { export: connected.export, name: connected.name, volume_id: connected.volume_id };
    let hostile = [json!("vmdk"), json!(7), json!([1]), json!({"total_iops_sec": -1}), json!(true)];
    let needed = ["", "serial", "data", "export", "name", "volume_id"];
    for (holder, field) in FIELDS.into_iter().filter(|(_, field)| !needed.contains(field)) {
        for value in &hostile {
            let info = with(&format!("{holder}/{field}"), value.clone());
            let reference = VolumeReference::parse(info.to_string().as_bytes());
            assert_eq!(reference.unwrap(), expected, "{field}: {value}");
        }
    }
}

/// A value that holds the secret wherever it can.
fn secret_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(SECRET)),
        Just(json!(format!("\u{1b}[2J{SECRET}\n"))),
        any::<i64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|flag| json!(flag)),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = select(vec!["auth_password", "total_iops_sec", "options", SECRET]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_message_shows_an_unknown_field(
        place in select(FIELDS.to_vec()),
        key in select(vec!["auth_password", "auth_username", "device_path", "options", SECRET]),
        unknown in secret_value(),
        in_place in proptest::option::of(secret_value()),
        cut in proptest::option::of(0..2000_usize),
    ) {
        let (holder, field) = place;
        let mut info = with(&format!("{holder}/{key}"), unknown);
        // Text in the place of a field that we read is that field's value, and is quoted. It is no secret.
        if let Some(value) = in_place.filter(|value| !value.is_string()) {
            info.pointer_mut(holder).unwrap()[field] = value;
        }
        let mut input = info.to_string();
        input.truncate(cut.unwrap_or(input.len()).min(input.len()));
        for read in READERS {
            if let Some(error) = read(input.as_bytes()) {
                assert_discreet(&error, &input);
            }
        }
    }
}
