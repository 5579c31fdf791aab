# Knits vignettes/NAME.Rmd.orig to vignettes/NAME.Rmd, whose code has run here and does not run on CRAN's machines; with --check
# writes nothing and fails where the code fails or its output is not what stands in NAME.Rmd. The package is installed, R_LIBS names
# its library.
#
#   Rscript tools/vignettes.R [--check] [NAME...]

args <- commandArgs(TRUE)
check <- "--check" %in% args
names <- setdiff(args, "--check")
if (!length(names)) names <- sub("\\.Rmd\\.orig$", "", list.files("vignettes", "\\.Rmd\\.orig$"))

finish <- function(passed, failed, skipped) {
  if (nzchar(Sys.getenv("COUNTS"))) cat(passed, failed, skipped, "\n", file = Sys.getenv("COUNTS"))
  cat(sprintf("%d passed, %d failed, %d skipped\n", passed, failed, skipped))
  quit(status = failed > 0L)
}
if (!requireNamespace("knitr", quietly = TRUE)) {
  cat("skipped vignettes: there is no knitr\n")
  finish(0L, 0L, length(names))
}

# In a fresh process and an empty folder: the text, and the folder with its figures. An error outside of a chunk that shows
# it ends the process.
knit <- function(name) {
  dir <- tempfile("vignette")
  dir.create(dir)
  file.copy(file.path("vignettes", paste0(name, ".Rmd.orig")), dir)
  code <- sprintf("setwd(%s); set.seed(1); knitr::opts_chunk$set(error = FALSE); knitr::knit(%s, %s, quiet = TRUE)", dQuote(dir, FALSE),
                  dQuote(paste0(name, ".Rmd.orig"), FALSE), dQuote(paste0(name, ".Rmd"), FALSE))
  said <- suppressWarnings(system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", "-e", shQuote(code)), stdout = TRUE, stderr = TRUE,
                                   timeout = 120))
  out <- file.path(dir, paste0(name, ".Rmd"))
  list(ok = is.null(attr(said, "status")) && file.exists(out), said = said, file = out, dir = dir)
}

# What differs from run to run.
steady <- function(path) {
  text <- if (file.exists(path)) readLines(path)
  gsub("worker [0-9]+ \\(", "worker 0 (", gsub("(worker [0-9]+, )?pid [0-9]+", "pid", text))
}

has_numpy <- function() {
  python <- c("/usr/bin/python3", Sys.which("python3"))
  works <- function(p) nzchar(p) && suppressWarnings(system2(p, c("-c", shQuote("import numpy")), stdout = FALSE, stderr = FALSE)) == 0L
  requireNamespace("reticulate", quietly = TRUE) && !is.null(Find(works, python))
}
skipped <- 0L
failed <- 0L
for (name in names) {
  if (any(grepl("reticulate::import", readLines(file.path("vignettes", paste0(name, ".Rmd.orig"))), fixed = TRUE)) && !has_numpy()) {
    skipped <- skipped + 1L
    cat("skipped ", name, ": there is no reticulate or no NumPy\n", sep = "")
    next
  }
  r <- knit(name)
  target <- file.path("vignettes", paste0(name, ".Rmd"))
  if (!r$ok) {
    failed <- failed + 1L
    cat("FAILED ", name, ": its code does not run\n", paste0("       ", utils::tail(r$said, 12L), "\n"), sep = "")
  } else if (!check) {
    file.copy(r$file, target, overwrite = TRUE)
    figures <- list.files(file.path(r$dir, "figures"), full.names = TRUE)
    if (length(figures)) {
      dir.create("vignettes/figures", showWarnings = FALSE)
      file.copy(figures, "vignettes/figures", overwrite = TRUE)
    }
    cat("written", target, "\n")
  } else if (!identical(steady(r$file), steady(target))) {
    failed <- failed + 1L
    new <- steady(r$file)
    cat("FAILED ", name, ": the output is not what stands in ", target, " (make vignettes):\n",
        paste0("       ", utils::head(setdiff(new, steady(target)), 8L), "\n"), sep = "")
  } else cat("ok     ", name, "\n")
}
finish(length(names) - failed - skipped, failed, skipped)
