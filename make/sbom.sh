#!/usr/bin/env bash
# Writes what the release binary is made of: a bill of materials in CycloneDX (JSON), beside the binary. It lists the crates
# that a build for this machine takes, without those of tests.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh
need cyclonedx

# The tool writes beside Cargo.toml and knows no other place.
trap 'rm -f fairlead.cdx.json' EXIT
target=$(rustc -vV | sed -n 's/^host: //p')
"$FAIRLEAD_CARGO_CYCLONEDX" cyclonedx --format json --spec-version 1.5 --target "$target" --no-build-deps --override-filename fairlead.cdx --quiet
mkdir -p "$CARGO_TARGET_DIR/release"
mv fairlead.cdx.json "$CARGO_TARGET_DIR/release/fairlead.cdx.json"
jq -e '.bomFormat == "CycloneDX" and (.components | length) > 0' "$CARGO_TARGET_DIR/release/fairlead.cdx.json" >/dev/null
echo "$CARGO_TARGET_DIR/release/fairlead.cdx.json"
