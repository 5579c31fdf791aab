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
  count_runit(file.path(source_of(package), "inst", "unitTests"), "^options\\.R$", package)
  if (getDoParName() != "doSharedmem") failed("the tests ran on ", getDoParName())
}
finish()
