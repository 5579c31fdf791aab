# make demo    install into a library of its own and run the main job on real input
# make test    install what the tests need, and run them all
# make help    the rest
SHELL := /bin/bash
.DEFAULT_GOAL := help

LIB := $(CURDIR)/.lib
export R_LIBS := $(LIB)$(if $(R_LIBS),:$(R_LIBS))
SOURCES := DESCRIPTION NAMESPACE $(shell find R src inst man -type f -name '[!.]*' ! -name '*.o' ! -name '*.so' 2>/dev/null)
BUILT := .build/built

.PHONY: help demo test test-current install check suites native portable sanitize asan tsan valgrind gctorture fuzz faults model model-quick lint docs vignettes site cheatsheet bench bench-quick soak soak-load sweep coverage clean

help:
	@sed -n 's/^## //p' Makefile

# A tarball first, so that no object file of an earlier build is linked.
$(BUILT): $(SOURCES)
	@mkdir -p .build
	@rm -f .build/sharedmem_*.tar.gz
	@cd .build && R CMD build --no-build-vignettes --no-manual $(CURDIR) >build.log 2>&1 || { cat build.log; exit 1; }
	@touch $@

define install_into
mkdir -p $(1) && MAKE="make -j2" R CMD INSTALL --no-test-load -l $(1) .build/sharedmem_*.tar.gz >.build/install.log 2>&1 || { cat .build/install.log; exit 1; }
endef

$(LIB)/sharedmem/DESCRIPTION: $(BUILT)
	@echo "installing sharedmem into .lib"
	@$(call install_into,$(LIB))
	@touch $@

.demo-lib/sharedmem/DESCRIPTION: $(BUILT)
	@echo "installing sharedmem into .demo-lib"
	@$(call install_into,.demo-lib)
	@touch $@

## demo         install into .demo-lib and run inst/examples/main.R on real input
demo: .demo-lib/sharedmem/DESCRIPTION
	@R_LIBS=$(CURDIR)/.demo-lib Rscript --vanilla inst/examples/main.R

## install      install into .lib
install: $(LIB)/sharedmem/DESCRIPTION

## test         install what the tests need, run R's and C's (ONLY=regex: some of R's alone)
test: install
	@tools/setup.sh test
	@ONLY='$(ONLY)' tools/test.sh

## suites       other packages' own tests on our back ends (ONLY=name: one of tools/suites; ALL=1: also the long ones that take turns)
suites: install
	@tools/setup.sh suites
	@ONLY='$(ONLY)' ALL='$(ALL)' tools/suites.sh

## test-current the suite and R CMD check on the current R, in a root of Debian unstable (ONLY=regex: some files;
##              RELEASE=trixie: on the R of that release)
test-current:
	@ONLY='$(ONLY)' RELEASE='$(RELEASE)' tools/current.sh

## native       tests of the C core alone
native:
	@tools/native.sh plain

## portable     tests of the core without what Linux has beyond POSIX, and for 32 bit, big-endian and musl where Debian's cross
##              compilers and qemu are there; R=switch: R's tests on one switch, or on "all"
portable: $(BUILT)
	@tools/setup.sh portable
	@if [ -n "$(R)" ]; then tools/portable.sh r '$(R)' '$(ONLY)'; else tools/portable.sh native && tools/portable.sh cross; fi

## sanitize     asan and tsan
sanitize: asan tsan

## asan         tests of the C core (NATIVE=regex: some) and of R (ONLY=regex: some files) under the address and undefined-behaviour sanitizers
asan: $(BUILT)
	@tools/setup.sh lint
	@for cc in gcc clang; do tools/native.sh asan $$cc '$(NATIVE)' || exit 1; done
	@tools/asan.sh '$(ONLY)'

## tsan         tests of the C core under the thread sanitizer (NATIVE=regex)
tsan:
	@tools/setup.sh lint
	@for cc in gcc clang; do tools/native.sh tsan $$cc '$(NATIVE)' || exit 1; done

## valgrind     tests of the C core under valgrind (NATIVE=regex)
valgrind:
	@tools/setup.sh valgrind
	@tools/native.sh valgrind cc '$(NATIVE)'

## gctorture    R's tests with a garbage collection every STEP=1000 allocations (ONLY=regex: some files); hours for all
gctorture: install
	@tools/setup.sh test
	@R_GCTORTURE=$(or $(STEP),1000) Rscript tools/test.R --only='$(ONLY)' --limit=7200

## faults       calls of the system fail one by one in small programs, for SECONDS=600, or are refused (REPORT=1: writes to bench/RELIABILITY.md)
faults: install
	@Rscript --vanilla tools/faults.R --seconds=$(or $(SECONDS),600) $(if $(REFUSED),--refused=$(REFUSED)) $(if $(REPORT),--report)

## model        the models of queue, deaths and turns and of the arena, by spin (CASES=regex: some); some 20 minutes (REPORT=1: writes to
##              bench/RELIABILITY.md)
model: $(if $(REPORT),install)
	@tools/setup.sh model
	@REPORT='$(REPORT)' tools/model.sh full '$(CASES)'

## model-quick  those of them that take seconds
model-quick:
	@tools/setup.sh model
	@tools/model.sh quick '$(CASES)'

## fuzz         every fuzz target for SECONDS=60 each (ONLY="a b": some; REPORT=1: writes to bench/RELIABILITY.md; MINIMIZE=1: the corpora)
fuzz: install
	@tools/setup.sh lint
	@tools/fuzz.sh --seconds=$(or $(SECONDS),60) $(if $(REPORT),--report) $(if $(MINIMIZE),--minimize) $(ONLY)

## lint         layers, border to R, lengths, format, forbidden symbols, warnings of gcc and clang, documentation
lint: install
	@tools/setup.sh lint
	@Rscript tools/lint.R
	@tools/warnings.sh
	@Rscript tools/roxygen.R --check
	@Rscript tools/spelling.R

## docs         write NAMESPACE and man/ from the comments in R/
docs: install
	@tools/setup.sh lint
	@Rscript tools/roxygen.R

## vignettes    knit vignettes/*.Rmd.orig, whose code starts processes, to vignettes/*.Rmd (NAMES=: some of them)
vignettes: install
	@Rscript tools/vignettes.R $(NAMES)

## site         the site into .site, by pkgdown in a library of its own, and a look at its links (SHOTS=1: pictures of pages too)
site: install
	@tools/site.sh $(if $(SHOTS),shots)

## cheatsheet   print pkgdown/cheatsheet.html to pkgdown/assets/cheatsheet.pdf (needs Chromium)
cheatsheet:
	@tools/cheatsheet.sh

## check        R CMD build and R CMD check --as-cran
check:
	@tools/setup.sh check
	@tools/check.sh

## bench        benchmarks against whichever other packages are installed; writes bench/RESULTS.md and figures
bench: install
	@tools/setup.sh bench
	@nice Rscript bench/bench.R

## bench-quick  the same, small, under two minutes; writes to .build/bench/
bench-quick: install
	@nice Rscript bench/bench.R --quick

## soak         a thousand deaths, interrupts and maps each (some 30 minutes); writes bench/RELIABILITY.md
soak: install
	@Rscript bench/soak.R

## soak-load    hundreds of workers, millions of items, and a soak of SECONDS=300 that a RESUME=file goes on with after a stop (ONLY=regex:
##              some of it; SCALE=0.01: smaller; REPORT=1: writes to bench/RELIABILITY.md); some 30 minutes
soak-load: install
	@Rscript --vanilla bench/soak-load.R $(foreach v,SECONDS RESUME ONLY SCALE,$(if $($(v)),--$(shell echo $(v) | tr A-Z a-z)='$($(v))')) $(if $(REPORT),--report)

## sweep        every export of base R and ten packages called with a shared array; writes bench/SWEEP.md (some 10 minutes)
sweep: install
	@tools/setup.sh test
	@Rscript tools/sweep.R

## coverage     lines of R and C that the tests reach, in all processes (some 30 minutes); writes a section of bench/RELIABILITY.md
coverage: install
	@tools/setup.sh lint coverage
	@nice Rscript tools/coverage.R

## clean        remove what the targets made
clean:
	@rm -rf .lib .demo-lib .suites-lib .site-lib .site .build src/*.o src/*.so
