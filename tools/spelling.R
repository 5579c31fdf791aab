# Spelling of the pages, vignettes, README and NEWS (package spelling; inst/WORDLIST has the words that it does not know).
finish <- function(passed, failed, skipped) {
  if (nzchar(Sys.getenv("COUNTS"))) cat(passed, failed, skipped, "\n", file = Sys.getenv("COUNTS"))
  cat(sprintf("%d passed, %d failed, %d skipped\n", passed, failed, skipped))
  quit(status = failed)
}
if (!requireNamespace("spelling", quietly = TRUE)) {
  cat("skipped spelling: there is no package spelling\n")
  finish(0L, 0L, 1L)
}
found <- spelling::spell_check_package(".")
if (nrow(found)) {
  cat("FAILED  unknown words (mend them, or add them to inst/WORDLIST)\n")
  print(found)
} else cat("ok      spelling\n")
finish(as.integer(!nrow(found)), as.integer(nrow(found) > 0L), 0L)
