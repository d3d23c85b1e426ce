//! What a decision costs beside the bare signature, all in one run: `cargo run -p perennial-verify --example
//! speed`. Figures of different runs do not compare, the ratios do.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, VerificationAlgorithm,
};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use perennial_verify::Verifier;
use serde_json::{Value, json};

const TOKENS: usize = 4_000;
const BATCH: usize = 20;

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// An algorithm's name, its public key as a JWK and parsed, and how to sign with it.
struct Contender {
    alg: &'static str,
    jwk: Value,
    parsed: ParsedPublicKey,
    sign: Sign,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn parsed(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
) -> Result<ParsedPublicKey, aws_lc_rs::error::KeyRejected> {
    ParsedPublicKey::new(algorithm, key)
}

fn contenders() -> Result<[Contender; 2], Box<dyn std::error::Error>> {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let point = p256.public_key().as_ref().to_vec();
    let (x, y) = point[1..].split_at(32);
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate()?;
    let public = ed25519.public_key().as_ref().to_vec();
    Ok([
        Contender {
            alg: "ES256",
            jwk: json!({ "kty": "EC", "crv": "P-256", "kid": "ES256", "x": b64(x), "y": b64(y) }),
            parsed: parsed(&ECDSA_P256_SHA256_FIXED, &point)?,
            sign: Box::new(move |message| {
                p256.sign(&random, message).expect("the system has random bytes").as_ref().to_vec()
            }),
        },
        Contender {
            alg: "EdDSA",
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": b64(&public) }),
            parsed: parsed(&ED25519, &public)?,
            sign: Box::new(move |message| ed25519.sign(message).as_ref().to_vec()),
        },
    ])
}

/// Nanoseconds a call: the median of batches, so that a neighbour on the machine spoils a batch and not the figure.
async fn measure<T>(items: &[T], mut call: impl AsyncFnMut(&T)) -> f64 {
    let mut batches = Vec::new();
    for batch in items.chunks_exact(BATCH) {
        let start = Instant::now();
        for item in batch {
            call(item).await;
        }
        batches.push(start.elapsed().as_nanos() as f64 / BATCH as f64);
    }
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contenders = contenders()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") });
    let keys = json!({ "keys": contenders.each_ref().map(|contender| contender.jwk.clone()) });
    let app = Router::new()
        .route("/.well-known/oauth-authorization-server", get(async || Json(metadata)))
        .route("/jwks", get(async || Json(keys)));
    tokio::spawn(async move { axum::serve(listener, app).await });

    for contender in contenders {
        let verifier =
            Verifier::discover(&issuer).audience("https://api.example").seen_tokens(2 * TOKENS).build()?;
        verifier.ready().await?;
        let tokens: Vec<String> = (0..TOKENS).map(|n| token(&contender, &issuer, n)).collect();

        let bare = measure(&tokens, async |token| {
            let (message, signature) = token.rsplit_once('.').expect("a token has dots");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("just encoded");
            assert!(contender.parsed.verify_sig(message.as_bytes(), &signature).is_ok());
        })
        .await;
        let verify = async |token: &String| {
            black_box(verifier.verify(token).await).expect("the token is good");
        };
        let first_seen = measure(&tokens, verify).await;
        let seen = measure(&tokens, verify).await;
        println!(
            "{:<6} token of {} bytes: bare signature {bare:.0} ns, first seen {first_seen:.0} ns ({:.2} x), seen {seen:.0} ns ({:.3} x)",
            contender.alg,
            tokens[0].len(),
            first_seen / bare,
            seen / bare,
        );
    }
    Ok(())
}

fn token(contender: &Contender, issuer: &str, number: usize) -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let header = json!({ "alg": contender.alg, "typ": "at+jwt", "kid": contender.alg });
    let claims = json!({
        "iss": issuer, "sub": "7f3c9a52-6f0e-4a52-9d3e-0d6f3d1b8a11", "aud": "https://api.example",
        "client_id": "notes-app", "iat": now, "exp": now + 600, "jti": format!("at-{number:016}"),
        "scope": "openid profile notes.read notes.write", "sid": "s-2f6d0c1e9b7a4d53", "auth_time": now, "acr": "1",
    });
    let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = (contender.sign)(input.as_bytes());
    format!("{input}.{}", b64(signature))
}
