//! Request parameters: `application/x-www-form-urlencoded` from a query or a body, bounded, in their order.

use zeroize::Zeroize;

/// The longest query or body of an authorization request, in bytes.
pub(crate) const LONGEST_REQUEST: usize = 8 * 1024;
const MOST_PARAMETERS: usize = 64;

/// Names and values. A form carries passwords, so all of it is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(String, String)>);

/// More parameters than any request of ours has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// The parameter came more than once (RFC 6749, 3.1: it must not).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

impl Parameters {
    /// Reads them. One without a value is as good as left out (RFC 6749, 3.1).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, TooMany> {
        let mut pairs = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if pairs.len() == MOST_PARAMETERS {
                return Err(TooMany);
            }
            if !value.is_empty() {
                pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(Self(pairs))
    }

    /// The one value of `name`, where it has one.
    pub(crate) fn single(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }

    /// The first value of `name`; empty where it has none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// These, less all of `names`.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(own, _)| !names.contains(&own.as_str())).cloned().collect())
    }

    /// These and one more.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As a query again: ASCII only, so it can stand in a header.
    pub(crate) fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_without_a_value_is_as_good_as_left_out() {
        let parameters = Parameters::parse(b"state=&scope=openid&state=x").unwrap();
        assert_eq!(parameters.single("state"), Ok(Some("x")));
        assert_eq!(parameters.to_query(), "scope=openid&state=x");
    }

    #[test]
    fn a_repeated_parameter_is_told_from_a_missing_one() {
        let parameters = Parameters::parse(b"state=a&state=b").unwrap();
        assert_eq!(parameters.single("state"), Err(Repeated));
        assert_eq!(parameters.single("nonce"), Ok(None));
    }

    #[test]
    fn there_is_a_limit_on_parameters() {
        assert!(Parameters::parse("a=b&".repeat(64).as_bytes()).is_ok());
        assert!(Parameters::parse("a=b&".repeat(65).as_bytes()).is_err());
    }
}
