# Plain commands with a short name. What takes thought lives in `martello` and in scripts/.

# List the recipes
default:
    @just --list

# What a change must pass: format, lints, docs, tests
check:
    .ci/run

# The tests, or those with ARGS in their names
test *ARGS:
    ./scripts/test {{ ARGS }}

# Martello over the demo's data, without any server beside it
demo:
    cargo run -- demo

# Write openapi/openapi.json anew from the catalog
openapi:
    cargo run -- openapi

# Advisories, licences and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny check
