# critical and ordered sections of a pool. `state` is the pool's: state$map is the map that runs.
# C evaluates `expr` in the section and leaves it however that ends.

#' One worker at a time, and in the order of the items
#'
#' Inside the function of a [map]: `pool$critical(expr)` evaluates `expr` in one worker at a time, and `pool$ordered(expr)` also in
#' the order of the items. `pool$local` is an environment that belongs to one worker.
#'
#' `expr` is evaluated where it stands, so its assignments are made in the function that calls the section. The lock is
#' released however `expr` ends, also when its holder is killed. `with(pool$critical, expr)` and `with(pool$ordered, expr)` do the same.
#'
#' An item that ends without entering `ordered` passes its turn on. Regions have sections of the same names: see [Parallel()].
#' [Lock()] makes a lock that belongs to no pool; [atomic_add()] adds without one.
#'
#' `pool$local` (also `pool$tls`) starts empty in each worker except for `pool$local$rank`, the worker's number from 0 to `np - 1`. What
#' one item keeps there, the next items of the same worker find: a connection, a cache, a counter.
#'
#' @param expr code, mostly in braces.
#' @usage
#' \special{pool$critical(expr)}
#'
#' \special{pool$ordered(expr)}
#'
#' \special{pool$local}
#' @return The value of `expr`. Entering a section twice, entering `ordered` from inside `critical`, and using either outside
#'   of `func` are errors of class `sharedmem_lock_error`; in the session the `reason` of a [WorkerException].
#' @source `MapReduce.critical`, `MapReduce.ordered` and `MapReduce.local` of the Python package `sharedmem`.
#' @seealso [map], [Lock()], [atomic_add()]
#' @examples
#' pool <- MapReduce(np = 2)
#' sum <- full(1, 0)
#' log <- empty(4, "i4")
#' n <- full(1, 0)
#' ranks <- pool$map(function(i) {
#'   pool$critical(sum[1] <- sum[1] + i)
#'   pool$ordered({
#'     n[1] <- n[1] + 1
#'     log[n[1]] <- i
#'   })
#'   pool$local$rank
#' }, 1:4)
#' sum[1]
#' log[]
#' @name critical
#' @aliases ordered local tls pool$critical pool$ordered pool$local
NULL

new_critical <- function(state) {
  structure(function(expr) .External2(ffi_critical, state$map), class = "sharedmem_section")
}

new_ordered <- function(state) {
  structure(function(expr) .External2(ffi_ordered, state$map, state$item), class = "sharedmem_section")
}

#' @export
with.sharedmem_section <- function(data, expr, ...) {
  section <- data # a call of `data()` would look like that of utils
  section(expr)
}

#' @export
print.sharedmem_section <- function(x, ...) {
  cat("<section of a pool: use as section({ ... }) or with(section, { ... }) inside `func`>\n")
  invisible(x)
}

#' A lock of one's own
#'
#' Makes a lock that this process and all processes forked from it share: one of them at a time evaluates what it guards.
#'
#' `lock(expr)` and `with(lock, expr)` evaluate `expr` where it stands (its assignments are the caller's) and give
#' its value. The lock is released however `expr` ends; if its holder is killed, the next to ask gets it. It works in
#' workers of [MapReduce()], [background()] and `parallel::mclapply()` alike; make it before they are forked. It lies in shared memory
#' and goes where a shared array goes: to workers of a [fork_server()] and other processes of this machine, too.
#' Where the process that holds it waits for the one that asks (a map or region inside `lock()`), asking is an error that names the
#' holder; around `parallel::mclapply()`, whose children are not known to this package, and around `background()$wait()`, whose
#' process may ask before anybody waits for it, it would be a wait without end.
#'
#' @return A function of class `sharedmem_lock`. Entering it twice in one process is an error of class
#'   `sharedmem_lock_error`, not a deadlock; so is the use of a saved one.
#' @source OpenMP's `omp_lock_t`, as a process-shared robust POSIX mutex.
#' @seealso [critical], [atomic_add()]
#' @examples
#' lock <- Lock()
#' count <- full(1, 0)
#' add <- function(i) for (k in 1:100) lock(count[1] <- count[1] + 1)
#' invisible(parallel::mclapply(1:2, add, mc.cores = 2))
#' count[1]
#' @export
Lock <- function() {
  page <- .Call(ffi_lock_init, empty(lock_bytes, "u1"))
  f <- function(expr) {
    out <- .External2(ffi_lock, page)
    if (out$visible) out$value else invisible(out$value)
  }
  class(f) <- c("sharedmem_lock", "sharedmem_section")
  f
}

lock_bytes <- 256 # LOCK_BYTES in C

#' @export
print.sharedmem_lock <- function(x, ...) {
  held <- tryCatch(.Call(ffi_lock_held, environment(x)$page), sharedmem_lock_error = function(e) NA)
  cat("<Lock:", if (is.na(held)) "a saved copy, which locks nothing>" else if (held) "held by this process>"
      else "use as lock({ ... }) or with(lock, { ... })>", "\n")
  invisible(x)
}
