# Every target does its own set-up and can be interrupted and run again. CONTRIBUTING.md says more.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build crash demo wheel nova nova-venv test test-full vm nova-releases nova-debian debian-13 soak fuzz lint bench openstack-up tempest openstack-down

scripts := .ci/run demo/run demo/steps.bash $(addprefix tests/lab/,debian enter guest inside install other-host qemu-img \
	start-libvirtd venv virt-type) packaging/install tests/nova/debian tests/nova/run $(addprefix tests/machine/,clone enter image inside) \
	$(addprefix tests/nspawn/,boot check-shutdown control-group image inside run) $(wildcard tests/nspawn/*.bash) \
	$(addprefix tests/vm/,host.bash image init inside nextest.bash run) $(wildcard tests/vm/cases/*) \
	$(addprefix tests/openstack/,boot cloud.bash configure down guest kill-client left-behind service tempest up)
archive := target/lab/tests.tar.zst
# The tests that cases in virtual machines select.
vm_tests := $(sort $(shell grep --only-matching --no-filename 'binary.[a-z_]*' tests/vm/cases/* | cut --characters=8-))
other_novas := 29 31 33
python := crates/nova-quobyte-python

# How long each fuzz target runs.
SECONDS := 60
fuzz_targets := $(patsubst fuzz/libfuzzer/targets/%.rs,%,$(wildcard fuzz/libfuzzer/targets/*.rs))

# Ignored tests run too: no test is ever left out.
nextest_run := nextest run --run-ignored all --ignore-default-filter

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the command, the stand-in client and the test guest
	tests/lab/install build
	cargo build --release --locked
	mkdir -p target/release/standin
	ln -sfn ../quobyte-standin target/release/standin/mount.quobyte
	ln -sfn ../quobyte-standin target/release/standin/umount.quobyte
	tests/lab/guest

demo: build ## attach volumes to a running guest and take them away again, step by step
	tests/lab/enter demo/run

wheel: build ## build the Python package for OpenStack Nova, in dist/
	tests/lab/venv wheel
	rm -rf dist
	install -D -t $(python)/python/nova_quobyte/bin $(addprefix target/release/,nova-quobyte quobyte-client-unit quobyte-share-helper)
	target/lab/venv-wheel/bin/maturin build --quiet --release --locked --manifest-path $(python)/Cargo.toml --out dist

# Nova, with the package beside it.
nova-venv: wheel
	tests/lab/install nova
	tests/lab/venv nova
	target/lab/venv-nova/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl

nova: nova-venv ## run the tests of the Python package, in real Nova
	tests/lab/enter tests/nova/run

# The tests in e2e are built and packed before entering: nothing in target/ shall become root's.
test: build crash nova ## run every test: the crates', their documentation's, and those that need the lab
	tests/lab/install test
	tests/lab/venv oslo
	cargo $(nextest_run) --locked
	cargo test --doc --locked -- --include-ignored
	cargo nextest archive --locked --package e2e --archive-file $(archive)
	tests/lab/enter "$$(command -v cargo-nextest)" $(nextest_run) --archive-file $(archive) --workspace-remap .

# Programs that can be killed between any two steps, for tests alone.
crash:
	cargo build --locked --package nova-quobyte --package quobyte-volume --bin nova-quobyte --bin quobyte-client-unit \
		--features nova-quobyte/crash-points
	install -D target/debug/nova-quobyte target/lab/nova-quobyte-crash
	install -D target/debug/quobyte-client-unit target/lab/quobyte-client-unit-crash

test-full: test soak crash vm nova-releases nova-debian debian-13 ## the same and the long forms: systemd, other kernels, Debians and Novas, soak
	tests/lab/install test-full
	tests/nspawn/run bookworm
	tests/nspawn/run trixie
	tests/nova/report.py --check

debian-13: ## run the demo and every test on a fresh Debian 13, in a clean clone of what is committed
	tests/lab/install test-full
	tests/machine/enter trixie tests/machine/clone make demo test

vm: build crash ## run the library and the command on Debian 12's and 13's own kernels, in virtual machines
	tests/lab/install test
	tests/lab/install test-full
	cargo nextest archive --locked --package quobyte-volume --package e2e --lib $(addprefix --test ,$(vm_tests)) \
		--archive-file target/lab/vm.tar.zst
	tests/vm/run bookworm
	tests/vm/run trixie

nova-releases: wheel ## run the tests of the Python package in older releases of Nova
	tests/lab/install nova
	for release in $(other_novas); do \
		tests/lab/venv nova-$$release; \
		target/lab/venv-nova-$$release/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl; \
		tests/lab/enter tests/nova/run --release $$release; \
	done

nova-debian: wheel ## run the tests of the Python package in Debian 12's and 13's own Nova, and have its service started
	tests/lab/install test-full
	tests/machine/enter bookworm tests/nova/debian
	tests/machine/enter trixie tests/nova/debian

soak: build crash ## kill and load the command, have QEMU open mutated images, for long; NOVA_QUOBYTE_SEED=N repeats a run
	tests/lab/install test
	PROPTEST_CASES=10000 cargo nextest run --locked --profile soak --package quobyte-volume driver::tests::model
	cargo nextest archive --locked --package e2e --archive-file $(archive)
	NOVA_QUOBYTE_KILLS=500 NOVA_QUOBYTE_OPERATIONS=4000 NOVA_QUOBYTE_IMAGES=10000 tests/lab/enter \
		"$$(command -v cargo-nextest)" nextest run --profile soak --archive-file $(archive) --workspace-remap . \
		-E 'binary(crash_random) | binary(stress_shares) | binary(images_mutated)'

# libFuzzer's instrumentation is not a stable part of rustc; RUSTC_BOOTSTRAP has the one toolchain there is offer it. All
# code under test is safe, so no sanitizer has anything to find. What is found goes to target/fuzz/.
fuzz: ## have a fuzzer make up input for every parser, SECONDS=60 for each
	tests/lab/install fuzz
	mkdir -p target/fuzz/found
	for target in $(fuzz_targets); do \
		mkdir -p target/fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz/libfuzzer --target-dir target/fuzz --sanitizer none \
			$$target target/fuzz/corpus/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -timeout=5 -print_final_stats=1 -artifact_prefix=target/fuzz/found/$$target-; \
	done

lint: ## check the format, clippy, licences and sources of dependencies, and the shell scripts
	tests/lab/install lint
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/libfuzzer/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check bans licenses sources
	shellcheck --external-sources $(scripts)
	shellcheck --shell=dash packaging/libvirt/nova-quobyte tests/lab/guest-init tests/openstack/guest-init tests/openstack/guest-lsblk
	tests/lab/venv lint
	target/lab/venv-lint/bin/ruff check $(python) tests/nova tests/openstack
	target/lab/venv-lint/bin/ruff format --check $(python) tests/nova tests/openstack

bench: build nova-venv ## measure connects beside the in-tree way and the bare client, and the I/O policies; 20 minutes
	tests/lab/install bench
	cargo build --release --locked --package bench
	status=0; tests/lab/enter bench/run || status=$$?; \
		/usr/bin/python3 bench/plots.py target/bench; exit $$status

openstack-up: wheel ## bring a whole OpenStack cloud up on this machine, in namespaces of its own
	tests/openstack/up

tempest: openstack-up ## run Tempest's volume tests in it; TESTS=regex TYPE=qcow2|raw DRIVER=ours|in-tree
	tests/openstack/tempest

openstack-down: ## end the cloud and remove everything of it
	tests/openstack/down
