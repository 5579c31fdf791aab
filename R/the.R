# State of this process, by owner.
the <- list(session = new.env(parent = emptyenv()), worker = new.env(parent = emptyenv()), cache = new.env(parent = emptyenv()))

# The session's: what it has been told and what it has started.
the$session$debug <- FALSE
the$session$background <- list()   # running background processes, kept alive until they end
the$session$jobs <- list()         # jobs of mcparallel() that have not been collected, by process id
the$session$replaced <- list()     # parallel's functions in whose place ours stand; see use_for_parallel()
the$session$fork_told <- FALSE
the$session$server <- NULL         # the session's fork server
the$session$served <- new.env(parent = emptyenv()) # what of the fork server's runs, by number
the$session$served_jobs <- 0
the$session$copied <- list()       # packages whose assignments to copies were told of
the$session$cores_told <- FALSE    # that OMP_NUM_THREADS hides a scheduler's number
the$session$regions <- 0L          # regions begun: their numbers
the$session$exit_guard <- NULL
the$session$last_error <- NULL     # the last WorkerException, for last_error()

# What a worker knows of itself; the session has the values of one that is no worker.
the$worker$budget <- Inf           # most workers a map in this process may fork
the$worker$collect <- FALSE        # failed items are collected
the$worker$relayed <- c(0, 0)      # warnings and messages met
the$worker$message_before <- ""    # R's last error message when the workers were forked
the$worker$quit <- NULL            # R's own quit(), which workers call by another name

# What is kept because finding it again costs time.
the$cache$collected_at <- 0        # private bytes after the last collection before a fork
the$cache$aware <- list()          # packages' names: do they know of shared arrays?
the$cache$compiled <- list()       # functions compiled lately, with their originals
the$cache$travelled <- 0           # handles that streams have got without their values
the$cache$load <- NULL             # in a daemon: list(key, load) of the last map
the$cache$numpy <- NULL            # Python functions of reticulate.R

# The numbers that R and C share, by name; read when the package is loaded.
constants <- list()
trace_kinds <- character()

.onLoad <- function(libname, pkgname) {
  when_loaded("parallel", register_cluster_type)
  the$worker$quit <- base::quit
  the$session$exit_guard <- .Call(ffi_team_guard_exit)
  # what every worker runs is read from the lazy-load database here, once, not in each of them
  ns <- parent.env(environment())
  assign("constants", .Call(ffi_constants), envir = ns)
  assign("trace_kinds", names(constants$trace), envir = ns)
  for (name in c("worker_setup", "worker_loop", "worker_items", "new_local", "seed_binding"))
    force(get(name, envir = ns))
  for (name in c("withCallingHandlers", "delayedAssign", "options", "environment"))
    force(get(name, envir = baseenv()))
  when_loaded("future", register_future_methods)
}

# Other packages are met where they are loaded, and are not loaded for our sake.
when_loaded <- function(package, meet) {
  if (isNamespaceLoaded(package)) meet()
  setHook(packageEvent(package, "onLoad"), meet)
}
