# `[`, `[[` and their assignments. The plain cases go to C at once; the rest is sorted out here first.

# Stands for a subscript left empty.
all_of <- quote(all)

#' Elements of a shared array
#'
#' Reads from or, in code that knows of shared arrays (see [set_shared()]), writes into the shared memory itself, with every
#' kind of index that R has: positive, negative and zero numbers, logical vectors, names, matrices with a column an extent, or
#' nothing at all for everything.
#'
#' @details
#' Reading gives an ordinary R vector, matrix or array in the R type that holds every value of the dtype. Assignment
#' changes the memory that all processes and all handles see; no copy is made. All values and all indices are
#' checked before anything is written. A value that the dtype cannot hold raises `sharedmem_value_error` with
#' fields `position` (of the first offending value) and `value`; an index out of bounds raises
#' `sharedmem_index_error` with fields `position`, `index`, `extent` and `axis`, in reading too.
#'
#' A run of 1 to 16 MiB of a vector (`x[a:b]`, `x[]`) comes in memory that is kept from read to read, which saves most of its cost. It
#' is an ordinary vector to R code; `sum()` of doubles in it is computed as that of the shared array, correct to about 2^-64 of the
#' exact sum before it is rounded.
#'
#' @param x a shared array.
#' @param i,... indices, as for R's own arrays; a shared array is taken by its values. Doubles past 2^31 are fine. In `[` also
#'   `drop`, logical: drop extents of 1 from the result (for a factor, if given: unused levels).
#' @param exact logical: `FALSE` allows partial matching of a name in `[[`.
#' @param value values to write, recycled as R does; a shared array is taken by its values, also `x` itself.
#' @return `[` and `[[`: an ordinary R vector or array; the assignments: `x`, the same handle.
#' @source The indexing of NumPy arrays in the Python package `sharedmem`.
#' @examples
#' x <- empty(c(2, 3))
#' x[] <- 1:6
#' x[2, ]
#' x[x[] > 2] <- 0
#' x[]
#' @name shared_array-index
NULL

#' @rdname shared_array-index
#' @export
`[.shared_array` <- function(x, i, ...) {
  # few formals, one test: this is the inner loop of scalar code
  if (...length() == 0L) .Call(ffi_index_get, x, if (missing(i)) all_of else i, NULL)
  else if (!is_shared(x)) NextMethod()
  else if (is.null(...names()) || all(...names() %in% c("", "drop"))) index_get(x, i, ...)
  else index_get_named(x, sys.call(), nargs() - 1L > ...length(), i, ...)
}

index_get <- function(x, i, j, ..., drop = TRUE) {
  n <- nargs() - 1L - !missing(drop)
  value <- if (n > 1L) .Call(ffi_index_get_many, x, list_subscripts(n, missing(i), missing(j), i, j, ...), drop)
           else .Call(ffi_index_get, x, if (missing(i)) all_of else i, drop)
  if (!missing(drop)) drop_levels(value, drop) else value
}

# Formals that nobody gives a subscript for a name: see named_subscripts().
index_get_named <- function(x, .call, .first, .i, ..., drop = TRUE) {
  subs <- named_subscripts(.call, .first, missing(.i), .i, ...)
  value <- if (length(subs) > 1L) .Call(ffi_index_get_many, x, subs, drop) else .Call(ffi_index_get, x, subs[[1L]], drop)
  if (!missing(drop)) drop_levels(value, drop) else value
}

drop_levels <- function(value, drop)
  if (drop && is.factor(value)) factor(value, exclude = if (anyNA(levels(value))) NULL else NA) else value

#' @rdname shared_array-index
#' @export
`[<-.shared_array` <- function(x, i, ..., value) {
  if (...length() == 0L) .Call(ffi_index_set, x, if (missing(i)) all_of else i, value, .GenericCallEnv)
  else if (missing(value)) set_by_position(x, missing(i), i, ..., .env = .GenericCallEnv)
  else if (!is_shared(x) || !.Call(ffi_index_writes, .GenericCallEnv))
    index_copy(x, i, ..., value = value)
  else if (is.null(...names())) index_set(x, i, ..., value = value)
  else index_set_named(x, sys.call(), nargs() - 2L > ...length(), i, ..., value = value)
}

# `[<-`(x, 1, 99), as R's own takes it: the last argument is the value, whatever its name. Once more, by its name, in .env.
set_by_position <- function(x, .whole, .i, ..., .env, .element = FALSE) {
  n <- ...length()
  subs <- c(list(if (.whole) formals(function(all) NULL)$all else .i), list(...)[-n])
  eval(as.call(c(as.name(if (.element) "[[<-" else "[<-"), list(x), subs, list(value = ...elt(n)))), .env)
}

index_copy <- function(x, i, j, ..., value)
  assign_copy(x, list_subscripts(nargs() - 2L, missing(i), missing(j), i, j, ...), value)

index_set <- function(x, i, j, ..., value) {
  .Call(ffi_index_set_many, x, list_subscripts(nargs() - 2L, missing(i), missing(j), i, j, ...), value)
}

index_set_named <- function(x, .call, .first, .i, ..., value) {
  subs <- named_subscripts(.call, .first, missing(.i), .i, ...)
  if (length(subs) > 1L) .Call(ffi_index_set_many, x, subs, value) else .Call(ffi_index_set, x, subs[[1L]], value, NULL)
}

#' @rdname shared_array-index
#' @export
`[[.shared_array` <- function(x, i = all_of, ..., exact = TRUE) {
  if (...length() == 0L) {
    value <- .Call(ffi_index_get_element, x, i)
    if (!is.null(value)) return(value)
  }
  if (!is_shared(x)) return(NextMethod())
  if (...length()) {
    if (is.null(...names())) return(element_get(x, list(i, ...), exact))
    return(element_get_named(x, sys.call(), nargs() - 1L - (!missing(exact)) > ...length(), i, ..., exact = exact))
  }
  if (missing(i)) abort_index("invalid subscript: [[ ]] needs one", NA, NULL, length(x), 0L)
  bare_element(.Call(ffi_index_get, x, check_one(i, x, exact), NULL))
}

# drop: taken and ignored, as by R.
element_get_named <- function(x, .call, .first, .i, ..., exact, drop)
  element_get(x, named_subscripts(.call, .first, missing(.i), .i, ...), exact)

element_get <- function(x, subs, exact) {
  if (length(subs) == 1L) x[[subs[[1L]], exact = exact]]
  else bare_element(.Call(ffi_index_get_many, x, check_single(subs, x, exact), TRUE))
}

bare_element <- function(value) {
  if (inherits(value, "difftime")) return(as.vector(unclass(value))) # as R, which has no method for `[[` there
  names(value) <- NULL
  dim(value) <- NULL
  value
}

#' @rdname shared_array-index
#' @export
`[[<-.shared_array` <- function(x, i = all_of, ..., value) {
  if (...length() == 0L && .Call(ffi_index_set_element, x, i, value, .GenericCallEnv)) {
    x
  } else if (missing(value)) {
    set_by_position(x, missing(i), i, ..., .env = .GenericCallEnv, .element = TRUE)
  } else if (!is_shared(x) || !.Call(ffi_index_writes, .GenericCallEnv)) {
    assign_copy(x, list(i, ...), value, TRUE)
  } else if (...length() == 0L) {
    element_set(x, list(i), value)
  } else if (is.null(...names())) {
    element_set(x, list(i, ...), value)
  } else {
    element_set(x, named_subscripts(sys.call(), nargs() - 2L > ...length(), missing(i), i, ...), value)
  }
}

element_set <- function(x, subs, value) {
  if (length(value) != 1L)
    abort_value(if (length(value)) "more elements supplied than there are to replace" else "replacement has length zero",
                NA, NULL, dtype_code(x))
  if (length(subs) > 1L) .Call(ffi_index_set_many, x, check_single(subs, x, TRUE), value)
  else if (is.symbol(subs[[1L]])) abort_index("[[ ]] with missing subscript", NA, NULL, length(x), 0L)
  else .Call(ffi_index_set, x, check_one(subs[[1L]], x, TRUE), value, NULL)
}

# The subscripts of a call as a list, `all_of` standing for empty ones.
list_subscripts <- function(n, no_i, no_j, i, j, ...) {
  subs <- vector("list", n)
  subs[1L] <- list(if (no_i) all_of else i)
  subs[2L] <- list(if (no_j) all_of else j)
  if (n > 2L) subs[3:n] <- list_dots(...)
  subs
}

list_dots <- function(...) {
  subs <- vector("list", ...length())
  for (k in seq_along(subs)) {
    empty <- eval(call("missing", as.name(paste0("..", k))))
    subs[k] <- list(if (empty) all_of else ...elt(k))
  }
  subs
}

# The same where some have names, which count for nothing, as in R: x[row = 1, 2] is x[1, 2]. But they change which of them is
# matched to `i`; the call says where that stood. first: there is one, empty or not.
named_subscripts <- function(.call, .first, .no_i, .i, ...) {
  subs <- list_dots(...)
  if (!.first) return(subs)
  given <- names(.call)[-(1:2)]
  given <- given[!given %in% c("drop", "exact", "value")]
  at <- if (length(given) == length(subs) + 1L) match("i", given, match("", given, 1L)) else 1L
  append(subs, list(if (.no_i) all_of else .i), at - 1L)
}

# One subscript for `[[`: the position of one element.
check_one <- function(i, x, exact, extent = length(x), nm = names(x), axis = 0L) {
  if (is_shared(i)) i <- shared_values(i)
  if (is.factor(i)) i <- as.integer(i)
  n <- length(i)
  fail <- function(text) abort_index(text, NA, if (n == 1L) i, extent, axis)
  if (n == 0L) fail("subscript of length 0 in [[ ]]")
  if (n > 1L) fail("attempt to select more than one element")
  if (is.character(i)) {
    at <- if (isFALSE(exact) || is.na(exact)) pmatch(i, nm, duplicates.ok = TRUE) else match(i, nm)
    if (!nzchar(i)) at <- NA # as in R, no name is ""
    if (is.na(at) || is.na(i)) fail("subscript out of bounds")
    return(at)
  }
  if (!is.numeric(i) && !is.logical(i)) fail(sprintf("invalid subscript type '%s'", typeof(i)))
  if (is.logical(i)) i <- as.integer(i)
  if (is.na(i)) fail("subscript out of bounds")
  if (i < 0) {
    if (extent == 2 && i > -3) return(3 + trunc(i))
    fail("invalid negative subscript in [[ ]]")
  }
  if (trunc(i) == 0) fail("subscript 0 in [[ ]] selects nothing")
  i
}

check_single <- function(subs, x, exact) {
  d <- dim(x)
  if (length(subs) != length(d)) abort_index("incorrect number of subscripts", NA, NULL, length(d), 0L)
  dn <- dimnames(x)
  for (k in seq_along(subs)) subs[[k]] <- check_one(subs[[k]], x, exact, d[k], dn[[k]], k)
  subs
}

# Names to positions: an error for a name that is not there. axis: the dimension; 0 for names() in reading, where NA
# gives NA; -1 in assignment, where it would be a new element.
match_names <- function(i, nm, axis) {
  at <- if (is.null(nm)) rep(NA_integer_, length(i)) else match(i, nm)
  at[!nzchar(i)] <- NA_integer_
  at[is.na(i)] <- NA_integer_
  lost <- if (axis != 0L) is.na(at) else is.na(at) & !is.na(i)
  if (any(lost)) {
    k <- which(lost)[1L]
    none <- if (is.null(nm))
      sprintf("subscript %s: the array has no %s", describe_value(i[k]),
              if (axis > 0L) "dimnames there; dimnames(x) <- list(...) gives it some" else "names; names(x) <- ... gives it some")
    else if (axis < 0L) sprintf("subscript %s: no element has that name (shared arrays do not grow)", describe_value(i[k]))
    abort_index(none, k, i[k], length(nm), max(axis, 0L))
  }
  at
}

match_matrix_names <- function(i, dn) {
  at <- matrix(NA_integer_, nrow(i), ncol(i))
  for (k in seq_len(ncol(i))) {
    some <- !is.na(i[, k])
    at[some, k] <- match_names(i[some, k], dn[[k]], k)
  }
  at
}

subset_names <- function(nm, i) nm[i]

# Dimnames of a one-dimensional array's subset; names where it has become a vector.
name_one_d <- function(value, dn, i) {
  sub <- dn[[1L]][i]
  if (is.null(dim(value))) names(value) <- sub
  else dimnames(value) <- structure(list(if (length(sub)) sub), names = names(dn))
  value
}

subset_dimnames <- function(dn, subs, d) {
  for (k in seq_along(dn)) {
    if (is.null(dn[[k]])) next
    if (d[k] == 0) dn[k] <- list(NULL)
    else if (!is.symbol(subs[[k]])) dn[[k]] <- dn[[k]][subs[[k]]]
  }
  dn
}

abort_index <- function(message, position, index, extent, axis) {
  if (is.null(message)) {
    what <- if (axis > 0L) sprintf("extent %.0f of dimension %d", extent, axis) else sprintf("length %.0f", extent)
    message <- sprintf("subscript out of bounds: index %s at position %.0f, %s (shared arrays do not grow: make a longer one by empty())",
                       describe_value(index), position, what)
  }
  abort_class("sharedmem_index_error", message, position = position, index = index, extent = extent, axis = axis)
}

abort_value <- function(message, position, value, dtype) {
  if (is.null(message))
    message <- sprintf("value %s at position %.0f does not fit dtype %s; nothing was written", describe_value(value), position, dtype)
  abort_class("sharedmem_value_error", message, position = position, value = value, dtype = dtype)
}
