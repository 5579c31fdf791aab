# critical and ordered sections of a pool. `state` is the pool's: state$map is the map that runs.
# C evaluates `expr` in the section and leaves it however that ends.

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
#' workers of [MapReduce()], [background()] and `parallel::mclapply()` alike; make it before they are forked.
#' Where the process that holds it waits for the one that asks (a map or region inside `lock()`), asking is an error that names the
#' holder; around `parallel::mclapply()`, whose children are not known to this package, it would be a wait without end.
#'
#' @return A function of class `sharedmem_lock`. Entering it twice in one process is an error of class
#'   `sharedmem_lock_error`, not a deadlock; so is a use in a process that is no fork of its maker.
#' @source OpenMP's `omp_lock_t`, as a process-shared robust POSIX mutex.
#' @seealso `critical` in [MapReduce()], [atomic_add()]
#' @examples
#' lock <- Lock()
#' count <- full(1, 0)
#' add <- function(i) for (k in 1:100) lock(count[1] <- count[1] + 1)
#' invisible(parallel::mclapply(1:2, add, mc.cores = 2))
#' count[1]
#' @export
Lock <- function() {
  ptr <- .Call(ffi_lock_new)
  f <- function(expr) {
    out <- .External2(ffi_lock, ptr)
    if (out$visible) out$value else invisible(out$value)
  }
  class(f) <- c("sharedmem_lock", "sharedmem_section")
  f
}

#' @export
print.sharedmem_lock <- function(x, ...) {
  held <- .Call(ffi_lock_held, environment(x)$ptr)
  cat("<Lock:", if (held) "held by this process>" else "use as lock({ ... }) or with(lock, { ... })>", "\n")
  invisible(x)
}
