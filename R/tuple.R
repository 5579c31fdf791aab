#' A result of several values
#'
#' Makes a list that `reduce` of [MapReduce()]'s `map()` gets spread over its arguments, and that
#' `star = TRUE` spreads over `func`'s.
#'
#' @param ... Values, with or without names; named ones are matched by name.
#' @return A list of class `sharedmem_tuple`.
#' @source A Python function's `return i, a`.
#' @examples
#' pool <- MapReduce(np = 2)
#' total <- 0
#' pool$map(function(i) tuple(i, i^2), 1:3, reduce = function(i, sq) total <<- total + sq)
#' total
#' @export
tuple <- function(...) structure(list(...), class = "sharedmem_tuple")

#' @export
print.sharedmem_tuple <- function(x, ...) {
  cat("tuple of", length(x), "\n")
  print(unclass(x), ...)
  invisible(x)
}
