//! Keys that sign tokens and show themselves as JWKs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) alg: &'static str,
    key: PrivateKey,
}

enum PrivateKey {
    Ec { pair: EcdsaKeyPair, crv: &'static str },
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn new(kid: &str, alg: &'static str) -> Self {
        let key = match alg {
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "EdDSA" | "Ed25519" => PrivateKey::Ed25519(Ed25519KeyPair::generate().unwrap()),
            "RS256" | "RS512" | "PS256" => PrivateKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            other => panic!("no such algorithm: {other}"),
        };
        Self { kid: kid.to_owned(), alg, key }
    }

    pub(crate) fn es256(kid: &str) -> Self {
        Self::new(kid, "ES256")
    }

    /// The public key, without `kid`, `alg` and `use`.
    pub(crate) fn bare_jwk(&self) -> Value {
        match &self.key {
            PrivateKey::Ec { pair, crv } => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": crv, "x": b64(x), "y": b64(y) })
            }
            PrivateKey::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key()) })
            }
            PrivateKey::Rsa(pair) => {
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "n": b64(n), "e": b64(e) })
            }
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.alg, "typ": "at+jwt", "kid": self.kid })
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.sign_bytes(input.as_bytes());
        format!("{input}.{}", b64(signature))
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }

    fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            PrivateKey::Ec { pair, .. } => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            PrivateKey::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            PrivateKey::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match self.alg {
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm, crv: &'static str) -> PrivateKey {
    PrivateKey::Ec { pair: EcdsaKeyPair::generate(algorithm).unwrap(), crv }
}
