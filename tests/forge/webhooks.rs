//! Webhooks as GitHub publishes them, signed as its own library signs.

use std::process::Command;

use axum::http::HeaderMap;
use fairlead::forge::{Kind, webhook};

#[test]
fn published_webhooks_signed_by_githubs_own_library_are_genuine_and_changed_ones_are_not() {
    let folder = std::env::var("FAIRLEAD_GITHUB_WEBHOOKS")
        .expect("FAIRLEAD_GITHUB_WEBHOOKS names what npm brought: make test sets it");
    let program = "
        import { sign } from '@octokit/webhooks-methods';
        import { readFileSync } from 'node:fs';
        const all = JSON.parse(readFileSync('node_modules/@octokit/webhooks-examples/api.github.com/index.json'));
        const out = [];
        for (const { name, examples } of all.filter(({ name }) => ['push', 'pull_request', 'issue_comment'].includes(name)))
            for (const example of examples) {
                const body = JSON.stringify(example);
                out.push({ name, body, signature: await sign('s3cret', body) });
            }
        console.log(JSON.stringify(out));";
    let ran =
        Command::new("node").current_dir(folder).args(["--input-type=module", "--eval", program]).output();
    let ran = ran.expect("node is installed");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let all: Vec<serde_json::Value> = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert!(all.len() > 10, "{}", all.len());
    for one in all {
        let (body, signature) =
            (one["body"].as_str().expect("a body"), one["signature"].as_str().expect("a signature"));
        let headers = HeaderMap::from_iter([(
            "x-hub-signature-256".parse().expect("a name"),
            signature.parse().expect("a value"),
        )]);
        let genuine =
            |secret: &[u8], body: &str| webhook::is_genuine(Kind::Github, secret, &headers, body.as_bytes());
        assert!(genuine(b"s3cret", body), "{}", one["name"]);
        assert!(!genuine(b"s3cret", &format!("{body} ")) && !genuine(b"secret", body));
    }
}
