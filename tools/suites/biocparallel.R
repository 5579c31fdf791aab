# BiocParallel's tests of DoparParam, as its package installs them, with our back end where they register doParallel's.
source("tools/suites/common.R")
needed("foreach", "RUnit", "doParallel", "BiocParallel")
suppressPackageStartupMessages({
  library(RUnit)
  library(BiocParallel)
})
file <- system.file("unitTests", "test_DoparParam.R", package = "BiocParallel")
if (!nzchar(file)) {
  skipped("BiocParallel is installed without its tests")
  finish()
}
dir <- file.path(suites_dir, "biocparallel-tests")
dir.create(dir, showWarnings = FALSE)
code <- readLines(file)
registers <- grepl("doParallel::registerDoParallel(cl)", code, fixed = TRUE)
if (!any(registers)) failed("nothing registers doParallel in ", file)
code <- sub("doParallel::registerDoParallel(cl)", "sharedmem::registerDoSharedmem(2)", code, fixed = TRUE)
writeLines(code, file.path(dir, basename(file)))
count_runit(dir, "^test_DoparParam\\.R$", "BiocParallel")
finish()
