# The two commands: `make demo` and `make check`. Everything here is a thin front of Meson and of tools/.
BUILD ?= build
PREFIX ?= /usr/local
# Folder with the data sets of datasets/README.md: given, in $CROSSMAMBA_DATA, or found beside the checkout. Tests
# and recipes that need it say so by name.
ifndef DATA
DATA := $(abspath $(firstword $(CROSSMAMBA_DATA) $(dir $(wildcard ../data/rpi1460 ../*/data/rpi1460))))
endif
export CROSSMAMBA_DATA := $(DATA)

.PHONY: deps build demo check install check-long bench asan tsan valgrind coverage fuzz fuzz-coverage format format-check tidy models results clean help

help:
	@sed -n 's/^## //p' Makefile

## make demo          install what is missing, build, predict with the shipped models
demo: build
	@sh examples/demo.sh $(BUILD)/src/cli/crossmamba

## make check         build and run the tests (2 minutes on 2 cores)
check: build
	@sh tools/check.sh $(BUILD)

## make check-long    the whole fault sweeps, and what the fuzzers' seeds reach (hours)
check-long: build fuzz-coverage
	@meson test -C $(BUILD) --no-rebuild --benchmark --suite long --print-errorlogs --verbose

## make deps          install missing Debian packages (as root or with sudo)
deps:
	@sh tools/deps.sh build

## make build         build the program and the library into build/
build: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX)
	@ninja -C $(BUILD)

## make install       install program, library, headers and models under PREFIX [/usr/local]
install: build
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

## make bench         speed against PyTorch (needs Python with torch: bench/README.md)
bench: build
	@sh bench/compare.sh $(BUILD)

## make asan          the tests under AddressSanitizer and UndefinedBehaviorSanitizer
asan: deps
	@test -f $(BUILD)-asan/build.ninja || meson setup $(BUILD)-asan --buildtype=debugoptimized -Dwerror=false -Db_sanitize=address,undefined
	@sh tools/check.sh $(BUILD)-asan

## make tsan          the tests under ThreadSanitizer
tsan: deps
	@test -f $(BUILD)-tsan/build.ninja || meson setup $(BUILD)-tsan --buildtype=debugoptimized -Dwerror=false -Db_sanitize=thread
	@sh tools/check.sh $(BUILD)-tsan

## make valgrind      a part of the tests under valgrind
valgrind: build
	@sh tools/deps.sh dev
	@sh tools/valgrind.sh $(BUILD)

## make coverage      line coverage of src/ (text on stdout, pages in build-coverage/html)
coverage:
	@sh tools/deps.sh dev
	@sh tools/coverage.sh $(BUILD)-coverage

## make fuzz          run every fuzz target T seconds [60] with libFuzzer (clang; SANITIZE=none: fast)
T ?= 60
fuzz: build
	@sh tools/deps.sh fuzz
	@PROGRAM=$(BUILD)/src/cli/crossmamba sh tools/fuzz.sh $(BUILD)-fuzz $(T) $(TARGETS)

## make fuzz-coverage line coverage of each parser from the seeds of its fuzz target
fuzz-coverage: deps
	@python3 tools/fuzz_coverage.py $(BUILD)-fuzz-coverage . $(wildcard $(BUILD)-fuzz/corpus)

## make format        format the sources; make format-check only looks
format:
	@sh tools/deps.sh dev
	@git ls-files '*.c' '*.h' '*.cpp' | xargs clang-format -i
format-check:
	@sh tools/deps.sh dev
	@git ls-files '*.c' '*.h' '*.cpp' | xargs clang-format --dry-run -Werror

## make tidy          clang-tidy over src/
tidy: build
	@sh tools/deps.sh dev
	@git ls-files 'src/*.c' | xargs -P 2 -n 8 clang-tidy --quiet -p $(BUILD)

## make models        train the shipped models again, bit for bit (needs DATA)
models: build
	@sh models/make.sh $(BUILD)/src/cli/crossmamba "$(DATA)" models

## make results       docs/results.md: all evaluations, resumable (needs DATA; SETS="rsim plant" for some)
results: build
	@sh tools/results/run.sh $(BUILD)/src/cli/crossmamba "$(DATA)" $(SETS)

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-coverage $(BUILD)-fuzz $(BUILD)-fuzz-fast $(BUILD)-fuzz-coverage
