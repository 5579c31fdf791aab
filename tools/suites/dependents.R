# Test-suites of CRAN packages that call foreach or future, once on forks of doParallel or future's multicore, once on our back ends,
# in the versions that are installed. A test that fails on ours alone counts as failed; one that fails on both, which an old version of the
# package or a missing data set explains, as skipped.
#
# The packages are the most used, by their own dependents, of those that call foreach or future, or what stands on them, and install here.
#
#   Rscript tools/suites/dependents.R [PACKAGE... or 1, 2, 3 or 4: a quarter of the quick ones]
source("tools/suites/common.R")
needed("foreach", "doParallel", "future", "testthat")
quick <- c("plyr", "robumeta", "doSNOW", "ipred", "pbapply", "pROC", "SeuratObject", "DEoptim")
packages <- c(quick, "caret", "lme4", "mice", "lava", "gstat", "rsample", "recipes", "metafor", "spatstat.explore", "progressr", "origami",
              "pdp", "cutpointr", "merTools", "riskRegression", "batchtools", "sctransform", "TSP", "gam", "mets")
told <- commandArgs(TRUE)
if (length(told)) packages <- if (told[1L] %in% 1:4) quick[seq(as.integer(told[1L]), length(quick), by = 4L)] else told

# Registrations of whoever registers a back end are led to the one under test.
lead <- function(package, name, value) sprintf(
  'setHook(packageEvent("%s", "onLoad"), function(...) { ns <- asNamespace("%s"); unlockBinding("%s", ns); assign("%s", %s, envir = ns) })',
  package, package, name, name, value)
ours <- "function(...) sharedmem::registerDoSharedmem(2)"
profiles <- list(
  theirs = c("options(future.plan = 'multicore', mc.cores = 2L)", "doParallel::registerDoParallel(cores = 2)"),
  ours = c(lead("doParallel", "registerDoParallel", ours), lead("doMC", "registerDoMC", ours), lead("doSNOW", "registerDoSNOW", ours),
           lead("future", "multicore", "sharedmem::sharedmem"), lead("future", "multisession", "sharedmem::sharedmem"),
           "options(future.plan = 'sharedmem::sharedmem', mc.cores = 2L)", "sharedmem::registerDoSharedmem(2)"))

# A data frame of the tests of a package and whether each failed, or NULL.
run_tests <- function(package, profile, dir) {
  answer <- tempfile()
  script <- tempfile(fileext = ".R")
  tests <- file.path(dir, "tests", "testthat")
  if (dir.exists(tests)) {
    writeLines(c(profile, "library(testthat)", sprintf("suppressPackageStartupMessages(library(%s))", package),
                 sprintf(paste0('r <- as.data.frame(test_dir("%s", package = "%s", load_package = "installed", ',
                                'reporter = "silent", stop_on_failure = FALSE))'),
                         tests, package),
                 sprintf('saveRDS(data.frame(test = paste(r$file, r$test), failed = r$failed > 0 | r$error, skipped = r$skipped), "%s")',
                         answer)),
               script)
    run_file(script, dirname(tests), timeout = 400)
    return(if (file.exists(answer)) readRDS(answer))
  }
  scripts <- list.files(file.path(dir, "tests"), "\\.[rR]$", full.names = TRUE)
  if (!length(scripts)) return(NULL)
  failed <- vapply(scripts, function(file) {
    writeLines(c(profile, readLines(file, warn = FALSE)), script)
    run_file(script, dirname(file), timeout = 400)$status != 0L
  }, NA)
  data.frame(test = basename(scripts), failed = failed, skipped = FALSE)
}

for (package in packages) {
  if (!nzchar(system.file(package = package))) {
    skipped(package, " is not installed")
    next
  }
  dir <- source_of(package)
  start <- proc.time()[[3L]]
  runs <- lapply(profiles, function(profile) run_tests(package, profile, dir))
  cat(sprintf("%s: %.0f s\n", package, proc.time()[[3L]] - start))
  if (is.null(runs$theirs)) {
    skipped(package, ": its tests do not run on doParallel and multicore")
    next
  }
  if (is.null(runs$ours)) {
    failed(package, ": its tests do not run on our back ends")
    next
  }
  runs <- lapply(runs, function(run) stats::aggregate(cbind(failed, skipped) ~ test, run, any)) # names of tests may occur twice
  both <- merge(runs$theirs, runs$ours, by = "test", suffixes = c("_theirs", "_ours"))
  for (test in both$test[both$failed_ours & !both$failed_theirs]) failed(package, ": ", test)
  passed(sum(!both$failed_ours & !both$skipped_ours))
  known <- both$failed_ours & both$failed_theirs
  if (any(known)) for (k in which(known)) waived(paste(package, both$test[k]), "fails on doParallel or multicore too")
  cat(sprintf("%s: %d tests, %d fail on ours, %d on theirs\n", package, nrow(both), sum(both$failed_ours), sum(both$failed_theirs)))
}
finish()
