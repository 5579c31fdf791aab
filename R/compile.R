# What a map calls is byte-compiled in the master, once. Otherwise R's own compiler does it in every worker, at the first
# call of a function with a loop and at the second of any other, and there it has to be read in first. (Base
# parallel turns it off in its children.)

# The compiled form of a function; itself where that would not pay or cannot be had. often: it is called more than once a
# worker. Functions of the global environment are kept by identity, so that a map in a loop compiles once; others
# would keep alive what they enclose.
compiled <- function(f, often) {
  if (!is.function(f) || is.primitive(f) || isNamespace(topenv(environment(f)))) return(f) # packages are compiled as they are installed
  if (!(often || identical(environment(f), globalenv()) || has_loop(f))) return(f)
  for (known in the$cache$compiled) if (identical(known[[1L]], f)) return(known[[2L]])
  fast <- tryCatch(compiler::cmpfun(f, options = list(suppressAll = TRUE)), error = function(e) f)
  if (identical(environment(f), globalenv())) the$cache$compiled <- c(list(list(f, fast)), utils::head(the$cache$compiled, 15L))
  fast
}

has_loop <- function(f) any(c("for", "while", "repeat") %in% all.names(body(f)))

# Functions of the global environment that f reaches, compiled: a named list. Frames of functions are not
# searched: what stands there may be a promise that nobody has asked for yet.
compiled_globals <- function(f, often) {
  if (is.primitive(f) || isNamespace(environment(f))) return(list())
  seen <- character()
  found <- list()
  queue <- list(f)
  while (length(queue) && length(seen) < 200L) {
    names <- setdiff(unique(all.names(body(queue[[1L]]))), seen)
    queue <- queue[-1L]
    seen <- c(seen, names)
    for (name in names) {
      if (!exists(name, envir = globalenv(), inherits = FALSE)) next
      if (bindingIsActive(name, globalenv())) next
      g <- get(name, envir = globalenv(), inherits = FALSE)
      if (!is.function(g) || is.primitive(g)) next
      queue <- c(queue, list(g))
      fast <- compiled(g, often)
      if (!identical(fast, g, ignore.bytecode = FALSE)) found[[name]] <- fast
    }
  }
  found
}
