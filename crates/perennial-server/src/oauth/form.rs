//! Forms as the token endpoint and its kind take them: strictly `application/x-www-form-urlencoded`, bounded,
//! no parameter twice, an empty one as if it were not there (RFC 6749, 3.2 and appendix B).

use std::borrow::Cow;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};

use crate::refusal::Refusal;

/// The longest form that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// The parameters that any of the endpoints knows; all others are ignored (RFC 6749, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    AccessToken,
    ClientId,
    ClientSecret,
    Code,
    CodeVerifier,
    GrantType,
    RedirectUri,
    RefreshToken,
    Resource,
    RetryKey,
    Scope,
    Token,
}

impl Parameter {
    const COUNT: usize = 12;

    const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::ClientId => "client_id",
            Self::ClientSecret => "client_secret",
            Self::Code => "code",
            Self::CodeVerifier => "code_verifier",
            Self::GrantType => "grant_type",
            Self::RedirectUri => "redirect_uri",
            Self::RefreshToken => "refresh_token",
            Self::Resource => "resource",
            Self::RetryKey => "retry_key",
            Self::Scope => "scope",
            Self::Token => "token",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "access_token" => Self::AccessToken,
            "client_id" => Self::ClientId,
            "client_secret" => Self::ClientSecret,
            "code" => Self::Code,
            "code_verifier" => Self::CodeVerifier,
            "grant_type" => Self::GrantType,
            "redirect_uri" => Self::RedirectUri,
            "refresh_token" => Self::RefreshToken,
            "resource" => Self::Resource,
            "retry_key" => Self::RetryKey,
            "scope" => Self::Scope,
            "token" => Self::Token,
            _ => return None,
        })
    }

    /// Whether it may not stand in an address, where logs and histories would keep it (RFC 6749, 2.3.1).
    const fn is_secret(self) -> bool {
        match self {
            Self::AccessToken
            | Self::ClientSecret
            | Self::Code
            | Self::CodeVerifier
            | Self::RefreshToken
            | Self::Token => true,
            Self::ClientId
            | Self::GrantType
            | Self::RedirectUri
            | Self::Resource
            | Self::RetryKey
            | Self::Scope => false,
        }
    }
}

/// The known parameters of one request, borrowed from its body wherever nothing was escaped.
#[derive(Default)]
pub(crate) struct Form<'a> {
    values: [Option<Cow<'a, str>>; Parameter::COUNT],
}

impl<'a> Form<'a> {
    /// Reads a body that [`body`] has taken.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        if std::str::from_utf8(body).is_err() {
            return Err(Refusal::request("malformed_form", "The form is not UTF-8 text."));
        }
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let Some(parameter) = Parameter::of_name(&name) else { continue };
            let slot = &mut form.values[parameter as usize];
            if slot.is_some() {
                return Err(Refusal::request(
                    "repeated_parameter",
                    format!("The parameter `{}` is there more than once.", parameter.name()),
                ));
            }
            *slot = Some(value);
        }
        Ok(form)
    }

    /// The value; an empty one is none (RFC 6749, 3.2).
    pub(crate) fn value(&self, parameter: Parameter) -> Option<&str> {
        self.values[parameter as usize].as_deref().filter(|value| !value.is_empty())
    }

    /// The value, or the refusal that asks for it.
    pub(crate) fn required(&self, parameter: Parameter) -> Result<&str, Refusal> {
        self.value(parameter).ok_or_else(|| {
            Refusal::request("missing_parameter", format!("The parameter `{}` is missing.", parameter.name()))
        })
    }
}

/// Takes the body of a form, never more than [`LONGEST`].
pub(crate) async fn body(uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    no_secret_in_address(uri)?;
    if !is_form(headers) {
        return Err(Refusal::request(
            "not_a_form",
            "The content type must be application/x-www-form-urlencoded.",
        ));
    }
    match Limited::new(body, LONGEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refusal::request("too_long", format!("The form is longer than {LONGEST} bytes."))
                .with_status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Err(_) => Err(Refusal::request("incomplete", "The request's body did not arrive whole.")),
    }
}

/// Refuses credentials and tokens in the query (RFC 6749, 2.3.1; RFC 6750, 5.3).
pub(crate) fn no_secret_in_address(uri: &Uri) -> Result<(), Refusal> {
    let Some(query) = uri.query() else { return Ok(()) };
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        if Parameter::of_name(&name).is_some_and(Parameter::is_secret) {
            return Err(Refusal::request(
                "secret_in_address",
                format!("`{name}` must never be sent in an address: send it in the body."),
            ));
        }
    }
    Ok(())
}

/// Whether the content type says form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
