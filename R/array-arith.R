# Arithmetic, comparison, Math and matrix products: on the values, giving ordinary R vectors.

# The values of a shared array with all attributes, for functions that only read their argument: what may give it back as it is takes
# shared_values(). Anything else as it is. Many functions of R ask a vector for one element after the other, which takes longer on a view
# than a copy does; so only what is large comes as one.
plain <- function(x) {
  if (is_shared(x)) .Call(ffi_array_plain, x, 2^26) else if (inherits(x, "shared_array")) ordinary(x) else x
}

# The same for functions that go over the memory itself: a view wherever that costs less than a copy.
plain_view <- function(x) {
  if (is_shared(x)) .Call(ffi_array_plain, x, 4096) else if (inherits(x, "shared_array")) ordinary(x) else x
}

# For ffi_index_by_stretches(): the stretch of an operand, which nothing else refers to.
stretch_of <- function(state, k) .Call(ffi_index_stretch, state, k)

#' Arithmetic on shared arrays
#'
#' Operators, comparison, logic and the Math group work on a shared array as on the R vector, matrix or array with the
#' same values, dims and names. The result is an ordinary R object, never a shared one.
#'
#' R hands `x %*% y` to a class from R 4.3 on, `crossprod(x, y)` and `tcrossprod(x, y)` from 4.4 on. For older versions the package exports
#' functions of these names, which take ordinary matrices as R's own do; so they work there too, once the package is attached. An operator
#' whose other side has a class with operators of its own (factor, Date, difftime) reaches shared arrays from R 4.3 on; before,
#' write `x[] == f`. `v + x` with an ordinary integer64 `v` on the left is refused by bit64 from version 4.6 on: write `v + x[]`.
#'
#' @param e1,e2,x shared arrays or anything that R's own operator takes.
#' @param ... further arguments of the function, such as `digits` of [round()].
#' @return An ordinary R vector, matrix or array with the attributes that R gives.
#' @source Arithmetic on the NumPy arrays of the Python package `sharedmem`.
#' @examples
#' x <- empty(3)
#' x[] <- 1:3
#' x + 1
#' sqrt(x)
#' x > 2
#' @aliases %*% crossprod tcrossprod matrixOps.shared_array
#' @name shared_array-arithmetic
NULL

#' @rdname shared_array-arithmetic
#' @export
Ops.shared_array <- function(e1, e2) {
  if (missing(e2) && .Generic == "+") return(+shared_values(e1)) # gives back what it gets
  value <- if (!missing(e2)) .Call(ffi_index_by_stretches, .Generic, list(e1, e2))
  if (!is.null(value)) return(value)
  look <- switch(.Generic, "&" = , "|" = , "!" = plain, plain_view)
  e1 <- look(e1)
  if (missing(e2)) # R hands over `*`(x) and its like, too, whose error is R's
    return(switch(.Generic, "-" = -e1, "!" = !e1, eval(call(.Generic, quote(e1)))))
  e2 <- look(e2)
  switch(.Generic, # so that warnings and errors speak of e1 + e2
    "+" = e1 + e2, "-" = e1 - e2, "*" = e1 * e2, "/" = e1 / e2, "^" = e1^e2, "%%" = e1 %% e2, "%/%" = e1 %/% e2,
    "==" = e1 == e2, "!=" = e1 != e2, "<" = e1 < e2, "<=" = e1 <= e2, ">" = e1 > e2, ">=" = e1 >= e2,
    "&" = e1 & e2, "|" = e1 | e2, "!" = eval(call("!", quote(e1), quote(e2)))) # the last is R's error
}

#' @rdname shared_array-arithmetic
#' @export
Math.shared_array <- function(x, ...) {
  # log(base = 2, x = v) comes here by its x, but with the values in the order of the call, the first of them as x
  if (.Generic == "log" && ...length() == 1L && (!is_shared(x) || base_first(sys.call()))) return(log(..1, x))
  x <- if (dtype_code(x) == "f8" && !startsWith(.Generic, "cum")) plain_view(x) else shared_values(x) # others may come back as they are
  if (...length()) eval(as.call(c(as.name(.Generic), quote(x), lapply(list(...), plain))))
  else eval(call(.Generic, quote(x))) # so that errors speak of sqrt(x)
}

base_first <- function(call) {
  first <- names(call)[2L]
  !is.null(first) && nzchar(first) && startsWith("base", first)
}

#' @rdname shared_array-arithmetic
#' @param z a shared array.
#' @export
Complex.shared_array <- function(z) get(.Generic, envir = baseenv(), mode = "function")(shared_values(z))

#' @noRd
#' @rawNamespace if (getRversion() >= "4.3.0") S3method(matrixOps, shared_array)
matrixOps.shared_array <- function(x, y) {
  f <- get(.Generic, envir = baseenv(), mode = "function")
  if (missing(y)) f(plain_view(x)) else f(plain_view(x), plain_view(y))
}

# Where R does not hand these to a class. Without a shared array they are whatever would have been found without us: Matrix and others
# have generics of these names.
product <- function(name, ours, ...) {
  if (ours) return(do.call(get(name, envir = baseenv()), lapply(list(...), plain_view), quote = TRUE))
  attached <- match("package:sharedmem", search())
  get(name, envir = if (is.na(attached)) baseenv() else parent.env(as.environment(attached)), mode = "function")(...)
}

#' @noRd
#' @rawNamespace if (getRversion() < "4.3.0") export("%*%")
`%*%` <- function(x, y) product("%*%", is_shared(x) || is_shared(y), x, y)

#' @noRd
#' @rawNamespace if (getRversion() < "4.4.0") export(crossprod, tcrossprod)
crossprod <- function(x, y = NULL, ...) {
  if (missing(y)) product("crossprod", is_shared(x), x, ...)
  else product("crossprod", is_shared(x) || is_shared(y), x, y, ...)
}

#' @noRd
tcrossprod <- function(x, y = NULL, ...) {
  if (missing(y)) product("tcrossprod", is_shared(x), x, ...)
  else product("tcrossprod", is_shared(x) || is_shared(y), x, y, ...)
}

# A shared array beside an object of another class: its values are taken first, then that class decides.
#' @noRd
#' @rawNamespace if (getRversion() >= "4.3.0") S3method(chooseOpsMethod, shared_array)
chooseOpsMethod.shared_array <- function(x, y, mx, my, cl, reverse) TRUE
