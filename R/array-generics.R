# Generics of base R and its packages that take the values.

#' More functions for shared arrays
#'
#' These work on a shared array as on the ordinary R vector, matrix or array with the same values. Functions that R does not let a class
#' take over, such as `rowSums()`, `which.max()` or `lm.fit()`, take `x[]`, or `shared_view(x)`, which costs no copy.
#'
#' @param x,height,object a shared array.
#' @param y what stands on the other axis: a shared array or an ordinary vector, as in [plot()].
#' @param w weights, as in [weighted.mean()].
#' @param f,drop,logarithm,abbreviate,tz as in [split()], [determinant()], [weekdays()] and [as.POSIXct()].
#' @param ... further arguments of the function for ordinary vectors; of `cbind()` and `rbind()`: shared arrays, vectors and matrices (a
#'   data frame among them: write `x[]`).
#' @param deparse.level as in [cbind()].
#' @param value of `levels<-`: as many names as there are levels. The codes in the memory stay as they are, and so do the levels that other
#'   handles have.
#' @param name a name. Shared arrays have no components: `$` gives what a NumPy array has under that name (`shape`, `dtype`, `size`,
#'   `nbytes`, `ndim`, `T`), else an error.
#' @return What the function gives for the ordinary R object; `levels<-` a shared array over the same memory.
#' @examples
#' x <- copy(c(a = 1, b = 4))
#' cbind(x, 1:2)
#' diff(x)
#' cut(x, c(0, 2, 4))
#' @name shared_array-generics
NULL

# The arguments of a call of cbind() or rbind() as values, named as that function would name them.
bind_values <- function(exprs, values, deparse.level) {
  tags <- names(values)
  if (is.null(tags)) tags <- character(length(values))
  for (k in seq_along(values)) {
    e <- exprs[[k]]
    flat <- length(dim(values[[k]])) != 2L
    if (flat && !nzchar(tags[k]) && (is.symbol(e) && deparse.level > 0 || is.call(e) && deparse.level == 2)) {
      text <- deparse(e, width.cutoff = 500L)
      if (length(text) == 1L && (is.symbol(e) || nchar(text) <= 60L)) tags[k] <- text
    }
  }
  values <- lapply(values, plain)
  names(values) <- if (any(nzchar(tags))) tags
  values
}

# R does not hand deparse.level on to a method; it stands in the frame of cbind() itself.
deparse_level <- function(f, given, frame, k) if (called_by(f, k)) get("deparse.level", envir = frame) else given

#' @rdname shared_array-generics
#' @export
cbind.shared_array <- function(..., deparse.level = 1) {
  level <- deparse_level(base::cbind, deparse.level, parent.frame(), sys.nframe())
  do.call(base::cbind, c(bind_values(substitute(list(...))[-1L], list(...), level), deparse.level = 0), quote = TRUE)
}

#' @rdname shared_array-generics
#' @export
rbind.shared_array <- function(..., deparse.level = 1) {
  level <- deparse_level(base::rbind, deparse.level, parent.frame(), sys.nframe())
  do.call(base::rbind, c(bind_values(substitute(list(...))[-1L], list(...), level), deparse.level = 0), quote = TRUE)
}

#' @rdname shared_array-generics
#' @export
diff.shared_array <- function(x, ...) diff(plain(x), ...)

#' @rdname shared_array-generics
#' @export
cut.shared_array <- function(x, ...) cut(plain(x), ...)

#' @rdname shared_array-generics
#' @importFrom graphics image
#' @export
image.shared_array <- function(x, ...) {
  rest <- lapply(list(...), plain)
  do.call(graphics::image, c(list(plain(x)), rest), quote = TRUE)
}

#' @rdname shared_array-generics
#' @importFrom graphics boxplot
#' @export
boxplot.shared_array <- function(x, ...) do.call(graphics::boxplot, c(list(plain(x)), lapply(list(...), plain)), quote = TRUE)

#' @rdname shared_array-generics
#' @importFrom graphics barplot
#' @export
barplot.shared_array <- function(height, ...) graphics::barplot(plain(height), ...)

#' @rdname shared_array-generics
#' @importFrom graphics persp
#' @export
persp.shared_array <- function(x, ...) {
  rest <- lapply(list(...), plain)
  do.call(graphics::persp, c(list(plain(x)), rest), quote = TRUE)
}

#' @rdname shared_array-generics
#' @export
is.matrix.shared_array <- function(x) {
  go_on_with_values(x, sys.call(), sys.nframe())
  length(dim(x)) == 2L
}

#' @rdname shared_array-generics
#' @export
is.array.shared_array <- function(x) {
  for (f in c("rowSums", "colSums", "rowMeans", "colMeans"))
    if (called_by(get(f, envir = baseenv()), sys.nframe()))
      abort_argument("x", "a shared array", "an ordinary array",
                     advice = sprintf("write %s(x[]), or %s(shared_view(x)), which does not copy", f, f))
  go_on_with_values(x, sys.call(), sys.nframe())
  length(dim(x)) > 0L
}

#' @rdname shared_array-generics
#' @export
`levels<-.shared_array` <- function(x, value) {
  if (!is_shared(x)) return(NextMethod())
  meta <- array_meta(x)
  if (!"factor" %in% meta$class) abort_argument("x", sprintf("an array of dtype %s", dtype_code(x)), "a shared factor")
  n <- length(meta$levels)
  if (!is.character(value) || anyNA(value) || length(value) < n || anyDuplicated(value))
    abort_argument("value", describe_value(value), sprintf("at least %d different names", n),
                   advice = "levels that are joined or dropped change the codes: set them on x[]")
  reshape_handle(x, dim(x), set_meta(meta, "levels", value))
}

#' @rdname shared_array-generics
#' @export
`$.shared_array` <- function(x, name) {
  if (!is_shared(x)) return(NextMethod())
  switch(name, shape = .Call(ffi_array_shape, x), dtype = dtype(x), size = length(x), nbytes = nbytes(x),
         ndim = length(.Call(ffi_array_shape, x)), T = t(x), abort_component(name))
}

#' @rdname shared_array-generics
#' @export
`$<-.shared_array` <- function(x, name, value) abort_component(name)

abort_component <- function(name) {
  abort_argument("x", "a shared array", sprintf("a list to have a component `%s`", name),
                 advice = "elements are x[i] and x[[i]], by names x[\"a\"]; the shape is dim(x), the type dtype(x)")
}

#' @rdname shared_array-generics
#' @export
droplevels.shared_array <- function(x, ...) droplevels(plain(x), ...)

#' @rdname shared_array-generics
#' @export
units.shared_array <- function(x) units(plain(x))

# Other processes read the values that lie there in the units that their handles name.
#' @rdname shared_array-generics
#' @export
`units<-.shared_array` <- function(x, value) {
  if (!inherits(plain(x), "difftime")) return(`units<-`(plain(x), value)) # which is the error it is for any vector
  if (identical(as.character(value), units(x))) return(x)
  abort_class("sharedmem_value_error",
              sprintf("the units of a shared array stay %s: other processes read it in these; copy(`units<-`(x[], %s)) gives a new one",
                      units(x), describe_value(value)))
}

#' @rdname shared_array-generics
#' @export
weekdays.shared_array <- function(x, abbreviate = FALSE) weekdays(plain(x), abbreviate)

#' @rdname shared_array-generics
#' @export
months.shared_array <- function(x, abbreviate = FALSE) months(plain(x), abbreviate)

#' @rdname shared_array-generics
#' @export
quarters.shared_array <- function(x, abbreviate = FALSE) quarters(plain(x), abbreviate)

#' @rdname shared_array-generics
#' @export
julian.shared_array <- function(x, ...) julian(plain(x), ...)

#' @rdname shared_array-generics
#' @export
as.Date.shared_array <- function(x, ...) as.Date(shared_values(x), ...)

#' @rdname shared_array-generics
#' @export
as.POSIXct.shared_array <- function(x, tz = "", ...) {
  if (missing(tz)) as.POSIXct(shared_values(x), ...) else as.POSIXct(shared_values(x), tz = tz, ...)
}

#' @rdname shared_array-generics
#' @export
as.POSIXlt.shared_array <- function(x, tz = "", ...) {
  if (missing(tz)) as.POSIXlt(shared_values(x), ...) else as.POSIXlt(shared_values(x), tz = tz, ...)
}

#' @rdname shared_array-generics
#' @export
seq.shared_array <- function(...) do.call(seq, lapply(list(...), plain), quote = TRUE)

#' @rdname shared_array-generics
#' @export
split.shared_array <- function(x, f, drop = FALSE, ...) split(plain(x), plain(f), drop = drop, ...)

#' @rdname shared_array-generics
#' @export
subset.shared_array <- function(x, ...) subset(plain(x), ...)

#' @rdname shared_array-generics
#' @export
determinant.shared_array <- function(x, logarithm = TRUE, ...) determinant(plain(x), logarithm = logarithm, ...)

#' @rdname shared_array-generics
#' @export
isSymmetric.shared_array <- function(object, ...) isSymmetric(plain(object), ...)

#' @rdname shared_array-generics
#' @export
pretty.shared_array <- function(x, ...) pretty(plain(x), ...)

#' @rdname shared_array-generics
#' @importFrom stats lag
#' @export
lag.shared_array <- function(x, ...) stats::lag(plain(x), ...)

#' @rdname shared_array-generics
#' @importFrom stats na.omit
#' @export
na.omit.shared_array <- function(object, ...) stats::na.omit(plain(object), ...)

#' @rdname shared_array-generics
#' @importFrom stats weighted.mean
#' @export
weighted.mean.shared_array <- function(x, w, ...) {
  if (missing(w)) stats::weighted.mean(plain(x), ...) else stats::weighted.mean(plain(x), plain(w), ...)
}

#' @rdname shared_array-generics
#' @importFrom graphics hist
#' @export
hist.shared_array <- function(x, ...) under_own_names(graphics::hist, list(x = substitute(x)), list(plain(x)))(...)

#' @rdname shared_array-generics
#' @export
plot.shared_array <- function(x, y, ...) {
  if (missing(y)) under_own_names(plot, list(x = substitute(x)), list(plain(x)))(...)
  else under_own_names(plot, list(x = substitute(x), y = substitute(y)), list(plain(x), plain(y)))(...)
}

# The function of `...` that calls f with the values, which stand under what the caller wrote for them: titles and axes show that.
under_own_names <- function(f, written, values) {
  label <- function(expr, name) if (is_shared(expr)) name else substr(deparse1(expr), 1L, 500L) # do.call() hands over the value
  names(values) <- mapply(label, written, names(written))
  symbols <- lapply(names(values), as.name)
  names(symbols) <- names(written)
  drawing <- function(...) NULL
  body(drawing) <- as.call(c(list(f), symbols, quote(...)))
  environment(drawing) <- list2env(values, parent = baseenv())
  drawing
}

#' @rdname shared_array-generics
#' @importFrom stats reorder relevel
#' @export
reorder.shared_array <- function(x, ...) stats::reorder(plain(x), ...)

#' @rdname shared_array-generics
#' @export
relevel.shared_array <- function(x, ...) stats::relevel(plain(x), ...)

# model.frame() asks this of each variable before it takes their bytes; `call` is the answer for any ordinary variable without a method.
#' @importFrom stats makepredictcall
#' @export
makepredictcall.shared_array <- function(var, call) {
  frame <- parent.frame()
  if (package_of(frame) == "stats" && is.list(frame$variables)) frame$variables <- lapply(frame$variables, plain)
  stats::makepredictcall(plain(var), call)
}
