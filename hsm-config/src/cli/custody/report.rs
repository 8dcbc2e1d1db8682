//! A custody set as it is shown.

use serde_json::{Value, json};

use crate::custody::{Document, Generation, SealedTo};

pub(super) fn summary(document: &Document) -> Value {
    let generation = |generation: &Generation| {
        let custodians = generation.custodians.iter().map(|keeper| {
            json!({
                "name": keeper.name,
                "sealed_to": keeper.sealed_to,
                "fingerprint": keeper.fingerprint,
                "proven": keeper.proven_at(),
            })
        });
        json!({
            "number": generation.number,
            "created": generation.created,
            "in_force": generation.in_force,
            "threshold": generation.threshold,
            "library": generation.library,
            "custodians": custodians.collect::<Vec<_>>(),
            "unproven": generation.unproven(),
        })
    };
    json!({
        "set": document.set,
        "name": document.name,
        "pin": document.pin,
        "token": document.token,
        "switching": document.switching,
        "current": document.current.as_ref().map(generation),
        "next": document.next.as_ref().map(generation),
        "past": document.past,
    })
}

pub(super) fn sentences(document: &Document) -> String {
    let mut lines = vec![format!(
        "{}: the {} of the {}\nset {}",
        document.name, document.pin, document.token, document.set
    )];
    let stages = [(&document.current, "in force"), (&document.next, "being made")];
    for (generation, stage) in
        stages.into_iter().filter_map(|(generation, stage)| Some((generation.as_ref()?, stage)))
    {
        let (number, threshold, count) =
            (generation.number, generation.threshold, generation.custodians.len());
        lines.push(format!("generation {number}, {stage}: {threshold} of {count}"));
        lines.push(format!("  module {}", generation.library));
        for keeper in &generation.custodians {
            let sealed = match &keeper.sealed_to {
                SealedTo::Passphrase => "a passphrase".to_owned(),
                SealedTo::Key { subject, .. } => format!("the token of {subject}"),
            };
            let proven = keeper.proven_at().map_or("NOT PROVEN".to_owned(), |at| format!("proven {at:.0}"));
            lines.push(format!("  {:<16} {}  {proven}  {sealed}", keeper.name, &keeper.fingerprint[..16]));
        }
    }
    lines.extend(document.past.iter().map(|past| {
        format!("generation {}, over since {:.0}: {}", past.number, past.over, past.custodians.join(", "))
    }));
    if document.switching {
        lines.push("the token's PIN is being changed: finish it with `inro-hsm custody switch`".to_owned());
    }
    lines.join("\n")
}
