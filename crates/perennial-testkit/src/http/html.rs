//! The tags of a page, as much of HTML as it takes to fill in a form that a person sees.
//!
//! Knows start and end tags, quoted and bare attributes, character references, comments, and that scripts and
//! styles are text. Text areas and selects are not read: no page of ours has them.

/// One start or end tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// In lower case.
    pub(super) name: String,
    pub(super) is_end: bool,
    attributes: Vec<(String, String)>,
}

impl Tag {
    /// The attribute's value, empty when it has none.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// All tags in order.
pub(super) fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = after(comment, "-->");
            continue;
        }
        if !rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/') {
            continue;
        }
        let (tag, behind) = tag(rest);
        rest = behind;
        if !tag.is_end && matches!(tag.name.as_str(), "script" | "style") {
            rest = &rest[rest.find(&format!("</{}", tag.name)).unwrap_or(rest.len())..];
        }
        tags.push(tag);
    }
    tags
}

/// The tags of the form that has this id or holds the element with it, from its start tag on.
pub(super) fn form_around<'a>(tags: &'a [Tag], id: &str) -> Option<&'a [Tag]> {
    let starts = tags.iter().enumerate().filter(|(_, tag)| tag.name == "form" && !tag.is_end);
    starts
        .map(|(start, _)| {
            let len = tags[start..].iter().position(|tag| tag.name == "form" && tag.is_end);
            &tags[start..len.map_or(tags.len(), |len| start + len)]
        })
        .find(|form| form.iter().any(|tag| tag.attribute("id") == Some(id)))
}

/// Reads a tag behind its `<`; returns it and what follows its `>`.
fn tag(text: &str) -> (Tag, &str) {
    let (is_end, text) = text.strip_prefix('/').map_or((false, text), |text| (true, text));
    let name_len = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(text.len());
    let mut tag = Tag { name: text[..name_len].to_ascii_lowercase(), is_end, attributes: Vec::new() };
    let mut rest = &text[name_len..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() {
            return (tag, rest);
        }
        if let Some(behind) = rest.strip_prefix('>') {
            return (tag, behind);
        }
        let name_len =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(rest.len());
        // A stray `=` would be a name without letters: step over it.
        let (name, behind) = rest.split_at(name_len.max(1).min(rest.len()));
        let (value, behind) = value(behind);
        tag.attributes.push((name.to_ascii_lowercase(), value));
        rest = behind;
    }
}

/// Reads `="…"`, `='…'`, `=…` or nothing.
fn value(text: &str) -> (String, &str) {
    let Some(value) = text.trim_start().strip_prefix('=').map(str::trim_start) else {
        return (String::new(), text);
    };
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let len = quoted.find(quote).unwrap_or(quoted.len());
            return (unescape(&quoted[..len]), quoted.get(len + 1..).unwrap_or_default());
        }
    }
    let len = value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len());
    (unescape(&value[..len]), &value[len..])
}

/// Replaces the character references that templates write.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest.find(';').map(|end| (&rest[1..end], &rest[end + 1..]));
        match reference.and_then(|(name, behind)| Some((character(name)?, behind))) {
            Some((character, behind)) => {
                plain.push(character);
                rest = behind;
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain + rest
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_quoted_bare_and_without_value() {
        let tags =
            tags(r#"<!doctype html><INPUT id=user name='u' value="a &amp; &#x27;b&#39; &c" required/><p>"#);
        let input = &tags[0];
        assert_eq!(input.name, "input");
        assert_eq!(input.attribute("id"), Some("user"));
        assert_eq!(input.attribute("name"), Some("u"));
        assert_eq!(input.attribute("value"), Some("a & 'b' &c"));
        assert_eq!(input.attribute("required"), Some(""));
        assert_eq!(tags[1].name, "p");
    }

    #[test]
    fn comments_scripts_and_styles_hold_no_tags() {
        let page = "<!-- <a> --><script>if (a<b) '<b>'</script><style>a>b{}</style>1 < 2<i>";
        let names: Vec<_> = tags(page).into_iter().map(|tag| (tag.name, tag.is_end)).collect();
        let expected = [("script", false), ("script", true), ("style", false), ("style", true), ("i", false)];
        assert_eq!(names, expected.map(|(name, is_end)| (name.to_owned(), is_end)));
    }

    #[test]
    fn a_form_is_found_by_its_own_id_and_by_that_of_its_button() {
        let tags =
            tags("<form id=a><input id=x></form><form id=b action=/y><button id=go>Go</button></form>");
        assert_eq!(form_around(&tags, "x").unwrap()[0].attribute("id"), Some("a"));
        assert_eq!(form_around(&tags, "go").unwrap()[0].attribute("action"), Some("/y"));
        assert_eq!(form_around(&tags, "b").unwrap()[0].attribute("id"), Some("b"));
        assert!(form_around(&tags, "z").is_none());
    }

    #[test]
    fn torn_pages_end_quietly() {
        for page in ["<", "<a", "<a b", "<a b=", "<a b='", "<a b='c", "</", "<!--", "<script>", "<a =", "&"] {
            tags(page);
        }
    }
}
