# Writes NAMESPACE and man/ from the comments in R/ (and says so); with --check changes nothing and
# fails if they are not what the comments give. The package is installed, R_LIBS names its library.
#
#   Rscript tools/roxygen.R [--check]

check <- "--check" %in% commandArgs(TRUE)
finish <- function(passed, failed, skipped) {
  if (nzchar(Sys.getenv("COUNTS"))) cat(passed, failed, skipped, "\n", file = Sys.getenv("COUNTS"))
  cat(sprintf("%d passed, %d failed, %d skipped\n", passed, failed, skipped))
  quit(status = failed)
}

version <- read.dcf("DESCRIPTION", "RoxygenNote")[[1L]]
here <- if (requireNamespace("roxygen2", quietly = TRUE)) format(getNamespaceVersion("roxygen2"))
if (check && !identical(unname(here), version)) {
  cat(sprintf("skipped documentation: made with roxygen2 %s, here is %s\n", version, if (is.null(here)) "none" else here))
  finish(0L, 0L, 1L)
}

dir <- if (check) file.path(tempfile("roxygen"), "sharedmem") else "."
if (check) {
  dir.create(dir, recursive = TRUE)
  dir.create("man", showWarnings = FALSE)
  copied <- file.copy(c("DESCRIPTION", "NAMESPACE", "LICENSE", "R", "man", "src"), dir, recursive = TRUE)
}
suppressMessages(roxygen2::roxygenise(dir, load_code = roxygen2::load_installed))
if (!check) quit(status = 0L)

generated <- c("NAMESPACE", file.path("man", union(list.files("man", "\\.Rd$"), list.files(file.path(dir, "man"), "\\.Rd$"))))
text <- function(file) if (file.exists(file)) readLines(file)
stale <- generated[!mapply(function(a, b) identical(text(a), text(b)), generated, file.path(dir, generated))]
if (length(stale)) {
  cat("FAILED  NAMESPACE and man/ are out of date (make docs):", stale, sep = "\n       ")
} else {
  cat("ok      NAMESPACE and man/ are what the comments in R/ give\n")
}
finish(as.integer(!length(stale)), as.integer(length(stale) > 0L), 0L)
