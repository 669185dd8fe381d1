//! `explain`

use quobyte_volume::driver::{self, Driver, ImageInspection};
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::io_policy::{Decision, DirectIo, Discard, Facts, IoMode, Probe, Row, Version};
use serde_json::{Value, json};

use super::connect::plain;
use super::table;
use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, info: &ConnectionInfo) -> Result<Answer, Error> {
    let host = settings.host_facts();
    let driver = settings.driver()?;
    let (mounted, facts, decision) = match driver.inspect_image(info, &host) {
        Ok(ImageInspection { facts, decision, .. }) => (true, facts, decision),
        Err(driver::Error::NotMounted { .. }) => {
            let facts = driver.unprobed_facts(&host);
            (false, facts, driver.decide(info, &facts)?)
        }
        Err(error) => return Err(error.into()),
    };
    let others = others(&driver, info, &facts, &decision);
    let json = json!({
        "mounted": mounted,
        "facts": describe_facts(info, &facts),
        "policy": describe_policy(&decision),
        "rows": {"cache": describe_row(decision.cache_row), "io": describe_row(decision.io_row)},
        "otherwise": others.iter().map(|(when, what)| json!({"if": when, "then": what})).collect::<Vec<_>>(),
    });
    let text = text(mounted, &json, &decision, &others);
    Ok(Answer { json, text })
}

/// What it would be if a probe saw something else, as far as that makes a difference.
fn others(
    driver: &Driver,
    info: &ConnectionInfo,
    facts: &Facts,
    decision: &Decision,
) -> Vec<(&'static str, Value)> {
    let clients = [
        (DirectIo::Asynchronous, "the client negotiates asynchronous direct I/O"),
        (DirectIo::Synchronous, "the client does not negotiate asynchronous direct I/O"),
        (DirectIo::Refused, "the client refuses O_DIRECT"),
    ];
    let seen = facts.probe.map(|probe| probe.direct_io);
    let others = clients.into_iter().filter(|(direct_io, _)| Some(*direct_io) != seen);
    others
        .filter_map(|(direct_io, when)| {
            let probe = Some(Probe { direct_io, reads: 0, not_waited: 0, errno: None });
            match driver.decide(info, &Facts { probe, ..*facts }) {
                Ok(other) if other.policy == decision.policy => None,
                Ok(other) => Some((when, describe_policy(&other))),
                Err(error) => Some((when, json!({"refused": error.to_string()}))),
            }
        })
        .collect()
}

fn describe_facts(info: &ConnectionInfo, facts: &Facts) -> Value {
    let version = |version: Option<Version>| version.map(|version| version.to_string());
    json!({
        "qemu": version(facts.host.qemu_version),
        "libvirt": version(facts.host.libvirt_version),
        "io_uring": facts.host.io_uring,
        "direct_io": facts.probe.map(|probe| probe.direct_io.as_str()),
        "probe": facts.probe,
        "aio_slots": facts.aio.map(|slots| json!({"used": slots.used, "limit": slots.limit})),
        "format": info.format.as_str(),
        "multiattach": info.multiattach,
    })
}

fn describe_policy(decision: &Decision) -> Value {
    let policy = &decision.policy;
    json!({
        "cache": policy.cache.as_str(),
        "io": policy.io.map(IoMode::as_str),
        "discard": policy.discard.map(Discard::as_str),
        "detect_zeroes": "off",
        "logical_block_size": policy.block_size.logical,
        "physical_block_size": policy.block_size.physical,
        "shareable": policy.shareable,
    })
}

fn describe_row(row: &Row) -> Value {
    json!({
        "name": row.name,
        "when": row.when,
        "because": row.why,
        "cost": row.cost.map(|cost| json!({"loss": cost.loss, "remedy": cost.remedy})),
    })
}

fn text(mounted: bool, json: &Value, decision: &Decision, others: &[(&str, Value)]) -> String {
    let facts = &json["facts"];
    let slots = match &facts["aio_slots"] {
        Value::Null => "not known".to_owned(),
        slots => format!("{} of {} used", slots["used"], slots["limit"]),
    };
    let direct_io = match &facts["direct_io"] {
        Value::Null if mounted => "not known: the mount cannot be probed".to_owned(),
        Value::Null => "not known: the volume is not mounted".to_owned(),
        seen => plain(seen),
    };
    let modes = |policy: &Value| format!("cache={}, io={}", plain(&policy["cache"]), plain(&policy["io"]));
    let reason = |row: &Row| format!("{} ({}): {}", row.when, row.name, row.why);
    let policy = modes(&json["policy"]);
    let mut rows = vec![
        ("QEMU", plain(&facts["qemu"])),
        ("libvirt", plain(&facts["libvirt"])),
        ("direct I/O", direct_io),
        ("AIO slots", slots),
        (
            "policy",
            if mounted { policy } else { format!("{policy}, unless a connect's probe shows otherwise") },
        ),
        ("cache because", reason(decision.cache_row)),
        ("io because", reason(decision.io_row)),
    ];
    for (_, cost) in decision.costs() {
        rows.push(("cost", cost.loss.to_owned()));
        rows.push(("remedy", cost.remedy.to_owned()));
    }
    for (when, what) in others {
        let then = what["refused"].as_str().map_or_else(|| modes(what), |why| format!("refused: {why}"));
        rows.push(("otherwise", format!("if {when}: {then}")));
    }
    table(&rows)
}
