# For the scripts beside this file. Each runs another package's tests, as published, with our back end in place of theirs.
# A script ends with `finish()`, which prints what was waived and `N passed, N failed, N skipped`.

suites_dir <- Sys.getenv("SUITES_DIR", file.path(getwd(), ".build", "suites"))
dir.create(suites_dir, recursive = TRUE, showWarnings = FALSE)

# The unpacked source of a package in the version that is installed, or where that cannot be had, as CRAN has it now; fetched once.
source_of <- function(package) {
  path <- file.path(suites_dir, package)
  if (dir.exists(path)) return(path)
  if (identical(getOption("repos")[["CRAN"]], "@CRAN@")) utils::chooseCRANmirror(graphics = FALSE, ind = 1, local.only = TRUE)
  unpacking <- tempfile(paste0(package, "-"), suites_dir)
  dir.create(unpacking)
  on.exit(unlink(unpacking, recursive = TRUE))
  version <- if (nzchar(system.file(package = package))) utils::packageDescription(package)$Version
  contrib <- utils::contrib.url(getOption("repos")[["CRAN"]], "source")
  current <- utils::available.packages(contrib)[package, "Version"]
  tarball <- file.path(unpacking, "source.tar.gz")
  for (url in c(if (!is.null(version) && version != current) sprintf("%s/Archive/%s/%s_%s.tar.gz", contrib, package, package, version),
                sprintf("%s/%s_%s.tar.gz", contrib, package, current))) {
    got <- tryCatch(utils::download.file(url, tarball, quiet = TRUE) == 0L, error = function(e) FALSE, warning = function(w) FALSE)
    if (got) break
  }
  if (!got) stop("could not fetch the source of ", package)
  utils::untar(tarball, exdir = unpacking)
  file.rename(file.path(unpacking, package), path)
  path
}

needed <- function(...) {
  missing <- Filter(function(p) !requireNamespace(p, quietly = TRUE), c(...))
  if (length(missing)) {
    cat("missing packages:", missing, "\n")
    counted$skipped <- counted$skipped + 1
    finish()
  }
}

counted <- new.env()
counted$passed <- counted$failed <- counted$skipped <- 0
counted$waived <- character()

passed <- function(n = 1) counted$passed <- counted$passed + n
failed <- function(...) {
  counted$failed <- counted$failed + 1
  cat("FAILED ", ..., "\n", sep = "")
}
skipped <- function(...) {
  counted$skipped <- counted$skipped + 1
  cat("skipped: ", ..., "\n", sep = "")
}

# waive: named character; a failure whose test has one of these names counts as skipped, for the reason given.
count_testthat <- function(results, waive = character()) {
  for (test in results) for (r in test$results) {
    if (inherits(r, "expectation_success")) passed()
    else if (inherits(r, c("expectation_failure", "expectation_error"))) {
      text <- paste0(test$file, ": ", test$test, ": ", conditionMessage(r))
      known <- names(waive)[vapply(names(waive), function(w) grepl(w, text, fixed = TRUE), NA)]
      if (length(known)) waived(test$test, waive[[known[1L]]]) else failed(text)
    }
    else if (inherits(r, "expectation_skip")) skipped(test$test, ": ", conditionMessage(r))
  }
}

# The RUnit tests of a folder; `name` is for the messages.
count_runit <- function(dir, pattern, name) {
  suite <- RUnit::defineTestSuite(name, dirs = dir, testFileRegexp = pattern, testFuncRegexp = "^test.+")
  outcome <- RUnit::runTestSuite(suite)
  for (file in outcome[[1L]]$sourceFileResults) for (test in names(file)) {
    result <- file[[test]]
    if (identical(result$kind, "success")) passed(max(1, result$checkNum))
    else if (identical(result$kind, "deactivated")) skipped(name, " ", test)
    else failed(name, " ", test, ": ", result$msg)
  }
}

waived <- function(name, reason) {
  counted$skipped <- counted$skipped + 1
  counted$waived <- c(counted$waived, paste0(name, ": ", reason))
}

finish <- function() {
  for (w in unique(counted$waived)) cat("waived: ", w, "\n", sep = "")
  line <- sprintf("%d passed, %d failed, %d skipped", counted$passed, counted$failed, counted$skipped)
  if (nzchar(file <- Sys.getenv("COUNTS"))) cat(gsub("[^0-9 ]", "", line), "\n", file = file)
  cat(line, "\n", sep = "")
  quit("no", if (counted$failed > 0) 1L else 0L)
}

# A script in a process of its own: its exit status, and its output in `log`.
run_file <- function(file, dir, env = character(), timeout = 300, log = tempfile()) {
  old <- setwd(dir)
  on.exit(setwd(old))
  status <- system2(file.path(R.home("bin"), "Rscript"), c("--no-init-file", shQuote(file)), stdout = log, stderr = log,
                    env = env, timeout = timeout)
  list(status = status, log = readLines(log, warn = FALSE))
}
