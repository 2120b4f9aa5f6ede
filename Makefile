# Every target is a script or a cargo call; run them by hand as well.
.PHONY: help demo test bench matrix fuzz debs lint doc
help:  ## this list
	@sed -n 's/^\([a-z0-9]*\): .*## /  make \1	/p' Makefile
demo:  ## two unknown machines join the mesh in a virtual lab, one is rebooted through it, one is given an image, live in this terminal
	@tests/demo.sh
test:  ## everything that must hold: format, lints, docs, purity, licences, tests, whole-system stories
	@tests/run.sh
bench:  ## figures beside other servers, in one run (BENCH=tftp for one of them)
	@tests/bench.sh $(BENCH)
matrix:  ## every way to the local disk on real firmware: the table of docs/LOCAL-BOOT.md (20 minutes)
	@tests/preflight.sh && cargo build --workspace && cargo run --package enforcer-tests --bin local-boot-matrix
fuzz:  ## each fuzz target for FUZZ_SECONDS (60)
	@tests/fuzz.sh
debs:  ## static programs and their Debian packages, in target/debs (ARCH=arm64 for a Raspberry Pi)
	@packaging/debs.sh
lint:  ## format, purity, licences, lints and docs only
	@tests/run.sh format purity licences lints docs
doc:  ## the code's own documentation
	cargo doc --workspace --no-deps --document-private-items
