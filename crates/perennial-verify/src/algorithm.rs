//! The signature algorithms that can be allowed, none of them symmetric.
//!
//! The list comes from the API's operator, never from a token: `none` and HMAC have no value here, so a token
//! that names them has no way to be verified (RFC 8725, 3.1; RFC 9068, 4).

use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};

/// A JWS signature algorithm (RFC 7518, 3.1; RFC 8037; RFC 9864).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// EdDSA with Ed25519; tokens say `EdDSA` or, as RFC 9864 wants it, `Ed25519`.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 bits and more.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-512, keys of 2048 bits and more.
    Rs512,
    /// RSASSA-PSS with SHA-256, keys of 2048 bits and more.
    Ps256,
}

/// What an algorithm needs of a key.
pub(crate) enum Family {
    Ec { curve: &'static str, coordinate_bytes: usize, verification: &'static EcdsaVerificationAlgorithm },
    Ed25519 { verification: &'static dyn VerificationAlgorithm },
    Rsa { verification: &'static RsaParameters },
}

impl Algorithm {
    /// What is allowed unless the operator says otherwise.
    pub const DEFAULT: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The algorithm that `alg` names, if it is one that can be allowed at all.
    pub(crate) fn named(alg: &str) -> Option<Self> {
        match alg {
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            "RS512" => Some(Self::Rs512),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Es256 => Family::Ec {
                curve: "P-256",
                coordinate_bytes: 32,
                verification: &signature::ECDSA_P256_SHA256_FIXED,
            },
            Self::Es384 => Family::Ec {
                curve: "P-384",
                coordinate_bytes: 48,
                verification: &signature::ECDSA_P384_SHA384_FIXED,
            },
            Self::EdDsa => Family::Ed25519 { verification: &signature::ED25519 },
            Self::Rs256 => Family::Rsa { verification: &signature::RSA_PKCS1_2048_8192_SHA256 },
            Self::Rs512 => Family::Rsa { verification: &signature::RSA_PKCS1_2048_8192_SHA512 },
            Self::Ps256 => Family::Rsa { verification: &signature::RSA_PSS_2048_8192_SHA256 },
        }
    }
}

/// An RSA key from its modulus and exponent, big-endian without leading zeros.
pub(crate) fn rsa_key(
    n: &[u8],
    e: &[u8],
    verification: &'static RsaParameters,
) -> Option<signature::ParsedPublicKey> {
    // RFC 7518, 6.3.1.1: no leading zeros; some issuers add one all the same.
    let n = n.strip_prefix(&[0]).unwrap_or(n);
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(verification).ok()
}
