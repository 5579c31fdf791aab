# What a map calls is byte-compiled in the session, once. Otherwise R's own compiler does it in every worker, at the first
# call of a function with a loop and at the second of any other, and there it has to be read in first. (Base
# parallel turns it off in its children.)

# The compiled form of a function; itself where that would not pay or cannot be had. often: it is called more than once a
# worker. Functions of the global environment are kept by identity, so that a map in a loop compiles once; others
# would keep alive what they enclose.
compiled <- function(f, often) {
  if (!is.function(f) || is.primitive(f) || isNamespace(topenv(environment(f)))) return(f) # packages are compiled as they are installed
  if (!(often || identical(environment(f), globalenv()) || has_loop(f))) return(f)
  if (forces_when_compiled(f)) return(f)
  for (known in the$cache$compiled) if (identical(known[[1L]], f)) return(known[[2L]])
  fast <- tryCatch(compiler::cmpfun(f, options = list(suppressAll = TRUE)), error = function(e) f)
  if (identical(environment(f), globalenv())) the$cache$compiled <- c(list(list(f, fast)), utils::head(the$cache$compiled, 15L))
  fast
}

# The compiler looks up what f calls, which would force a promise, or run an active binding, that f itself may never come to.
forces_when_compiled <- function(f) {
  all <- all.names(body(f))
  names <- setdiff(unique(all), "")
  count <- function(x) tabulate(match(x, names), length(names))
  names <- names[count(all) > count(all.names(body(f), functions = FALSE))]
  env <- environment(f)
  repeat {
    kinds <- .Call(ffi_binding_kinds, names, env)
    if ("lazy" %in% kinds) return(TRUE)
    names <- names[kinds == "none"]
    if (ends_search(env) || !length(names)) return(FALSE)
    env <- parent.env(env)
  }
}

# Past the frames that a function encloses: the workspace, a namespace, or the end.
ends_search <- function(env) identical(env, globalenv()) || identical(env, baseenv()) || identical(env, emptyenv()) || isNamespace(env)

has_loop <- function(f) any(c("for", "while", "repeat") %in% all.names(body(f)))

# Functions of the global environment that f reaches, compiled: a named list. Looking changes nothing: promises, active and locked
# bindings are passed over; frames of functions are not searched.
compiled_globals <- function(f, often) {
  if (is.primitive(f) || isNamespace(environment(f))) return(list())
  seen <- character()
  found <- list()
  queue <- list(f)
  while (length(queue) && length(seen) < 200L) {
    names <- setdiff(unique(all.names(body(queue[[1L]]))), c(seen, ""))
    queue <- queue[-1L]
    seen <- c(seen, names)
    for (name in names[.Call(ffi_binding_kinds, names, globalenv()) == "value"]) {
      g <- get(name, envir = globalenv(), inherits = FALSE)
      if (!is.function(g) || is.primitive(g)) next
      queue <- c(queue, list(g))
      fast <- compiled(g, often)
      if (!identical(fast, g, ignore.bytecode = FALSE)) found[[name]] <- fast
    }
  }
  found
}
