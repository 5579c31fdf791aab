#' Ordinary values from shared ones
#'
#' Gives an ordinary R value: the values of a shared array, with names, dims and class, or a list or data frame whose shared
#' parts, however deep, are such values. Other programs and later sessions can read what is written from it.
#'
#' @param x any R object.
#' @return An ordinary R object; what holds nothing shared is given back as it is. Environments are not looked into.
#' @seealso [as_shared()], the way there.
#' @examples
#' d <- as_shared(data.frame(n = 1:3))
#' d$n[2] <- 20L
#' unshare(d)
#' @export
unshare <- function(x) {
  if (is_shared(x)) return(shared_values(x))
  if (!is.list(x)) return(x)
  classes <- oldClass(x)
  x <- unclass(x)
  for (k in seq_along(x)) {
    item <- .subset2(x, k)
    if (is.list(item) || is_shared(item)) x[[k]] <- unshare(item)
  }
  oldClass(x) <- classes
  x
}
