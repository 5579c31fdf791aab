# A generator of its own for each item: L'Ecuyer-CMRG, its state hashed from the map's base and the item's number.

# seed: TRUE, where the base comes from the session's generator, which moves on by one step; FALSE, where it comes from nothing that
# repeats, and the session's generator is left untouched; "background", where it comes from the session's state as it stands and
# the number of background calls that have found it so.
map_seed <- function(seed)
  .Call(ffi_rng_base, if (isTRUE(seed)) "step" else if (identical(seed, "background")) "background" else "nothing")

# In a worker, `.Random.seed` is an active binding until somebody looks; this is its function.
seed_binding <- function(value) .Call(ffi_rng_touch, if (missing(value)) NULL else value)

# The same for the variable by which parallel::mcparallel() hands streams to its children, and where that is.
parallel_binding <- function(value) .Call(ffi_rng_parallel, if (missing(value)) NULL else value)

parallel_state <- function() if (isNamespaceLoaded("parallel")) get0("RNGenv", asNamespace("parallel"), inherits = FALSE)

# expr with the random numbers of an item; afterwards they are as they were.
with_stream <- function(base, expr, item = 1) {
  old <- .Call(ffi_rng_swap, .Call(ffi_rng_stream, base, as.double(item)))
  on.exit(.Call(ffi_rng_swap, old))
  expr
}

# Seeds for set.seed() in members that keep the session's kind of generator, one a rank (0 ... n - 1).
member_seeds <- function(base, n) vapply(seq_len(n), function(i) {
  bits <- .Call(ffi_rng_stream, base, as.double(i))[2L]
  if (is.na(bits)) 0L else bits
}, 1L)
