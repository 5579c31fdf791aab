#' Variables of a parallel region
#'
#' `Shared()`, `Private()` and `Reduction()` name the variables of a region and give their values; they are arguments of
#' [Parallel()]. The variables are then read and assigned as `p$var$<name>`, before, inside and after `with(p, { ... })`.
#'
#' - **Shared**: one value for all processes, in shared memory. A single value reads as an ordinary R value; a longer
#'   one, a matrix or array reads as the shared array itself, so that `p$var$a[i] <- v` writes those elements and no others,
#'   and `p$var$a[]` is a copy. A data frame or list has its columns shared. Assigning `p$var$a <- v` writes all of
#'   it: `v` must have the same length and fit its type. Reading and writing are not guarded: use
#'   `p$critical()` or barriers where processes depend on each other.
#' - **Private**: every process has its own, which starts at the given value and ends with the region
#'   (OpenMP's `firstprivate`).
#' - **Reduction**: inside the region every process has its own, which starts at the identity of `op`. After it the
#'   given value and those of all ranks are combined with `op`, in the order of the ranks, so that the same
#'   contributions give the same result to the last bit.
#'
#' The identities are 0 for `"+"`, 1 for `"*"`, `TRUE` for `"&"`, `FALSE` for `"|"`, and for `"min"` and `"max"` the largest and smallest
#' value of the type; vectors and arrays keep their shape, and `"min"` and `"max"` work element by element. For another function
#' `identity` is the starting value; where it is not given, the variable starts as `NULL`, and a process that leaves it `NULL`
#' adds nothing.
#'
#' A region that is run again combines with the value it left, as in OpenMP. One that fails leaves private variables and reductions
#' as they were before.
#'
#' @param ... Variables, by name. `Shared`: atomic vectors, arrays, data frames, or shared arrays (which are
#'   used as they are). `Private`: any R values. `Reduction`: numbers, vectors or arrays; any R values if `op` is a function.
#' @param op The first argument without a name, unless it is given by its whole name. The operation: `"+"`, `"*"`, `"min"`, `"max"`, `"&"`,
#'   `"|"` (`"&&"` and `"||"`, as OpenMP has them, are the same), the function of that name, or any function of two values. It should be
#'   associative.
#' @param identity The starting value for a function that is not one of these.
#' @return A clause for [Parallel()]. Bad arguments give an error of class `sharedmem_argument_error`.
#' @source `Shared`, `Private` and `Reduction` of the Python package's 0.2 line (where reductions start at the given
#'   value in every process); the clauses `shared`, `firstprivate` and `reduction` of OpenMP.
#' @seealso [Parallel()]
#' @examples
#' p <- Parallel(Shared(a = matrix(0, 2, 2)), Private(k = 10),
#'               Reduction("max", top = -1), Reduction(c, ranks = NULL), num_threads = 2)
#' with(p, {
#'   p$var$k <- p$var$k + p$rank
#'   p$var$a[p$rank + 1, ] <- p$var$k
#'   p$var$top <- max(p$var$top, p$var$k)
#'   p$var$ranks <- p$rank
#' })
#' p$var$a[]
#' p$var$top
#' p$var$ranks
#' @export
Shared <- function(...) {
  values <- check_variables(list(...))
  new_clause("shared", lapply(values, share_variable))
}

#' @rdname Shared
#' @export
Private <- function(...) new_clause("private", check_variables(list(...)))

#' @rdname Shared
#' @export
Reduction <- function(..., op, identity = NULL) {
  # R matches names behind `...` whole, so that a variable may have the beginning of one as its name
  if (missing(op)) new_reduction(..., `<bare>` = missing(identity), `<identity>` = identity)
  else new_reduction(`<op>` = op, ..., `<bare>` = missing(identity), `<identity>` = identity)
}

new_reduction <- function(`<op>`, ..., `<bare>`, `<identity>`) {
  if (missing(`<op>`)) abort_argument("op", "missing", "an operation or a function")
  op <- check_operation(`<op>`, `<bare>`)
  identity <- `<identity>`
  values <- check_variables(list(...))
  new_clause("reduction", values, op, identity)
}

new_clause <- function(kind, values, op = NULL, identity = NULL)
  structure(list(kind = kind, values = values, op = op, identity = identity), class = "sharedmem_clause")

check_variables <- function(values) {
  names <- names(values)
  if (length(values) && (is.null(names) || any(is.na(names) | names == "")))
    abort_argument("...", "a value without a name", "variables by name")
  values
}

share_variable <- function(value) {
  if (is_shared(value)) return(value)
  if (!is.list(value) && (!is.atomic(value) || is.null(value)))
    abort_argument("...", describe_value(value), "atomic vectors, arrays, data frames or shared arrays")
  copy(value)
}

#' @export
print.sharedmem_clause <- function(x, ...) {
  op <- if (!is.null(x$op)) paste0("(", x$op$name, ")") else ""
  cat(sprintf("<%s%s: %s>\n", x$kind, op, paste(names(x$values), collapse = ", ")))
  invisible(x)
}

# ---- operations ----

largest_of <- function(x) if (is.integer(x) || is.logical(x)) .Machine$integer.max else Inf

operations <- list(
  "+" = list(combine = `+`, identity = function(x) 0L),
  "*" = list(combine = `*`, identity = function(x) 1L),
  "min" = list(combine = function(a, b) keep_shape(pmin(a, b), a), identity = largest_of),
  "max" = list(combine = function(a, b) keep_shape(pmax(a, b), a), identity = function(x) -largest_of(x)),
  "&" = list(combine = `&`, identity = function(x) TRUE),
  "|" = list(combine = `|`, identity = function(x) FALSE))

keep_shape <- function(x, like) {
  attributes(x) <- attributes(like)
  x
}

check_operation <- function(op, no_identity) {
  if (is.function(op))
    for (name in c(names(operations), "&&", "||")) if (identical(op, get(name, baseenv()))) op <- name
  if (identical(op, "&&") || identical(op, "||")) op <- substr(op, 1L, 1L) # what C and OpenMP call them
  if (is.character(op) && length(op) == 1L && op %in% names(operations)) {
    if (!no_identity) abort_argument("identity", "given", sprintf("left out for \"%s\"", op))
    return(list(name = op, combine = operations[[op]]$combine, identity = operations[[op]]$identity))
  }
  if (!is.function(op))
    abort_argument("op", describe_value(op), "one of \"+\", \"*\", \"min\", \"max\", \"&\", \"|\", or a function of two values")
  list(name = "function", combine = op)
}

# The value a reduction starts from in every process.
reduction_start <- function(clause, value) {
  if (is.null(clause$op$identity)) return(clause$identity)
  if (!is.numeric(value) && !is.logical(value) && !(is.complex(value) && clause$op$name %in% c("+", "*")))
    abort_argument("...", describe_value(value), sprintf("numbers for the reduction \"%s\"", clause$op$name))
  start <- value
  start[] <- clause$op$identity(value)
  start
}

# ---- p$var ----

abort_clause <- function(name, value) {
  name <- if (is.null(name)) "" else name
  count <- if (!nzchar(name)) is.numeric(value) else name == "np" || identical(unname(option_aliases[name]), "np")
  advice <- if (count) sprintf("the number of processes is Parallel(num_threads = %s)", describe_value(value))
            else if (nzchar(name)) sprintf("a variable is given in a clause, as in Shared(%s = 0)", name)
            else "Parallel(Shared(a = 0), Reduction(\"+\", b = 0), num_threads = 2)"
  abort_argument(if (nzchar(name)) name else "...", describe_value(value), "Shared(), Private() or Reduction()", advice = advice)
}

new_variables <- function(clauses) {
  v <- new.env(parent = emptyenv())
  v$clause <- list()                       # by variable: the clause it came in
  v$shared <- new.env(parent = emptyenv()) # by variable: the shared array, or list of them
  v$single <- new.env(parent = emptyenv()) # those of them that read as a plain value
  v$value <- new.env(parent = emptyenv())  # by variable: this process's private values and reductions
  v$given <- NULL                          # while a region runs: those values as they were before
  for (k in seq_along(clauses)) {
    clause <- clauses[[k]]
    if (!inherits(clause, "sharedmem_clause")) abort_clause(names(clauses)[k], clause)
    twice <- c(intersect(names(clause$values), names(v$clause)), names(clause$values)[duplicated(names(clause$values))])
    if (length(twice)) abort_argument("...", sprintf("`%s` twice", twice[1L]), "variables of different names")
    for (name in names(clause$values)) {
      v$clause[[name]] <- clause
      if (clause$kind == "shared") {
        x <- clause$values[[name]]
        assign(name, x, envir = v$shared)
        if (is_shared(x) && length(x) == 1L && is.null(dim(x))) assign(name, x, envir = v$single)
      } else {
        if (clause$kind == "reduction") reduction_start(clause, clause$values[[name]])
        assign(name, clause$values[[name]], envir = v$value)
      }
    }
  }
  lockEnvironment(v)
  structure(v, class = "sharedmem_variables")
}

# Values come first, since a loop reads them often; NULL is a value too.
read_variable <- function(v, name) {
  value <- .subset2(.subset2(v, "value"), name)
  if (!is.null(value)) return(value)
  single <- .subset2(.subset2(v, "single"), name)
  if (!is.null(single)) return(single[])
  shared <- .subset2(.subset2(v, "shared"), name)
  if (is.null(shared)) clause_of(v, name)
  shared
}

write_variable <- function(v, name, value) {
  shared <- .subset2(.subset2(v, "shared"), name)
  if (is.null(shared)) {
    if (is.null(.subset2(.subset2(v, "value"), name))) clause_of(v, name)
    assign(name, value, envir = .subset2(v, "value"))
  } else if (!base::identical(shared, value)) write_shared(shared, name, value)
  v
}

# A list or data frame is written on arrays that nobody sees first, so that either all of its parts are written, or none.
write_shared <- function(x, name, value) {
  if (!is_shared(x)) write_into(empty_like, x, name, value)
  write_into(base::identity, x, name, value)
}

write_into <- function(target, x, name, value) {
  if (is_shared(x)) {
    if (length(value) != length(x))
      abort_argument(name, describe_value(value), sprintf("of length %.0f, like the shared variable", length(x)))
    to <- target(x)
    to[] <- if (is_shared(value)) value[] else value
    return()
  }
  if (!is.list(x) || !is.list(value) || !base::identical(names(x), names(value)) || length(unclass(x)) != length(unclass(value)))
    abort_argument(name, describe_value(value), if (!is.list(x)) "what it was" else
      sprintf("%s with the elements %s", if (is.data.frame(x)) "a data frame" else "a list", toString(names(x), 60)))
  for (k in seq_along(unclass(x)))
    if (!base::identical(.subset2(x, k), .subset2(value, k)))
      write_into(target, .subset2(x, k), sprintf("%s$%s", name, if (is.null(names(x))) k else names(x)[k]), .subset2(value, k))
}

clause_of <- function(v, name) {
  clause <- .subset2(v, "clause")[[name]]
  if (is.null(clause))
    abort_class("sharedmem_argument_error",
                sprintf("the region has no variable `%s`: name it in a clause of Parallel(), as in Shared(%s = 0); it has %s", name, name,
                        if (length(.subset2(v, "clause"))) paste(names(.subset2(v, "clause")), collapse = ", ") else "none"),
                arg = name, got = "no variable", expected = "a variable of a clause")
  clause
}

#' @export
`$.sharedmem_variables` <- function(x, name) read_variable(x, name)

#' @export
`[[.sharedmem_variables` <- function(x, i) read_variable(x, i)

#' @export
`$<-.sharedmem_variables` <- function(x, name, value) write_variable(x, name, value)

#' @export
`[[<-.sharedmem_variables` <- function(x, i, value) write_variable(x, i, value)

#' @export
names.sharedmem_variables <- function(x) names(.subset2(x, "clause"))

#' @export
print.sharedmem_variables <- function(x, ...) {
  clauses <- .subset2(x, "clause")
  kind <- vapply(clauses, function(cl) paste0(cl$kind, if (!is.null(cl$op)) sprintf("(%s)", cl$op$name)), "")
  for (k in unique(kind)) cat(sprintf("%s: %s\n", k, paste(names(clauses)[kind == k], collapse = ", ")))
  if (!length(clauses)) cat("no variables\n")
  invisible(x)
}

# A region begins: private variables and reductions have their starting values, which members inherit.
variables_begin <- function(v) {
  clauses <- .subset2(v, "clause")
  value <- .subset2(v, "value")
  given <- as.list(value, all.names = TRUE)
  assign("given", given, envir = v)
  for (name in names(given))
    if (clauses[[name]]$kind == "reduction")
      assign(name, reduction_start(clauses[[name]], given[[name]]), envir = value)
}

# What this process adds to the reductions.
variables_partial <- function(v) {
  clauses <- .subset2(v, "clause")
  names <- names(clauses)[vapply(clauses, function(cl) cl$kind == "reduction", NA)]
  mget(as.character(names), envir = .subset2(v, "value"))
}

# The region has ended well. partials: of ranks 1, 2, …; rank 0's are here.
variables_combine <- function(v, partials) {
  clauses <- .subset2(v, "clause")
  given <- .subset2(v, "given")
  partials <- c(list(variables_partial(v)), partials)
  for (name in names(partials[[1L]])) {
    op <- clauses[[name]]$op
    total <- given[[name]]
    for (part in partials) {
      x <- part[[name]]
      if (is.null(x) && is.null(op$identity)) next
      total <- if (is.null(total) && is.null(op$identity)) x else op$combine(total, x)
    }
    given[name] <- list(total)
  }
  assign("given", given, envir = v)
}

# The region is over, well or not.
variables_end <- function(v) {
  given <- .subset2(v, "given")
  for (name in names(given)) assign(name, given[[name]], envir = .subset2(v, "value"))
  assign("given", NULL, envir = v)
}
