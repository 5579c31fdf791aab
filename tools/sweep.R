# Calls every export of base, stats, utils, methods and of widely used packages with a shared array, each in a forked child under a
# time limit: none may change the array's values, class or attributes, but replacement functions and those listed here. Packages
# that are not installed are skipped.
#
#   Rscript tools/sweep.R [PACKAGE...]
#
# Last line: `N passed, N failed, N skipped`, one a package.
suppressMessages(library(sharedmem))
setwd(tempdir()) # prompt() and its like write files

packages <- commandArgs(TRUE)
if (length(packages) == 0L)
  packages <- c("base", "stats", "utils", "methods", "MASS", "Matrix", "boot", "data.table", "lattice", "mgcv", "nlme", "survival",
                "zoo", "bit64")

limit_s <- 5
# They end or stop the process, wait for the user, or change the machine: not called at all.
not_called <- c("q", "quit", "return", "repeat", "while", "for", "function", "browser", "readline", "system", "system2", "shell",
                "unlink", "file.remove", "setwd", "Sys.setenv", "Sys.unsetenv", "Sys.chmod", "Sys.sleep",
                "invokeRestart", "stop", ".Internal", ".Primitive", "install.packages", "update.packages",
                "remove.packages", "download.file", "download.packages", "available.packages", "url.show",
                "chooseCRANmirror", "chooseBioCmirror", "bug.report", "create.post", "help.request", "make.socket",
                "browseURL", "edit", "vi", "vim", "emacs", "pico", "xemacs", "xedit", "de", "data.entry", "dataentry",
                "fix", "page", "recover", "file.edit", "nsl", "detach", "unloadNamespace", "attachNamespace")
# They change an object by reference, which is what they are for: data.table's set*() functions, bit64's caches (an attribute).
by_reference <- list(
  data.table = c("setattr", "set", "setDT", "setDF", "setnames", "setcolorder", "setkey", "setkeyv", "setorder", "setorderv", "setindex",
                 "setindexv", ":=", "let"),
  bit64 = c("hashcache", "jamcache", "setcache", "sortcache", "sortordercache", "ordercache", "remcache"))

values <- c(3, -1, 2, -5)

# In a child: what the calls left of the array.
try_call <- function(f, x) {
  sink(nullfile())
  options(device = function(...) grDevices::pdf(NULL), warn = -1, error = NULL)
  setTimeLimit(elapsed = limit_s)
  for (args in list(list(x), list(x, 1), list(x, 1, 2), list(x, x), list(c(1, 2, 1, 2), x), list(x, function(v) v)))
    suppressWarnings(suppressMessages(try(do.call(f, args), silent = TRUE)))
  sink()
  list(class(x), attributes(x), x[])
}

sweep_package <- function(package) {
  if (!requireNamespace(package, quietly = TRUE)) return(c(0L, 0L, 1L))
  skip <- c(not_called, by_reference[[package]])
  names <- if (package == "base") ls(baseenv(), all.names = TRUE) else getNamespaceExports(package)
  changed <- character()
  for (name in sort(names)) {
    f <- tryCatch(getExportedValue(package, name), error = function(e) NULL)
    if (!is.function(f) || name %in% skip || grepl("<-", name, fixed = TRUE)) next
    x <- copy(values)
    want <- list(class(x), attributes(x), values)
    job <- parallel::mcparallel(try_call(f, x), silent = TRUE)
    got <- parallel::mccollect(job, wait = FALSE, timeout = limit_s * 8)[[1L]]
    if (is.null(got)) { # it ended the child, or was too slow: its values are judged
      tools::pskill(job$pid, tools::SIGKILL)
      suppressWarnings(parallel::mccollect(job))
      got <- c(want[1:2], list(x[]))
    }
    if (inherits(got, "try-error")) got <- c(want[1:2], list(x[]))
    if (!identical(got, want) || !identical(x[], values)) changed <- c(changed, name)
  }
  if (length(changed)) cat("FAILED", package, "changes the array in:", changed, "\n")
  else cat("ok    ", package, length(names), "exports\n")
  c(length(changed) == 0L, length(changed) > 0L, 0L)
}

counts <- Reduce(`+`, lapply(packages, sweep_package))
if (nzchar(Sys.getenv("COUNTS"))) cat(counts, "\n", file = Sys.getenv("COUNTS"))
cat(sprintf("%d passed, %d failed, %d skipped\n", counts[1], counts[2], counts[3]))
quit(status = as.integer(counts[2] > 0L))
