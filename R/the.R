# State of this process: debug mode, what a worker knows of itself, background processes.
the <- new.env(parent = emptyenv())
the$debug <- FALSE
the$budget <- Inf          # most workers a map in this process may fork
the$background <- list()   # running background processes, kept alive until they end
the$fork_warned <- FALSE
the$exit_guard <- NULL
the$regions <- 0L         # regions begun: their numbers
the$collected_at <- 0      # private bytes after the last collection before a fork
the$collect <- FALSE       # in a worker: failed items are collected
the$relayed <- c(0, 0)     # in a worker: warnings and messages met
the$message_before <- ""   # R's last error message when the workers were forked
the$compiled <- list()     # functions compiled lately, with their originals
the$quit <- NULL           # R's own quit(), which workers call by another name
the$maps <- 0              # maps begun, for names of directories
the$workers_of <- NULL     # session's directory and pid that workers_prefix is for
the$workers_prefix <- NULL # path of their directories, but for the number of the map

# The numbers that R and C share, by name; read when the package is loaded.
constants <- list()
trace_kinds <- character()

.onLoad <- function(libname, pkgname) {
  register_cluster_type()
  the$quit <- base::quit
  the$exit_guard <- .Call(ffi_team_guard_exit)
  # what every worker runs is read from the lazy-load database here, once, not in each of them
  ns <- parent.env(environment())
  assign("constants", .Call(ffi_constants), envir = ns)
  assign("trace_kinds", names(constants$trace), envir = ns)
  for (name in c("worker_setup", "worker_loop", "worker_items", "set_local", "new_local", "seed_binding"))
    force(get(name, envir = ns))
  for (name in c("withCallingHandlers", "delayedAssign", "options", "environment"))
    force(get(name, envir = baseenv()))
}
