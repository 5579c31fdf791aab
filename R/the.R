# State of this process: debug mode, what a worker knows of itself, background processes.
the <- new.env(parent = emptyenv())
the$debug <- FALSE
the$budget <- Inf          # most workers a map in this process may fork
the$background <- list()   # running background processes, kept alive until they end
the$fork_warned <- FALSE
the$exit_guard <- NULL

.onLoad <- function(libname, pkgname) {
  the$exit_guard <- .Call(ffi_worker_guard_exit)
}
