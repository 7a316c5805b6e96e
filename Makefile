# `make run` and `make test` work on a fresh machine: each installs what it lacks (Debian, macOS).

.DEFAULT_GOAL := help
.PHONY: help setup run install test bench lint fmt clean

# `make run PROFILE=release` builds with optimisation: slower to build, faster to run.
PROFILE ?= dev
export PROFILE

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what building, running and testing need
	@scripts/setup run test

run: ## build, then open the window (without a display: serve, and print the address)
	@scripts/run

# Into `$(DESTDIR)$(PREFIX)/bin`; the usual prefix is a person's own and wants no root.
PREFIX ?= $(HOME)/.local
install: export PREFIX := $(PREFIX)
install: export DESTDIR := $(DESTDIR)
install: PROFILE := $(if $(filter file,$(origin PROFILE)),release,$(PROFILE))
install: ## build the fast ones, put them into ~/.local/bin (PREFIX=/usr/local for another)
	@scripts/install

test: ## every test: Rust, UI, browser, window
	@scripts/test

bench: ## the figures, each beside its baseline
	@scripts/bench

lint: ## formatting, clippy, types, licences
	@scripts/lint

fmt: ## put everything into its format
	cargo fmt --all
	npm --prefix ui run format

clean: ## remove what was built
	cargo clean
	rm -rf ui/dist ui/node_modules tests/.cache tests/*/node_modules tests/*/*/node_modules
