# Calls every export of base, stats, utils, methods and of widely used packages with a shared array, each in a forked child under a
# time limit: none may change the array's values, class or attributes, but replacement functions and those listed here. Packages
# that are not installed are skipped.
#
#   Rscript tools/sweep.R [PACKAGE...]
#
# Last line: `N passed, N failed, N skipped`, one a package.
suppressMessages(library(sharedmem))
report <- file.path(getwd(), "bench", "SWEEP.md")
setwd(tempdir()) # prompt() and its like write files

packages <- commandArgs(TRUE)
whole <- length(packages) == 0L
if (length(packages) == 0L)
  packages <- c("base", "stats", "utils", "methods", "MASS", "Matrix", "boot", "data.table", "lattice", "mgcv", "nlme", "survival",
                "zoo", "bit64")

limit_s <- 5
# Not called at all, by reason.
not_called <- list(
  "they end or stop the process, or leave the call" = c("q", "quit", "return", "browser", "recover", "invokeRestart", "stop", "Sys.sleep"),
  "they are syntax" = c("repeat", "while", "for", "function", ".Internal", ".Primitive"),
  "they wait for the user" = c("readline", "edit", "vi", "vim", "emacs", "pico", "xemacs", "xedit", "de", "data.entry", "dataentry", "fix",
                               "page", "file.edit", "help.request", "bug.report", "create.post", "chooseCRANmirror", "chooseBioCmirror"),
  "they change the machine or the session, or ask the network" = c(
    "system", "system2", "shell", "unlink", "file.remove", "setwd", "Sys.setenv", "Sys.unsetenv", "Sys.chmod", "install.packages",
    "update.packages", "remove.packages", "download.file", "download.packages", "available.packages", "url.show", "make.socket",
    "browseURL", "nsl", "detach", "unloadNamespace", "attachNamespace"))
# Called by nobody who does not want the object itself changed.
by_reference <- list(
  data.table = c("setattr", "set", "setDT", "setDF", "setnames", "setcolorder", "setkey", "setkeyv", "setorder", "setorderv", "setindex",
                 "setindexv", ":=", "let"),
  bit64 = c("hashcache", "jamcache", "setcache", "sortcache", "sortordercache", "ordercache", "remcache"))
by_reference_why <- c(data.table = "they change their argument by reference, which is what they are for",
                      bit64 = "they keep a cache as an attribute of their argument, which is what they are for")

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
  skip <- c(unlist(not_called), by_reference[[package]])
  names <- if (package == "base") ls(baseenv(), all.names = TRUE) else getNamespaceExports(package)
  changed <- character()
  called <- replaces <- 0
  for (name in sort(names)) {
    f <- tryCatch(getExportedValue(package, name), error = function(e) NULL)
    if (!is.function(f) || name %in% skip) next
    if (grepl("<-", name, fixed = TRUE)) { replaces <- replaces + 1; next }
    called <- called + 1
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
  rows <<- c(rows, sprintf("| %s %s | %d | %d | %s |", package, packageVersion(package), called, replaces,
                           if (length(changed)) toString(changed) else "none"))
  if (length(changed)) cat("FAILED", package, "changes the array in:", changed, "\n")
  else cat("ok    ", package, length(names), "exports\n")
  c(length(changed) == 0L, length(changed) > 0L, 0L)
}

rows <- character()
counts <- Reduce(`+`, lapply(packages, sweep_package))
if (whole) writeLines(c(
  "# Code that was written for values", "", "Written by `make sweep` (`tools/sweep.R`).", "",
  paste0(R.version.string, ", sharedmem ", packageVersion("sharedmem"), ", ", format(Sys.Date())), "",
  "Each exported function is called with a shared array, as first and as second argument, alone and beside numbers, a vector, a",
  sprintf(paste("function and itself, in a process of its own, %d s at most a call. Afterwards values, class and attributes must be",
                "what they were."), limit_s),
  "", "| package | functions called | replacement functions | changes the array |", "| --- | --- | --- | --- |", rows, "",
  "Not called:", "",
  "- replacement functions (names with `<-`): to change their argument is what they are for",
  paste0("- ", vapply(not_called, function(n) paste0("`", n, "`", collapse = " "), ""), ": ", names(not_called)),
  paste0("- ", names(by_reference), "'s ", vapply(by_reference, function(n) paste0("`", n, "`", collapse = " "), ""), ": ",
         by_reference_why[names(by_reference)])), report)
if (nzchar(Sys.getenv("COUNTS"))) cat(counts, "\n", file = Sys.getenv("COUNTS"))
cat(sprintf("%d passed, %d failed, %d skipped\n", counts[1], counts[2], counts[3]))
quit(status = as.integer(counts[2] > 0L))
