//! Signing: keys that stay parsed, and the one place where a JWS is joined or taken apart (RFC 7515, 7.1).
//!
//! A library that parses the private key at every signature costs half as much again as the signature itself,
//! so the keys are aws-lc-rs key pairs, and the header of each kind of token is made once.

use std::collections::BTreeMap;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

/// How tokens are signed (RFC 7518, 3.1; RFC 8037, 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA 2048, PKCS #1 v1.5, with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    /// The `alg` of a header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa, Self::Rs256].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Claims could not be signed: a bug in them, or the library's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token could not be signed")]
pub struct NotSigned;

/// The `typ` of an access token (RFC 9068, 2.1).
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";
/// The `typ` of an ID token.
pub(crate) const ID_TOKEN: &str = "JWT";

/// The longest token that is looked at.
const LONGEST: usize = 8 * 1024;

/// A parsed key pair with everything that its signatures repeat.
pub(crate) struct SigningKey {
    pub(crate) algorithm: SigningAlgorithm,
    /// The thumbprint (RFC 7638).
    pub(crate) kid: String,
    private: PrivateKey,
    public: ParsedPublicKey,
    jwk: Map<String, Value>,
    access_token_header: String,
    id_token_header: String,
}

enum PrivateKey {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
    Rs256(Box<RsaKeyPair>),
}

/// Draws a new private key, as PKCS #8.
pub(crate) fn draw(algorithm: SigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, NotSigned> {
    let drawn = match algorithm {
        SigningAlgorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map(|document| document.as_ref().to_vec()),
        SigningAlgorithm::EdDsa => Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8())
            .map(|document| document.as_ref().to_vec()),
        SigningAlgorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).and_then(|pair| {
            let document: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der()?;
            Ok(document.as_ref().to_vec())
        }),
    };
    drawn.map(Zeroizing::new).map_err(|_| NotSigned)
}

impl SigningKey {
    /// Parses a private key, once.
    pub(crate) fn parse(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Option<Self> {
        let (private, public, jwk) = match algorithm {
            SigningAlgorithm::Es256 => es256(pkcs8)?,
            SigningAlgorithm::EdDsa => eddsa(pkcs8)?,
            SigningAlgorithm::Rs256 => rs256(pkcs8)?,
        };
        let kid = thumbprint(&jwk);
        let header = |typ: &str| header(algorithm, &kid, typ);
        let (access_token_header, id_token_header) = (header(ACCESS_TOKEN), header(ID_TOKEN));
        Some(Self { algorithm, kid, private, public, jwk, access_token_header, id_token_header })
    }

    /// The public key as it is published (RFC 7517, 4).
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.jwk.clone();
        jwk.insert("kid".to_owned(), json!(self.kid));
        jwk.insert("alg".to_owned(), json!(self.algorithm.name()));
        jwk.insert("use".to_owned(), json!("sig"));
        Value::Object(jwk)
    }

    /// A compact JWS over `claims`.
    pub(crate) fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, NotSigned> {
        let claims = serde_json::to_vec(claims).map_err(|_| NotSigned)?;
        let mut token = String::with_capacity(128 + (claims.len() * 4).div_ceil(3) + 512);
        match typ {
            ACCESS_TOKEN => token.push_str(&self.access_token_header),
            ID_TOKEN => token.push_str(&self.id_token_header),
            other => token.push_str(&header(self.algorithm, &self.kid, other)),
        }
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let random = SystemRandom::new();
        match &self.private {
            PrivateKey::Es256(pair) => {
                let signature = pair.sign(&random, token.as_bytes()).map_err(|_| NotSigned)?;
                append(&mut token, signature.as_ref());
            }
            PrivateKey::EdDsa(pair) => {
                let signature = pair.try_sign(token.as_bytes()).map_err(|_| NotSigned)?;
                append(&mut token, signature.as_ref());
            }
            PrivateKey::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature)
                    .map_err(|_| NotSigned)?;
                append(&mut token, &signature);
            }
        }
        Ok(token)
    }

    /// The left half of the access token's hash, for an ID token (OpenID Connect Core, 3.1.3.6).
    pub(crate) fn at_hash(&self, access_token: &str) -> String {
        match self.algorithm {
            SigningAlgorithm::Es256 | SigningAlgorithm::Rs256 => {
                URL_SAFE_NO_PAD.encode(&Sha256::digest(access_token)[..16])
            }
            SigningAlgorithm::EdDsa => URL_SAFE_NO_PAD.encode(&Sha512::digest(access_token)[..32]),
        }
    }
}

/// The claims of a compact JWS of this `typ` that one of `keys` signed; lifetimes are the caller's to judge.
pub(crate) fn verified<T: DeserializeOwned>(keys: &[SigningKey], typ: &str, token: &str) -> Option<T> {
    if token.len() > LONGEST {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (head, claims) = signed.split_once('.')?;
    let head: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
    let key = keys.iter().find(|key| key.kid == head.kid && key.algorithm.name() == head.alg)?;
    if !head.typ.eq_ignore_ascii_case(typ) {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    key.public.verify_sig(signed.as_bytes(), &signature).ok()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

fn append(token: &mut String, signature: &[u8]) {
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, token);
}

fn header(algorithm: SigningAlgorithm, kid: &str, typ: &str) -> String {
    let header = json!({ "alg": algorithm.name(), "kid": kid, "typ": typ });
    URL_SAFE_NO_PAD.encode(header.to_string())
}

type Parsed = (PrivateKey, ParsedPublicKey, Map<String, Value>);

fn es256(pkcs8: &[u8]) -> Option<Parsed> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
    let point = pair.public_key().as_ref();
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
    // An uncompressed point: 4, x, y (SEC 1, 2.3.3).
    let (x, y) = (point.get(1..33)?, point.get(33..65)?);
    let jwk = members(&[("crv", "P-256"), ("kty", "EC")], &[("x", x), ("y", y)]);
    Some((PrivateKey::Es256(Box::new(pair)), public, jwk))
}

fn eddsa(pkcs8: &[u8]) -> Option<Parsed> {
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
    let x = pair.public_key().as_ref();
    let public = ParsedPublicKey::new(&ED25519, x).ok()?;
    let jwk = members(&[("crv", "Ed25519"), ("kty", "OKP")], &[("x", x)]);
    Some((PrivateKey::EdDsa(Box::new(pair)), public, jwk))
}

fn rs256(pkcs8: &[u8]) -> Option<Parsed> {
    let pair = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
    let key = pair.public_key();
    let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.as_ref()).ok()?;
    let (modulus, exponent) = (key.modulus(), key.exponent());
    let (n, e) = (modulus.big_endian_without_leading_zero(), exponent.big_endian_without_leading_zero());
    let jwk = members(&[("kty", "RSA")], &[("e", e), ("n", n)]);
    Some((PrivateKey::Rs256(Box::new(pair)), public, jwk))
}

fn members(words: &[(&str, &str)], numbers: &[(&str, &[u8])]) -> Map<String, Value> {
    let words = words.iter().map(|(name, word)| ((*name).to_owned(), json!(word)));
    let numbers =
        numbers.iter().map(|(name, bytes)| ((*name).to_owned(), json!(URL_SAFE_NO_PAD.encode(bytes))));
    words.chain(numbers).collect()
}

/// RFC 7638, 3: SHA-256 over the required members in the order of their names, without white space.
fn thumbprint(required: &Map<String, Value>) -> String {
    let ordered: BTreeMap<&String, &Value> = required.iter().collect();
    let canonical = serde_json::to_vec(&ordered).expect("a map of strings is always JSON");
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638, 3.1.
    #[test]
    fn thumbprint_is_that_of_the_rfc() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK\
                 RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAta\
                 Sqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINH\
                 aQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let jwk = json!({ "kty": "RSA", "n": n, "e": "AQAB" });
        assert_eq!(
            thumbprint(jwk.as_object().expect("an object")),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }
}
