# NumPy itself, in a Python of its own.

# A Python that has NumPy, or "".
python_with_numpy <- local({
  found <- NULL
  function() {
    if (is.null(found)) {
      candidates <- unique(c("/usr/bin/python3", Sys.which(c("python3", "python"))))
      works <- function(p) nzchar(p) && file.exists(p) && system2(p, c("-c", shQuote("import numpy")), stdout = FALSE, stderr = FALSE) == 0L
      found <<- c(Filter(works, candidates), "")[1L]
    }
    found
  }
})

skip_without_numpy <- function() testthat::skip_if_not(nzchar(python_with_numpy()), "no Python with NumPy")

# Runs lines of Python (numpy is np, and the words of ... are sys.argv[1:]); gives what they print. An error of theirs is one here.
run_numpy <- function(code, ...) {
  script <- tempfile(fileext = ".py")
  on.exit(unlink(script))
  writeLines(c("import sys", "import numpy as np", code), script)
  out <- suppressWarnings(system2(python_with_numpy(), c(shQuote(script), shQuote(c(...))), stdout = TRUE, stderr = TRUE))
  if (length(attr(out, "status"))) stop("Python: ", paste(out, collapse = "\n"))
  out
}
