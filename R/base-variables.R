# Functions of base R that ask of what kind their argument is. Their is.character(), is.factor(), is.logical() are no generics and say
# FALSE of every handle, so that such a function would take the wrong branch: codes for a factor, unquoted text. But it asks something
# that dispatches, too. There its own variable is given the values, and it goes on as with an ordinary vector.

value_packages <- c("base", "stats", "utils", "graphics", "grDevices")

# For a method of x, called as f(variable): the variable of the calling function, if that is one of these, becomes the values.
# k: the method's frame. A replacement function (`$<-.data.frame`) keeps the handle.
go_on_with_values <- function(x, call, k) {
  at <- sys.parents()[k]
  if (at == 0L || length(call) < 2L || !is.symbol(expr <- call[[2L]])) return()
  frame <- sys.frame(at)
  f <- sys.function(at)
  if (!package_of(frame) %in% value_packages || !package_of(environment(f)) %in% value_packages) return() # eval() runs in any frame
  called <- sys.call(at)[[1L]]
  if (is.symbol(called) && grepl("<-", called, fixed = TRUE)) return()
  name <- as.character(expr)
  if (!is_shared(get0(name, frame, inherits = FALSE))) return()
  rebind(name, plain(x), frame)
  others_with_it(f, frame, at)
}

# A promise stays one, with its expression, which substitute() may be asked for.
rebind <- function(name, value, frame) {
  written <- eval(call("substitute", as.name(name)), frame)
  if (!is.symbol(written) && !(is.call(written) && is.symbol(written[[1L]]))) return(assign(name, value, frame))
  there <- new.env(parent = emptyenv())
  if (is.symbol(written)) assign(as.character(written), value, there)
  else assign(as.character(written[[1L]]), function(...) value, there)
  eval(call("delayedAssign", name, written, there, frame), baseenv())
}

# Columns beside the one that was asked of, and what was found out of it before.
others_with_it <- function(f, frame, k) {
  if (identical(f, base::as.matrix.data.frame)) {
    frame$X <- lapply(frame$X, plain)
    frame$j.logic <- is.logical(frame$xj)
    frame$all.logical <- all(vapply(frame$X[seq_len(frame$j)], is.logical, NA))
  } else if (identical(f, base::rbind.data.frame)) {
    frame$value <- lapply(frame$value, plain)
    frame$allargs <- lapply(frame$allargs, unshare)
  } else if (identical(f, base::data.matrix)) {
    frame$frame <- plain_columns(frame$frame)
  } else if (identical(f, stats::.MFclass)) {
    model_variables(sys.parents()[k])
  }
}

# model.frame() asks for the class of each variable when it has been made, by vapply(). For new data of predict() that is all it asks, and
# comes after rows were counted and levels compared.
model_variables <- function(k) {
  at <- if (k > 0L) sys.parents()[k] else 0L
  if (at == 0L || !identical(sys.function(at), stats::model.frame.default)) return()
  model <- sys.frame(at)
  late <- function(name) is_shared(v <- model$data[[name]]) && (name %in% names(model$xlev) || !is.null(dim(v)))
  for (name in Filter(late, names(model$data)))
    abort_argument("newdata", sprintf("with the column `%s` in shared memory", name),
                   "a data frame whose factors, text and matrices are ordinary columns", advice = "hand over unshare(newdata)")
  model$data <- plain_columns(model$data)
}

# From R 4.3 on union(), intersect() and setdiff() keep a class that both sides have. They ask for it by a function of their own, which
# looks at dims first: it and its caller go on with values.
set_operand <- function(x, call, k) {
  if (!called_by(get0(".set_ops_need_as_vector", baseenv()), k)) return()
  at <- sys.parents()[k]
  above <- sys.parents()[at]
  if (above == 0L || !identical(environment(sys.function(above)), .BaseNamespaceEnv)) return()
  for (i in c(at, above)) assign(as.character(call[[2L]]), plain(x), sys.frame(i))
}

# is.raw() is TRUE of every handle. What makes hexadecimal digits of bytes then, as jsonlite does with columns of a data frame, would make
# them of numbers and dates. It asks for missing values first. k: the frame of the method.
refuse_as_bytes <- function(k) {
  if (!is.null(caller_among(list(base::format.hexmode, base::format.octmode, base::as.character.hexmode, base::as.character.octmode), k)))
    abort_argument("x", "a shared array", "an ordinary vector", advice = "hand over x[], or unshare(data) of a data frame or list")
}

plain_columns <- function(data) {
  for (i in seq_along(data)) if (is_shared(data[[i]])) data[[i]] <- plain(data[[i]])
  data
}

tests_text <- function(k) {
  at <- sys.parents()[k]
  at > 0L && package_of(sys.frame(at)) %in% value_packages && "is.character" %in% all.names(body(sys.function(at)))
}

# write.table() has chosen the columns that it quotes by is.character() and is.factor(), and makes text of x then: by lapply() over a
# function of its own, from R 4.6 on by lapply() over as.character().
quote_column <- function(k, x) {
  frame <- caller_frame(k, utils::write.table, 3L)
  if (isTRUE(frame$qset)) frame$quote <- union(frame$quote, which(vapply(frame$x, quoted, NA)))
}

# The nearest of the frames that called frame k, at most so many calls away, that is one of function f; NULL if none is.
caller_frame <- function(k, f, most) {
  up <- sys.parents()
  for (i in seq_len(most)) {
    k <- up[k]
    if (k == 0L) return(NULL)
    if (identical(sys.function(k), f)) return(sys.frame(k))
  }
}

quoted <- function(column) {
  if (!is_shared(column)) return(is.character(column) || is.factor(column))
  startsWith(dtype_code(column), "S") || "factor" %in% array_meta(column)$class
}

# names(x) is asked by functions that may be changed in the same way. Not NULL: the answer.
names_asked <- function(x, k) {
  at <- sys.parents()[k]
  if (at == 0L) return(NULL)
  f <- sys.function(at)
  frame <- sys.frame(at)
  if (identical(f, base::factor)) factor_of(x, frame, at)
  else if (identical(f, base::attr.all.equal)) compare_values(x, frame, at)
  else if (identical(f, base::mapply) && frame$USE.NAMES && startsWith(dtype_code(x), "S") && is.null(array_meta(x)$names))
    return(as.vector(shared_values(x))) # by which it names what it makes of a character vector
  NULL
}

# factor(x) drops levels that do not occur; what calls it for whatever is no factor leaves those of a factor as they are.
factor_of <- function(x, frame, k) {
  frame$x <- shared_values(x)
  keeps <- !is.null(caller_among(list(base::as.factor, base::table, base::addNA), k)) ||
    is.ordered(frame$x) && called_by(base::ordered, k) && called_by(base::as.ordered, sys.parents()[k])
  if (is.factor(frame$x) && keeps) frame$levels <- levels(frame$x)
}

# all.equal(target, x): attr.all.equal() has compared modes and attributes of a handle so far.
compare_values <- function(x, frame, k) {
  if (!is_shared(frame$current)) return()
  frame$current <- plain(x)
  frame$ay <- attributes(frame$current)
  frame$msg <- c(if (mode(frame$target) != mode(frame$current)) paste0("Modes: ", mode(frame$target), ", ", mode(frame$current)),
                 if (length(frame$target) != length(x)) paste0("Lengths: ", length(frame$target), ", ", length(x)))
  above <- sys.frame(sys.parents()[k])
  if (package_of(above) == "base" && is_shared(get0("current", above, inherits = FALSE))) above$current <- frame$current
}
