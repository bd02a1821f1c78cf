# make demo   a front door, two gateways and curl lines to try
# make test   the whole test suite
# Both first install what is missing to build, with the system's package manager; `make test` also a browser, for the console,
# and an OpenID provider.

CARGO_TARGET_DIR ?= target
PREFIX ?= /usr/local
export CARGO_TARGET_DIR

.PHONY: demo test check bench build install packages install-deps clean

# ARGS="--dir DIR --bind ADDRESS" goes to `drawbridge demo`.
demo: install-deps
	cargo build --profile demo
	@exec "$(CARGO_TARGET_DIR)/demo/drawbridge" demo $(ARGS)

test: install-deps
	@scripts/install-browser
	@scripts/install-provider
	@scripts/test

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

# The whole table: proxies and engine beside their peers; needs ../shared/bench and what its README names.
bench: build
	@scripts/bench

build: install-deps
	@scripts/release-build

install: build
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/man/man1" \
	  "$(DESTDIR)$(PREFIX)/share/bash-completion/completions" \
	  "$(DESTDIR)$(PREFIX)/share/zsh/site-functions" \
	  "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d"
	install -m 755 "$(CARGO_TARGET_DIR)/release/drawbridge" "$(DESTDIR)$(PREFIX)/bin/drawbridge"
	"$(CARGO_TARGET_DIR)/release/drawbridge" man --to "$(DESTDIR)$(PREFIX)/share/man/man1"
	"$(CARGO_TARGET_DIR)/release/drawbridge" completions bash > "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/drawbridge"
	"$(CARGO_TARGET_DIR)/release/drawbridge" completions zsh > "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_drawbridge"
	"$(CARGO_TARGET_DIR)/release/drawbridge" completions fish > "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/drawbridge.fish"

# A Debian package, a tarball and an SBOM, in target/packages.
packages: install-deps
	@scripts/packages

install-deps:
	@scripts/install-deps

clean:
	cargo clean
