//! `explain`

use quobyte_volume::driver::{self, Driver, ImageInspection};
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::io_policy::{Decision, DirectIo, Discard, Facts, IoMode, Probe, Row, Version};
use serde_json::{Value, json};

use super::present::{display_value, format_table};
use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, info: &ConnectionInfo) -> Result<Answer, Error> {
    let host = settings.hypervisor_facts();
    let driver = settings.driver()?;
    let (mounted, facts, decision) = match driver.inspect_image(info, &host) {
        Ok(ImageInspection { facts, decision, .. }) => (true, facts, decision),
        Err(driver::Error::NotMounted { .. }) => {
            let facts = driver.unprobed_facts(&host);
            (false, facts, driver.decide(info, &facts)?)
        }
        Err(error) => return Err(error.into()),
    };
    let alternatives = alternatives(&driver, info, &facts, &decision);
    let json = json!({
        "mounted": mounted,
        "facts": facts_json(info, &facts),
        "policy": policy_json(&decision),
        "rows": {"cache": row_json(decision.cache_row), "io": row_json(decision.io_row)},
        "otherwise": alternatives
            .iter()
            .map(|(condition, then)| json!({"if": condition, "then": then}))
            .collect::<Vec<_>>(),
    });
    let text = explanation(mounted, &json, &decision, &alternatives);
    Ok(Answer::new(json, text))
}

/// The policies that other results of a probe would lead to, as far as they differ from `decision`.
fn alternatives(
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
    let probed = facts.probe.map(|probe| probe.direct_io);
    let other_clients = clients.into_iter().filter(|(direct_io, _)| Some(*direct_io) != probed);
    other_clients
        .filter_map(|(direct_io, condition)| {
            let probe = Some(Probe { direct_io, reads: 0, nonblocking_reads: 0, errno: None });
            match driver.decide(info, &Facts { probe, ..*facts }) {
                Ok(other) if other.policy == decision.policy => None,
                Ok(other) => Some((condition, policy_json(&other))),
                Err(error) => Some((condition, json!({"refused": error.to_string()}))),
            }
        })
        .collect()
}

fn facts_json(info: &ConnectionInfo, facts: &Facts) -> Value {
    let version = |version: Option<Version>| version.map(|version| version.to_string());
    json!({
        "qemu": version(facts.hypervisor.qemu_version),
        "libvirt": version(facts.hypervisor.libvirt_version),
        "io_uring": facts.hypervisor.io_uring,
        "direct_io": facts.probe.map(|probe| probe.direct_io.as_str()),
        "probe": facts.probe,
        "aio_slots": facts.aio.map(|slots| json!({"used": slots.used, "limit": slots.limit})),
        "format": info.format.as_str(),
        "raw_length": facts.raw_length,
        "multiattach": info.multiattach,
    })
}

fn policy_json(decision: &Decision) -> Value {
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

fn row_json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "when": row.when,
        "because": row.why,
        "cost": row.cost.map(|cost| json!({"loss": cost.loss, "remedy": cost.remedy})),
    })
}

fn explanation(mounted: bool, json: &Value, decision: &Decision, alternatives: &[(&str, Value)]) -> String {
    let facts = &json["facts"];
    let slots = match &facts["aio_slots"] {
        Value::Null => "not known".to_owned(),
        slots => format!("{} of {} used", slots["used"], slots["limit"]),
    };
    let direct_io = match &facts["direct_io"] {
        Value::Null if mounted => "not known: the mount cannot be probed".to_owned(),
        Value::Null => "not known: the volume is not mounted".to_owned(),
        value => display_value(value),
    };
    let modes = |policy: &Value| {
        format!("cache={}, io={}", display_value(&policy["cache"]), display_value(&policy["io"]))
    };
    let reason = |row: &Row| format!("{} ({}): {}", row.when, row.name, row.why);
    let policy = modes(&json["policy"]);
    let mut rows = vec![
        ("QEMU", display_value(&facts["qemu"])),
        ("libvirt", display_value(&facts["libvirt"])),
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
    for (condition, then) in alternatives {
        let outcome = then["refused"].as_str().map_or_else(|| modes(then), |why| format!("refused: {why}"));
        rows.push(("otherwise", format!("if {condition}: {outcome}")));
    }
    format_table(&rows)
}
