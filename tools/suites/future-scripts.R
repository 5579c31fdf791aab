# The test scripts of future.apply and doFuture that go through all plans, with ours as the only one. A script counts as one test.
#
#   Rscript tools/suites/future-scripts.R [PACKAGE or SCRIPT...]
source("tools/suites/common.R")
needed("future", "future.apply", "doFuture", "doRNG")
packages <- c("future.apply", "doFuture")
wanted <- setdiff(commandArgs(TRUE), packages)
if (any(packages %in% commandArgs(TRUE))) packages <- intersect(packages, commandArgs(TRUE))
# by the name of its class, which the scripts compare with
override <- c(
  'library(sharedmem)',
  'local({',
  '  ours <- function(...) "sharedmem"',
  '  ns <- asNamespace("future")',
  '  unlockBinding("supportedStrategies", ns)',
  '  assign("supportedStrategies", ours, envir = ns)',
  '})',
  'supportedStrategies <- function(...) "sharedmem"')
for (package in packages) {
  tests <- file.path(source_of(package), "inst", "testme")
  part <- function(folder) list.files(file.path(tests, folder), "\\.R$", full.names = TRUE)
  for (script in list.files(tests, "^test-.*\\.R$", full.names = TRUE)) {
    code <- readLines(script)
    if (!any(grepl("supportedStrategies", code)) || length(wanted) && !basename(script) %in% wanted) next
    file <- tempfile(fileext = ".R")
    setup <- unlist(lapply(part("_prologue"), readLines))
    told <- sprintf('list(package = "%s", status = "", name = "test", on_cran = TRUE, debug = FALSE)', package)
    writeLines(c(sprintf('attach(list2env(%s), name = "testme")', told), "testme <- as.environment(\"testme\")",
                 setup, override, code), file)
    name <- paste0(package, "/", basename(script))
    run <- run_file(file, dirname(tests), env = "R_CHECK_IDEAL=false", timeout = 400)
    if (run$status == 0L) passed() else failed(name, ": status ", run$status, "\n", paste(utils::tail(run$log, 12L), collapse = "\n"))
    cat(name, run$status, "\n")
  }
}
finish()
