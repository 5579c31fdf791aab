# What runs in the fork server and in the processes that it forks for jobs.

in_server <- function() .Call(ffi_server_here)

# The program: waits for what the session wants, until that ends.
server_main <- function() {
  .Call(ffi_server_begin, as.integer(Sys.getenv("SHAREDMEM_SERVER")))
  Sys.unsetenv(c("SHAREDMEM_SERVER", "SHAREDMEM_SERVER_LIB"))
  .Call(ffi_server_reply, list(pid = Sys.getpid()))
  repeat {
    message <- .Call(ffi_server_take)
    switch(message$type,
      load = .Call(ffi_server_reply, list(failed = load_packages(message))),
      data = {
        list2env(message$data, globalenv())
        .Call(ffi_server_reply, list(done = TRUE))
      },
      job = .Call(ffi_server_fork, message$id, function() serve_job()),
      daemon = .Call(ffi_server_reply, list(pid = .Call(ffi_server_fork, NA_real_, function() serve_daemon(message)))))
    message <- NULL
    gc(verbose = FALSE, full = FALSE)
  }
}

# Messages of those that could not be loaded, by their names.
load_packages <- function(message) {
  .libPaths(message$paths)
  failed <- character()
  seen <- new.env()
  try_one <- function(package, attach) {
    lib <- c(unname(message$lib[package]), .libPaths())
    lib <- lib[!is.na(lib)]
    tryCatch(suppressWarnings(suppressMessages({
      if (!isNamespaceLoaded(package) && loads_unserved(package, lib, seen))
        stop("it loads nanonext, which cannot be used in a forked process")
      loadNamespace(package, lib.loc = lib)
      if (attach && !paste0("package:", package) %in% search()) attachNamespace(package)
    })), error = function(e) failed[[package]] <<- message_of(e))
  }
  for (package in message$attached) try_one(package, TRUE)
  for (package in message$loaded) try_one(package, FALSE)
  failed
}

# The session's search path, above it packages that the server was started with; its entries that are no packages here get variables
# that fetch their values. Gives their environments, the workspace's left out.
adopt_search <- function(entries, more) {
  names <- vapply(entries, `[[`, "", "name")
  fetched <- !is.na(vapply(entries, `[[`, 1L, "scope"))
  packages <- sub("^package:", "", names[!fetched])
  more <- setdiff(more, packages)
  reorder_packages(c(more, packages))
  place <- c(1L, seq_along(entries)[-1L] + length(more))
  for (i in which(fetched)) if (i > 1L) do.call("attach", list(NULL, pos = place[i], name = names[i], warn.conflicts = FALSE))
  for (i in which(fetched)) promise_variables(as.environment(place[i]), entries[[i]]$scope, entries[[i]]$variables)
  lapply(place[which(fetched)[-1L]], as.environment)
}

# wanted: from the top. What stands in the right order at the bottom stays.
reorder_packages <- function(wanted) {
  have <- function() sub("^package:", "", setdiff(grep("^package:", search(), value = TRUE), "package:base"))
  same <- function(n) n == 0L || (length(have()) >= n && identical(utils::tail(have(), n), utils::tail(wanted, n)))
  keep <- length(wanted)
  while (!same(keep)) keep <- keep - 1L
  for (name in utils::head(have(), length(have()) - keep)) detach(paste0("package:", name), character.only = TRUE)
  for (name in rev(utils::head(wanted, length(wanted) - keep)))
    tryCatch(suppressWarnings(suppressMessages(attachNamespace(name))), error = function(e) NULL)
}

promise_variables <- function(env, scope, names) {
  home <- environment(promise_variables)
  for (name in names) eval(call("delayedAssign", name, call("fetch_variable", scope, name, env), home, env), baseenv())
}

# Variables that come along share environments with this one; those that are still waiting to be fetched get their values.
fetch_variable <- function(scope, name, env) {
  answer <- .Call(ffi_server_fetch, list(scope, name))
  if (!is.null(answer$refused)) abort_class("sharedmem_refused_error", answer$refused, name = name)
  waiting <- names(answer$along)[.Call(ffi_binding_kinds, as.character(names(answer$along)), env) == "lazy"]
  for (other in waiting) assign(other, unpack(answer$along[[other]]), envir = env)
  unpack(answer$value)
}

# Definitions of classes and methods, which are asked for: the session answers once it has nothing more to send.
adopt_classes <- function(variables) if (any(grepl("^\\.__[CT]__", variables))) methods::cacheMetaData(globalenv(), TRUE)

# Options, environment variables, and the rest of session_state().
adopt_session <- function(state) {
  adopt_environment(state$env)
  for (category in names(state$locale))
    if (!identical(Sys.getlocale(category), state$locale[[category]])) suppressWarnings(Sys.setlocale(category, state$locale[[category]]))
  if (!is.null(state$wd)) tryCatch(setwd(state$wd), error = function(e) NULL)
  .libPaths(state$paths)
  adopt_options(state$options)
  if (state$devices) options(device = refuse_device)
  Sys.umask(state$umask)
  suppressWarnings(RNGkind(state$rng[1L], state$rng[2L], state$rng[3L]))
  if (!is.null(state$seed)) assign(".Random.seed", state$seed, envir = globalenv())
  dir <- state$tempdir
  .Call(ffi_util_rebind, baseenv(), "tempdir", function(check = FALSE) dir)
  if (state$replaced) use_for_parallel(TRUE)
}

adopt_environment <- function(theirs) {
  mine <- Sys.getenv()
  Sys.unsetenv(setdiff(names(mine), names(theirs)))
  changed <- theirs[is.na(match(names(theirs), names(mine))) | theirs != mine[names(theirs)]]
  if (length(changed)) do.call(Sys.setenv, as.list(changed))
}

# One that this R does not take stays as it is here. Some are taken with a warning, which the session has had.
adopt_options <- function(theirs) {
  mine <- options()
  theirs[setdiff(names(mine), names(theirs))] <- list(NULL)
  for (name in names(theirs))
    if (!identical(mine[[name]], theirs[[name]])) tryCatch(suppressWarnings(options(theirs[name])), error = function(e) NULL)
}

refuse_device <- function(...)
  abort_class("sharedmem_refused_error", paste("the session's graphics device cannot be drawn on in a worker of the fork server:",
                                               "open one there, as by png(file)"), name = "device")

# Variables in the environments of func that hold what has not survived the way are errors when they are touched.
refuse_dead <- function(func) {
  env <- if (!is.primitive(func)) environment(func)
  while (is.environment(env) && !identical(env, globalenv()) && !identical(env, emptyenv()) && !isNamespace(env)) {
    for (name in ls(env, all.names = TRUE)) if (is_dead(plain_value(name, env))) promise_refusal(name, env)
    env <- parent.env(env)
  }
}

is_dead <- function(value)
  inherits(value, "connection") || (typeof(value) == "externalptr" && !is_shared(value)) ||
    (is.list(value) && !is.null(attr(value, "class")) && any(vapply(unclass(value), typeof, "") == "externalptr"))

promise_refusal <- function(name, env) {
  home <- environment(promise_refusal)
  eval(call("delayedAssign", name, call("abort_dead", name), home, env), baseenv())
}

abort_dead <- function(name)
  abort_class("sharedmem_refused_error", name = name,
              sprintf("`%s` holds a connection or external pointer, which cannot go to a worker of the fork server: open it there", name))
