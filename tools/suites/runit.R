# The unit tests of doMC and doParallel, which use whatever back end is registered.
source("tools/suites/common.R")
needed("foreach", "RUnit", "doParallel", "doMC")
suppressPackageStartupMessages({
  library(RUnit)
  library(foreach)
  library(doParallel)
})
for (package in c("doMC", "doParallel")) {
  sharedmem::registerDoSharedmem(2)
  suite <- defineTestSuite(package, dirs = file.path(source_of(package), "inst", "unitTests"), testFileRegexp = "^options\\.R$")
  outcome <- runTestSuite(suite)
  if (getDoParName() != "doSharedmem") failed("the tests ran on ", getDoParName())
  for (file in outcome[[1L]]$sourceFileResults) for (name in names(file)) {
    test <- file[[name]]
    if (identical(test$kind, "success")) passed(max(1, test$checkNum))
    else if (identical(test$kind, "deactivated")) skipped(package, " ", name)
    else failed(package, " ", name, ": ", test$msg)
  }
}
finish()
