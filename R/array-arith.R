# Arithmetic, comparison, Math and matrix products: on the values, giving ordinary R vectors.

# The values of a shared array with all attributes, through a view where that saves the copy; anything else as it is. For
# functions that only read their argument: what may give it back as it is takes shared_values().
plain <- function(x) {
  if (is_shared(x)) .Call(ffi_array_plain, x) else if (inherits(x, "shared_array")) ordinary(x) else x
}

#' Arithmetic on shared arrays
#'
#' Operators, comparison, logic and the Math group work on a shared array as on the R vector, matrix or array with the
#' same values, dims and names. The result is an ordinary R object, never a shared one.
#'
#' R hands `x %*% y` to a class from R 4.3 on, `crossprod(x, y)` and `tcrossprod(x, y)` from 4.4 on. For older versions the package exports
#' functions of these names, which take ordinary matrices as R's own do; so they work there too, once the package is attached. An operator
#' whose other side has a class with operators of its own (factor, Date, difftime) reaches shared arrays from R 4.3 on; before,
#' write `x[] == f`.
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
  e1 <- plain(e1)
  if (missing(e2)) return(if (.Generic == "-") -e1 else !e1)
  e2 <- plain(e2)
  switch(.Generic, # so that warnings and errors speak of e1 + e2
    "+" = e1 + e2, "-" = e1 - e2, "*" = e1 * e2, "/" = e1 / e2, "^" = e1^e2, "%%" = e1 %% e2, "%/%" = e1 %/% e2,
    "==" = e1 == e2, "!=" = e1 != e2, "<" = e1 < e2, "<=" = e1 <= e2, ">" = e1 > e2, ">=" = e1 >= e2,
    "&" = e1 & e2, "|" = e1 | e2)
}

#' @rdname shared_array-arithmetic
#' @export
Math.shared_array <- function(x, ...) {
  x <- if (dtype_code(x) == "f8") plain(x) else shared_values(x) # others may come back as they are
  if (...length()) eval(as.call(c(as.name(.Generic), quote(x), lapply(list(...), plain))))
  else eval(call(.Generic, quote(x))) # so that errors speak of sqrt(x)
}

#' @rdname shared_array-arithmetic
#' @param z a shared array.
#' @export
Complex.shared_array <- function(z) get(.Generic, envir = baseenv(), mode = "function")(shared_values(z))

#' @noRd
#' @rawNamespace if (getRversion() >= "4.3.0") S3method(matrixOps, shared_array)
matrixOps.shared_array <- function(x, y) {
  f <- get(.Generic, envir = baseenv(), mode = "function")
  if (missing(y)) f(plain(x)) else f(plain(x), plain(y))
}

# Where R does not hand these to a class.
#' @noRd
#' @rawNamespace if (getRversion() < "4.3.0") export("%*%")
`%*%` <- function(x, y) base::`%*%`(plain(x), plain(y))

#' @noRd
#' @rawNamespace if (getRversion() < "4.4.0") export(crossprod, tcrossprod)
crossprod <- function(x, y = NULL) base::crossprod(plain(x), plain(y))

#' @noRd
tcrossprod <- function(x, y = NULL) base::tcrossprod(plain(x), plain(y))

# A shared array beside an object of another class: its values are taken first, then that class decides.
#' @noRd
#' @rawNamespace if (getRversion() >= "4.3.0") S3method(chooseOpsMethod, shared_array)
chooseOpsMethod.shared_array <- function(x, y, mx, my, cl, reverse) TRUE
