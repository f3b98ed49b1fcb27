# make demo           install what is missing, label the sample photographs, print and draw one of them
# make test           install what is missing, run every test
# make check          format, lints, documentation, licences and known vulnerabilities of dependencies; CI runs it after the tests
# make build          build the program: target/release/relabel
# make wheel          build the Python package: target/wheels
# make fuzz           damage valid files at random for about ten minutes; prints the seed, every fault of a reader, and every
#                     image that is decoded differently from PIL
# make fuzz-coverage  fuzz every reader with libFuzzer for FUZZ_SECONDS each (60); needs cargo-fuzz (`cargo install cargo-fuzz`)
#                     and a C++ compiler, and takes ten minutes to build
# make watchdog       run two sessions on one device 200 times under load; prints all stacks if one hangs
# make bench          measure; docs/performance.md has the results and the method
# make clean          remove everything that was built

RELABEL := target/release/relabel
PHOTOS := tests/data/golden/images
TEACHER := models/efficientnet-lite0.onnx
DEMO := demo.labels
PICTURE := demo.png
# Multiple of the number of files that `make test` damages.
FUZZ_TIMES := 60
# Seconds for each reader, and which readers: all if none is named.
FUZZ_SECONDS := 60
FUZZ_TARGETS :=

# Tests start servers on this machine; a proxy of the environment would be asked for them.
export NO_PROXY := 127.0.0.1,localhost
export no_proxy := $(NO_PROXY)

.PHONY: demo test wheel fuzz fuzz-coverage watchdog bench check setup build clean

demo: build
	@rm -rf $(DEMO)
	@# Exit code 3: some images could not be labelled. The samples contain broken files on purpose.
	@$(RELABEL) run --teacher $(TEACHER) --in $(PHOTOS) --out $(DEMO) || [ $$? = 3 ]
	@echo
	@$(RELABEL) inspect $(DEMO) coffee --image-root $(PHOTOS) --crop 0.4,0.3,0.9,0.8 -o $(PICTURE)
	@echo
	@echo "Label maps: $(DEMO). Picture of this image: $(PICTURE). To see others:"
	@echo "  $(RELABEL) inspect $(DEMO) chelsea --image-root $(PHOTOS) -o chelsea.png"
	@echo "  $(RELABEL) report $(DEMO) --image-root $(PHOTOS) -o report"

test: build
	cargo test --release --locked --workspace
	@# The tests of scripts/gpu run this benchmark.
	cargo bench --locked --quiet --bench bare --no-run
	@scripts/setup training
	.venv/bin/python -m pytest -q tests/python/training tests/python/page

# For other machines; on this one, `pip install ./python` is enough.
wheel: build
	@scripts/setup training
	PATH="$(CURDIR)/.venv/bin:$$PATH" maturin build --release --locked --manifest-path python/Cargo.toml

# The memory limit aborts a reader that trusts a length field and allocates that much.
fuzz: build
	cargo test --release --locked --test integration --no-run
	ulimit -v 4194304 && RELABEL_FUZZ_TIMES=$(FUZZ_TIMES) cargo test --release --locked --test integration -- fuzz:: decode::pixels

fuzz-coverage:
	scripts/fuzz_coverage $(FUZZ_SECONDS) $(FUZZ_TARGETS)

watchdog: build
	python3 tests/python/watchdog.py

bench: build
	@scripts/setup training
	cargo bench --locked --bench bare --no-run
	.venv/bin/python scripts/bench.py

check:
	@scripts/setup training
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	cd python && ../.venv/bin/python -m mypy
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --document-private-items
	scripts/check_dependencies

build: setup
	cargo build --release --locked --workspace

setup:
	@scripts/setup

clean:
	cargo clean
	rm -rf .venv $(DEMO) $(PICTURE)
