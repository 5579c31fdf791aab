# Runs the tests: each file of tests/testthat in an R process of its own, two at a time, under a time
# limit; and a file that leaves a child process or a descriptor behind fails.
#
#   Rscript tools/test.R [--only=REGEX] [--jobs=2] [--limit=600]
#
# A test is a test_that() block. It counts as failed if any expectation in it fails or it raises, as
# skipped if it was skipped, else as passed. A file that crashes, hangs, raises outside of a test or
# holds no test is one failed test. The last line printed is `N passed, N failed, N skipped`.
# COUNTS=FILE in the environment: the three numbers are written there too.
# The package is the one on the library path (R_LIBS).

options <- list(only = "", jobs = "2", limit = "600")
for (arg in commandArgs(TRUE)) {
  name <- sub("^--([a-z]+)=.*$", "\\1", arg)
  if (!grepl("^--[a-z]+=", arg) || !name %in% names(options)) stop("unknown argument: ", arg)
  options[[name]] <- sub("^--[a-z]+=", "", arg)
}

tests <- normalizePath("tests/testthat")
helpers <- list.files(tests, "^helper-(process|resources)\\.R$", full.names = TRUE)
for (h in helpers) source(h)

files <- list.files(tests, "^test-.*\\.R$")
files <- files[grepl(options$only, files)]
if (length(files) == 0L) stop("no test file matches ", options$only)

# In the test process: the results of one file as a data frame, and what it left behind.
one_file <- quote({
  for (h in helpers) source(h)
  library(testthat)
  before <- snapshot_resources()
  results <- test_file(file, package = "sharedmem", load_package = "installed", stop_on_failure = FALSE,
                       reporter = MultiReporter$new(reporters = list(ListReporter$new(), SummaryReporter$new(show_praise = FALSE))))
  results <- as.data.frame(results)
  what <- c("children", "fds")
  invisible(wait_until(length(left_since(before, what)) == 0L, 5))
  answer(list(tests = results[c("test", "failed", "skipped", "error", "warning")],
              left = left_since(before, what)))
})

env <- c(NOT_CRAN = "true", TESTTHAT_PARALLEL = "false", LC_ALL = "C.UTF-8", NO_COLOR = "1")

tally <- function(r) {
  t <- r$value$tests
  if (r$timed_out) return(list(counts = c(0L, 1L, 0L), why = sprintf("ended at the limit of %s s", options$limit)))
  if (is.null(t)) return(list(counts = c(0L, 1L, 0L), why = sprintf("its process ended with status %s, signal %s", r$status, r$signal)))
  if (nrow(t) == 0L) return(list(counts = c(0L, 1L, 0L), why = "holds no test"))
  failed <- t$failed > 0 | t$error
  skipped <- !failed & t$skipped
  left <- unlist(r$value$left)
  also <- length(left) > 0L || length(r$left) > 0L
  list(counts = c(sum(!failed & !skipped), sum(failed) + also, sum(skipped)),
       why = c(if (sum(t$warning)) sprintf("%d warning(s)", sum(t$warning)),
               if (length(left)) paste("left behind:", left),
               if (length(r$left)) paste("process left behind:", r$left)))
}

run_file <- function(file) {
  r <- run_script(one_file, timeout = as.numeric(options$limit), env = env, grace = 2, package = FALSE,
                  vars = list(file = file.path(tests, file), helpers = helpers))
  t <- tally(r)
  n <- t$counts
  cat(sprintf("%-6s %-32s %3d passed, %d failed, %d skipped  %6.1f s\n", if (n[2]) "FAILED" else "ok",
              file, n[1], n[2], n[3], r$elapsed), paste0("       ", t$why, "\n", recycle0 = TRUE),
      if (n[2] || n[3] || length(t$why)) paste0("       | ", c(r$stdout, r$stderr), "\n"), sep = "")
  n
}

start <- proc.time()[["elapsed"]]
counts <- parallel::mclapply(files, run_file, mc.cores = as.integer(options$jobs), mc.preschedule = FALSE)
lost <- !vapply(counts, is.numeric, NA)
for (i in which(lost)) {
  cat("FAILED", files[i], "could not be run:", format(counts[[i]]), "\n")
  counts[[i]] <- c(0L, 1L, 0L)
}
total <- Reduce(`+`, counts)
cat(sprintf("%d test files in %.0f s\n", length(files), proc.time()[["elapsed"]] - start))
if (nzchar(Sys.getenv("COUNTS"))) cat(total, "\n", file = Sys.getenv("COUNTS"))
cat(sprintf("%d passed, %d failed, %d skipped\n", total[1], total[2], total[3]))
quit(status = as.integer(total[2] > 0L))
