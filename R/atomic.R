#' Add to shared elements without a lock
#'
#' Adds `value` to the elements `x[i]`, each in one indivisible step: no addition of any process is lost.
#'
#' @details
#' All indices and values are checked before anything is added. Where the sum itself does not fit (`i4` past
#' 2^31 - 1, `i8` past 2^63 - 1), `sharedmem_value_error` is raised; its field `position` tells which one, that element is left as
#' it was, and those before it stay added. NA in an `i4` stays NA; adding NA makes it NA. An index that stands in `i` twice is
#' added to twice.
#'
#' @param x a shared array of dtype `i4`, `i8` or `f8`.
#' @param i an index over all elements, as in `x[i]`; without NA.
#' @param value numbers to add, recycled over `i`; its length must divide that of `i`.
#' @return The new values: integer for `i4`, double for `i8` and `f8`.
#' @source `atomic` in OpenMP; `InterlockedAdd`, `fetch_add` in C11.
#' @examples
#' hits <- empty(3, "i4")
#' atomic_add(hits, 2, 1L)
#' atomic_add(hits, c(1, 2), 5L)
#' hits[]
#' @export
atomic_add <- function(x, i, value) .Call(ffi_atomic_add, x, i, value)
