# doRNG's tests, with our back end where they register doParallel's forks.
source("tools/suites/common.R")
needed("foreach", "doRNG", "testthat", "rngtools", "doParallel")
library(testthat)
dir <- file.path(suites_dir, "dorng-tests")
unlink(dir, recursive = TRUE)
dir.create(dir)
file <- file.path(source_of("doRNG"), "tests", "testthat", "test-dorng.r")
code <- readLines(file)
forks <- grepl("registerDoParallel(cores=2)", code, fixed = TRUE)
if (sum(forks) != 1L) failed("doRNG's tests register forks on ", sum(forks), " lines, not on one: ", file)
code[forks] <- "sharedmem::registerDoSharedmem(2)"
writeLines(code, file.path(dir, "test-dorng.r"))
count_testthat(test_dir(dir, package = "doRNG", reporter = "silent", stop_on_failure = FALSE, load_package = "installed"),
               waive = c("Standard %dopar% loop is not reproducible" =
                           "it demands that set.seed() has no effect on %dopar%; on our back end it has, on purpose"))
finish()
