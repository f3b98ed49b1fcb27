# make demo   set up what is missing, label the sample photographs, say and draw what was found
# make test   set up what is missing, run every test
# make wheel  build the Python package
# make fuzz   break files at random for about ten minutes; what a reader stumbles over is printed, with the seed of the run,
#             and so are images that come out otherwise than PIL shows them
# make fuzz-coverage  fuzz every reader with libFuzzer, guided by coverage, for FUZZ_SECONDS each (60); needs cargo-fuzz
#             (`cargo install cargo-fuzz`) and a C++ compiler, and builds all of it once more, which takes ten minutes
# make watchdog  run two sessions on one device 200 times beside a load, and print all stacks if one stands still
# make bench  measure; figures and method are in docs/performance.md
# make check  format, lints, documentation, licences and known vulnerabilities of dependencies (what CI runs after the tests)

RELABEL := target/release/relabel
PHOTOS := tests/data/golden/images
TEACHER := models/efficientnet-lite0.onnx
DEMO := demo.labels
PICTURE := demo.png
# How often as many files are broken as in `make test`.
FUZZ_TIMES := 60
# How long each reader is fuzzed, and which ones: all where none is named.
FUZZ_SECONDS := 60
FUZZ_TARGETS :=

.PHONY: demo test wheel fuzz fuzz-coverage watchdog bench check setup build clean

demo: build
	@rm -rf $(DEMO)
	@# Exit code 3 says that some images could not be labelled: the samples contain broken files on purpose.
	@$(RELABEL) run --teacher $(TEACHER) --in $(PHOTOS) --out $(DEMO) || [ $$? = 3 ]
	@echo
	@$(RELABEL) inspect $(DEMO) coffee --image-root $(PHOTOS) --crop 0.4,0.3,0.9,0.8 -o $(PICTURE)
	@echo
	@echo "The label maps lie in $(DEMO), a picture of this one in $(PICTURE). Others:"
	@echo "  $(RELABEL) inspect $(DEMO) chelsea --image-root $(PHOTOS) -o chelsea.png"
	@echo "  $(RELABEL) report $(DEMO) --image-root $(PHOTOS) -o report"

test: build
	cargo test --release --locked --workspace
	@# The benchmarks of scripts/gpu are tested, too, and run it.
	cargo bench --locked --quiet --bench bare --no-run
	@scripts/setup training
	.venv/bin/python -m pytest -q tests/python/training tests/python/page

# The Python package as a file to install elsewhere, in target/wheels. `pip install ./python` does as well.
wheel: build
	@scripts/setup training
	PATH="$(CURDIR)/.venv/bin:$$PATH" maturin build --release --locked --manifest-path python/Cargo.toml

# A reader that believes a length and asks for as much memory is aborted by the limit.
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
