//! The claims of an access token, and whether they let it in here (RFC 9068, 4; RFC 7519, 4.1).

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::algorithm::Algorithm;
use crate::jws::Header;
use crate::principal::Verified;
use crate::refusal::TokenFault;

/// Which shape of access token is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// RFC 9068 to the letter: `typ` is `at+jwt`, and `exp`, `iat`, `sub`, `client_id` and `jti` are there.
    #[default]
    Rfc9068,
    /// Issuers older than RFC 9068 (Keycloak, Auth0, Okta, Entra): `typ` may be `JWT` or missing, the client may
    /// be in `azp`, `cid` or `appid`, scopes in `scp`. What is known to be no access token stays refused; give
    /// the API an audience of its own, since nothing else tells its tokens from ID tokens.
    Lenient,
}

/// What a token has to fit.
#[derive(Debug)]
pub(crate) struct Expectation {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) profile: Profile,
    pub(crate) leeway_seconds: u64,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) max_token_bytes: usize,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMany>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    jti: Option<String>,
    client_id: Option<String>,
    azp: Option<String>,
    cid: Option<String>,
    appid: Option<String>,
    scope: Option<OneOrMany>,
    scp: Option<OneOrMany>,
    sid: Option<String>,
    auth_time: Option<NumericDate>,
    acr: Option<String>,
    cnf: Option<IgnoredAny>,
    typ: Option<String>,
    at_hash: Option<IgnoredAny>,
    events: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// RFC 7519, 2: seconds since the epoch, possibly with a fraction, which is dropped.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
struct NumericDate(u64);

impl TryFrom<serde_json::Number> for NumericDate {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, Self::Error> {
        if let Some(seconds) = number.as_u64() {
            return Ok(Self(seconds));
        }
        match number.as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in range by the guard; the fraction is meant to go"
            )]
            Some(seconds) if (0.0..9e15).contains(&seconds) => Ok(Self(seconds as u64)),
            Some(_) | None => Err("a time before 1970 or beyond reason"),
        }
    }
}

/// What the claims say, before the signature has been looked at.
pub(crate) struct Unverified {
    pub(crate) issued_at: Option<u64>,
    pub(crate) claims: Verified,
}

impl Expectation {
    /// Holds header and claims against what is expected, cheap checks before the costly signature. What comes
    /// back counts for nothing until the signature does.
    pub(crate) fn check(
        &self,
        header: &Header,
        payload: Vec<u8>,
        now: u64,
    ) -> Result<Unverified, TokenFault> {
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenFault::Claims)?;
        self.check_type(header, &claims)?;
        // RFC 9068, 4: exactly the issuer, character by character.
        if claims.iss.as_deref() != Some(self.issuer.as_str()) {
            return Err(TokenFault::Issuer);
        }
        // RFC 9449, 7.1 and RFC 8705, 3: a bound token without its proof is worth nothing.
        if claims.cnf.is_some() {
            return Err(TokenFault::Binding);
        }
        self.check_times(&claims, now)?;
        let Some(NumericDate(expires_at)) = claims.exp else { return Err(TokenFault::Claims) };
        let audience = claims.aud.map(OneOrMany::into_vec).unwrap_or_default();
        if !audience.iter().any(|name| self.audiences.contains(name)) {
            return Err(TokenFault::Audience);
        }
        let strict = self.profile == Profile::Rfc9068;
        // RFC 9068, 2.2: required claims.
        if strict && (claims.iat.is_none() || claims.jti.is_none() || claims.client_id.is_none()) {
            return Err(TokenFault::Claims);
        }
        let lenient = |claim: Option<String>| if strict { None } else { claim };
        let issued_at = claims.iat.map(|NumericDate(seconds)| seconds);
        let client = claims
            .client_id
            .or(lenient(claims.azp))
            .or(lenient(claims.cid))
            .or(lenient(claims.appid))
            .unwrap_or_default();
        let scopes = claims.scope.or(if strict { None } else { claims.scp });
        let claims = Verified {
            issuer: self.issuer.clone(),
            subject: claims.sub.ok_or(TokenFault::Claims)?,
            client,
            scopes: scopes.map(split_scopes).unwrap_or_default(),
            audience,
            session: claims.sid,
            token_id: claims.jti,
            authenticated_at: claims.auth_time.map(|NumericDate(seconds)| seconds),
            acr: claims.acr,
            expires_at,
            payload: payload.into_boxed_slice(),
        };
        Ok(Unverified { issued_at, claims })
    }

    fn check_type(&self, header: &Header, claims: &Claims) -> Result<(), TokenFault> {
        let typ = header.typ.as_deref().map(|typ| {
            // RFC 7515, 4.1.9: the prefix may be left out, and media types have no case.
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
        });
        let fits = match self.profile {
            Profile::Rfc9068 => typ.as_deref() == Some("at+jwt"),
            Profile::Lenient => {
                let header_fits = matches!(typ.as_deref(), None | Some("jwt" | "at+jwt"));
                // Keycloak says in the claim `typ` what a token is; ID tokens carry at_hash (OpenID Connect
                // Core, 3.1.3.6), logout tokens events (Back-Channel Logout, 2.4).
                let claim_fits = claims.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("bearer"));
                header_fits && claim_fits && claims.at_hash.is_none() && claims.events.is_none()
            }
        };
        if fits { Ok(()) } else { Err(TokenFault::Type) }
    }

    fn check_times(&self, claims: &Claims, now: u64) -> Result<(), TokenFault> {
        if claims.exp.is_some_and(|NumericDate(exp)| now >= exp.saturating_add(self.leeway_seconds)) {
            return Err(TokenFault::Expired);
        }
        // RFC 7519, 4.1.5. A token issued in the future is as wrong as one that is not valid yet.
        let latest_start = now.saturating_add(self.leeway_seconds);
        let ahead = |time: Option<NumericDate>| time.is_some_and(|NumericDate(start)| start > latest_start);
        if ahead(claims.nbf) || ahead(claims.iat) { Err(TokenFault::NotYetValid) } else { Ok(()) }
    }
}

/// RFC 6749, 3.3: scopes are separated by single spaces; some issuers send a list.
fn split_scopes(scopes: OneOrMany) -> Vec<String> {
    match scopes {
        OneOrMany::One(line) => line.split_ascii_whitespace().map(str::to_owned).collect(),
        OneOrMany::Many(list) => list,
    }
}
