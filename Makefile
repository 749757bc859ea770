# make demo, make test, make bench, make clean. PRESET=cpu|dev|asan|tsan picks another build (CMakePresets.json).
PRESET ?= release
BUILD := build/$(PRESET)
SETUP := scripts/setup $(if $(filter cpu,$(PRESET)),--no-cuda)
TEST_JOBS ?= $(shell nproc)
MAKEFLAGS += --no-print-directory

.PHONY: help demo test bench build configure setup clean

help:
	@echo "make demo   set up what is missing, build, train the readmission model, say where its report is"
	@echo "make test   set up what is missing, build, run every test"
	@echo "make bench  build and run the benches; results go to bench/results"
	@echo "make clean  remove build/ (.deps and runs stay)"
	@echo "PRESET=$(PRESET); others: dev asan tsan cpu"

setup:
	@$(SETUP)

configure: setup
	@mkdir -p build
	@cmake --preset $(PRESET) > $(BUILD).configure.log 2>&1 || { cat $(BUILD).configure.log; exit 1; }

build: configure
	@cmake --build $(BUILD)

demo: configure
	@cmake --build $(BUILD) --target sotto
	@scripts/demo $(BUILD)/bin/sotto

test:
	@$(SETUP) --with-recommended
	@$(MAKE) build
	@# Two tests at a time share the cores: threads that wait must not spin.
	@cd $(BUILD) && OMP_WAIT_POLICY=passive ctest --output-on-failure --no-tests=error -j $(TEST_JOBS)

bench: build
	@cmake --build $(BUILD) --target benches
	@scripts/bench $(BUILD)

clean:
	rm -rf build
