# A random stream of its own for each item: L'Ecuyer-CMRG, derived from the master's generator by one step of it.

# NULL where the pool leaves R's generator alone.
map_seed <- function(options) if (isTRUE(options$seed)) .Call(ffi_rng_base)

# In a worker, `.Random.seed` is an active binding until somebody looks; this is its function.
seed_binding <- function(value) .Call(ffi_rng_touch, if (missing(value)) NULL else value)

# In the master's process: each item's stream is put in place by the function this gives; `restore` puts the
# generator back as it stood.
seed_here <- function(base) {
  if (is.null(base)) return(list(item = function(i) NULL, restore = function() NULL))
  old <- get(".Random.seed", envir = globalenv(), inherits = FALSE)
  list(item = function(i) .Call(ffi_rng_restart, .Call(ffi_rng_stream, base, as.double(i))),
       restore = function() .Call(ffi_rng_restart, old))
}

# A function that gives a new background process its stream: of those that belong to the state of the session's generator, which
# stays where it is, the next one.
background_draws <- function() {
  old <- globalenv()$.Random.seed
  session <- the$session
  if (!.Call(ffi_rng_same, old, session$background_seed)) session$background_begun <- 0
  session$background_seed <- old
  session$background_begun <- number <- session$background_begun + 1
  base <- .Call(ffi_rng_base)
  if (is.null(old)) rm(".Random.seed", envir = globalenv()) else assign(".Random.seed", old, envir = globalenv())
  function() .Call(ffi_rng_restart, .Call(ffi_rng_stream, base, number))
}
