# Two commands do everything: make demo, make test.
.PHONY: demo test left-out lint dist clean

PREPARED = tools="$$(scripts/prerequisites.sh)" && PATH="$${tools:+$$tools:}$$PATH" && export PATH

# Builds all of it (the first time takes a while) and serves the demo until Ctrl-C. ARGS="--traffic attack" plays traffic.
demo:
	@$(PREPARED) && cargo build --release --package proxy --bin gatehouse && cargo run --release --quiet --package proxy --bin gatehouse -- demo $(ARGS)

# Every test that needs nothing from outside; says what it left out and how to have that too.
test:
	@$(PREPARED) && cargo test --workspace && scripts/left-out.sh

# The tests that `make test` leaves out; `.ci/run` installs what they need.
left-out:
	@$(PREPARED) && cargo test --workspace -- --ignored

lint:
	@$(PREPARED) && cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings

# What packagers ship: link-time optimised.
dist:
	@$(PREPARED) && cargo build --profile dist --package proxy --bin gatehouse

clean:
	cargo clean
