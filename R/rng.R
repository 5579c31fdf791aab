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
