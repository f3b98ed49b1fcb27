# make demo           install what is missing, label the sample photographs, print and draw one of them
# make test           install what is missing, run every test
# make check          format, lints, documentation, licences and known vulnerabilities of dependencies; CI runs it after the tests
# make build          build the program: target/ARCH-unknown-linux-gnu/release/relabel
# make wheel          build the wheel and install it into .venv: target/dist
# make dist           build everything that a release consists of: target/dist
# make fuzz           damage valid files at random for about ten minutes; prints the seed, every fault of a reader, and every
#                     image that is decoded differently from PIL
# make fuzz-coverage  fuzz every reader with libFuzzer for FUZZ_SECONDS each (60); needs cargo-fuzz (`cargo install cargo-fuzz`)
#                     and a C++ compiler, and takes ten minutes to build
# make watchdog       run two sessions on one device 200 times under load; prints all stacks if one hangs
# make bench          measure; docs/performance.md has the results and the method
# make clean          remove everything that was built

# Compiles for the glibc of the oldest supported systems: what is tested is what is shipped.
CARGO := scripts/cargo_manylinux
RELABEL := target/$(shell uname -m)-unknown-linux-gnu/release/relabel
PHOTOS := tests/data/golden/images
TEACHER := models/efficientnet-lite0.onnx
DEMO := relabel-demo
# Multiple of the number of files that `make test` damages.
FUZZ_TIMES := 60
# Seconds for each reader, and which readers: all if none is named.
FUZZ_SECONDS := 60
FUZZ_TARGETS :=

# Tests start servers on this machine; a proxy of the environment would be asked for them.
export NO_PROXY := 127.0.0.1,localhost
export no_proxy := $(NO_PROXY)

.PHONY: demo test wheel dist fuzz fuzz-coverage watchdog bench check setup build clean

demo: build
	@$(RELABEL) demo --teacher $(TEACHER) --in $(PHOTOS) --out $(DEMO)

test: build
	$(CARGO) test --release --locked --workspace
	@# The tests of scripts/bench run this benchmark. Of the workspace, because other features would compile everything again.
	$(CARGO) build --release --locked --workspace --quiet --bench bare
	@scripts/setup training
	@$(MAKE) --no-print-directory wheel
	.venv/bin/python -m pytest -q -n 2 --dist loadfile tests/python

# The Python tests run the program and the package of this wheel.
wheel: build
	.venv/bin/python -m pip install --quiet --no-deps --force-reinstall "$$(scripts/build_wheel)"

dist: build
	scripts/build_dist

# The memory limit aborts a reader that trusts a length field and allocates that much.
fuzz: build
	$(CARGO) test --release --locked --test integration --no-run
	ulimit -v 4194304 && RELABEL_FUZZ_TIMES=$(FUZZ_TIMES) $(CARGO) test --release --locked --test integration -- fuzz:: decode::pixels

fuzz-coverage:
	scripts/fuzz_coverage $(FUZZ_SECONDS) $(FUZZ_TARGETS)

watchdog: build
	python3 tests/python/watchdog.py --program $(RELABEL)

bench: wheel
	@scripts/setup training
	$(CARGO) build --release --locked --workspace --bench bare
	.venv/bin/python scripts/bench

check:
	@scripts/setup training
	cargo fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	.venv/bin/ruff check
	.venv/bin/python -m mypy
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps --document-private-items
	cargo package --workspace --locked --allow-dirty --no-verify --quiet
	scripts/check_dependencies

build: setup
	$(CARGO) build --release --locked --workspace

setup:
	@scripts/setup

clean:
	cargo clean
	rm -rf .venv $(DEMO)
