# Tests of packages that call parallel's functions, with ours in their place by use_for_parallel(TRUE).
source("tools/suites/common.R")
needed("boot", "pbapply")
scripts <- c(file.path(source_of("boot"), "tests", "parallel-censboot.R"), file.path(source_of("pbapply"), "tests", "tests.R"))
for (script in scripts) {
  file <- tempfile(fileext = ".R")
  writeLines(c("invisible(sharedmem::use_for_parallel(TRUE))", readLines(script)), file)
  r <- run_file(file, dirname(script))
  if (r$status == 0L) passed() else failed(script, ":\n", paste(utils::tail(r$log, 20L), collapse = "\n"))
}
finish()
