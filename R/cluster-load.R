# What a daemon needs for the items of a map: the function with what it reaches. Found and sent once.

# A list: payload, a raw vector; key, which tells it from others; arrays, the names of shared arrays that functions would use.
new_load <- function(job, export) {
  globals <- reached_globals(list(job$func, job$more), export)
  # the state of the pool is what `pool` inside of func refers to; what belongs to the session stays here
  state <- job$state
  kept <- mget(c("map", "trace", "seed", "item"), envir = state)
  on.exit(list2env(kept, state))
  state$map <- state$trace <- state$seed <- NULL
  state$item <- NA_real_
  parts <- list(func = job$func, more = job$more, star = job$star, globals = globals, state = state)
  before <- the$cache$travelled
  payload <- tryCatch(serialize(parts, NULL, xdr = FALSE), error = function(e)
    abort_class("sharedmem_cluster_error", paste0("func cannot be sent to the daemons: ", conditionMessage(e))))
  arrays <- if (the$cache$travelled > before) named_arrays(job, globals)
  load <- list(payload = payload, key = .Call(ffi_remote_digest, payload), arrays = arrays)
  if (length(payload) > large_load) tell_load(length(payload), c(globals, enclosed_values(job$func), job$more))
  load
}

# Names of the shared arrays that functions name, and of further arguments. One that only lies in a frame that a function encloses
# goes along and may be dead there.
named_arrays <- function(job, globals) {
  functions <- Filter(function(f) is.function(f) && !is.primitive(f), c(list(job$func), globals))
  named <- unique(unlist(lapply(functions, function(f) all.names(body(f)))))
  enclosed <- enclosed_values(job$func)
  more <- job$more
  if (length(more) && is.null(names(more))) names(more) <- rep("...", length(more))
  unique(names(Filter(is_shared, c(globals, enclosed[names(enclosed) %in% named], more))))
}

large_load <- 50e6

tell_load <- function(nbytes, parts) {
  sizes <- vapply(parts, function(x) as.numeric(utils::object.size(x)), 0)
  sizes <- sort(sizes[nzchar(names(sizes))], decreasing = TRUE)
  largest <- if (length(sizes)) sprintf(": `%s` has %s", names(sizes)[1L], format_size(sizes[[1L]])) else ""
  inform_class("sharedmem_cluster_message",
               sprintf("func and what it reaches are %s, sent once to each daemon%s", format_size(nbytes), largest), nbytes = nbytes)
}

# Of these variables of env itself those whose values can be looked at, as a named list: see plain_value().
values_in <- function(names, env) {
  values <- lapply(names, plain_value, env)
  names(values) <- names
  Filter(Negate(is.null), values)
}

# Variables of the frames that a function encloses, below the workspace or a namespace.
enclosed_values <- function(f) {
  if (is.primitive(f)) return(list())
  out <- list()
  env <- environment(f)
  while (!ends_search(env)) {
    names <- ls(env, all.names = TRUE, sorted = TRUE)
    out <- c(out, values_in(names, env))
    env <- parent.env(env)
  }
  out
}

# Variables of the workspace that values reach, as a named list: names in functions, in those that these call, in functions that lists and
# environments hold (R6 objects are such). Methods that the workspace defines are reached by dispatch, so they always count.
reached_globals <- function(values, export = character()) {
  here <- ls(globalenv(), all.names = TRUE, sorted = TRUE)
  missing <- setdiff(export, here)
  if (length(missing)) abort_argument("export", sprintf("\"%s\"", missing[1L]), "names of variables of the workspace")
  found <- list()
  seen <- new.env(parent = emptyenv())
  add <- function(names) {
    for (name in names) {
      if (name %in% names(found) || name == ".Random.seed") next
      x <- get(name, envir = globalenv(), inherits = FALSE)
      found[[name]] <<- list(x)
      walk(x, 0L)
    }
  }
  walk <- function(x, depth) {
    if (is.function(x) && !is.primitive(x)) {
      if (!isNamespace(environment(x))) walk_function(x)
    } else if (is.environment(x) && depth < 3L) walk_environment(x, depth)
    else if (is.list(x) && depth < 3L && length(x) <= 1000L) for (y in unclass(x)) walk(y, depth + 1L)
    else if (is.language(x)) add(intersect(all.names(x), here))
  }
  walk_environment <- function(env, depth) {
    if (ends_search(env) || length(env) > 1000L || length(seen$environments) >= 200L) return()
    for (known in seen$environments) if (identical(known, env)) return()
    seen$environments <- c(seen$environments, list(env))
    for (y in values_in(ls(env, all.names = TRUE), env)) walk(y, depth + 1L)
  }
  walk_function <- function(f) {
    for (known in seen$functions) if (identical(known, f)) return()
    seen$functions <- c(seen$functions, list(f))
    names <- unique(c(all.names(body(f)), unlist(lapply(formals(f), all.names))))
    env <- environment(f)
    # one that a package's function has made (Vectorize(), Negate()) means the package's variables, and holds what it was given
    if (!isNamespace(topenv(env))) add(intersect(names, here))
    while (!ends_search(env)) {
      for (x in values_in(intersect(names, ls(env, all.names = TRUE)), env)) walk(x, 0L)
      env <- parent.env(env)
    }
  }
  for (x in values) walk(x, 0L)
  add(export)
  add(Filter(is_method_name, here))
  lapply(found, `[[`, 1L)
}

# Is a function of the workspace called as a method is, after a function that there is?
is_method_name <- function(name) {
  dots <- gregexpr(".", name, fixed = TRUE)[[1L]]
  if (dots[1L] < 2L || !is.function(get0(name, envir = globalenv(), mode = "function", inherits = FALSE))) return(FALSE)
  any(vapply(dots, function(k) !is.null(get0(substr(name, 1L, k - 1L), envir = globalenv(), mode = "function")), NA))
}

# The load as a daemon gets it: on this machine through shared memory.
load_for <- function(cl, agent) {
  cl$fetched <- c(cl$fetched, agent$id)
  if (!agent$here) return(cl$load$payload)
  if (is.null(cl$shared)) cl$shared <- as_shared(cl$load$payload)
  cl$shared
}
