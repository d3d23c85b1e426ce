//! What somebody who mistyped a name most likely meant.

/// `did you mean ...` where one of `names` is near, else all of them.
pub(super) fn suggestion<'a>(typed: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = names
        .clone()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min();
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("allowed: {}", listed(names)),
    }
}

/// Names as they stand in a sentence.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
