# Order, duplicates and rearrangement: on the values, giving ordinary R objects.

#' Order and rearrange shared arrays
#'
#' These work on a shared array as on the R vector, matrix or array with the same values, and give ordinary R objects.
#'
#' @param x,a,target a shared array.
#' @param decreasing logical: largest first.
#' @param incomparables as in [unique()].
#' @param center,scale as in [scale()].
#' @param perm as in [aperm()].
#' @param current an R object or shared array.
#' @param ... further arguments of the function for ordinary vectors.
#' @return What the function gives for the ordinary R object with the same values.
#' @seealso `argsort()`, `searchsorted()` for large arrays.
#' @examples
#' x <- empty(4)
#' x[] <- c(3, 1, 4, 1)
#' sort(x)
#' order(x)
#' unique(x)
#' @name shared_array-order
NULL

#' @rdname shared_array-order
#' @export
rev.shared_array <- function(x) rev(shared_values(x))

#' @rdname shared_array-order
#' @export
sort.shared_array <- function(x, decreasing = FALSE, ...) sort(shared_values(x), decreasing = decreasing, ...)

#' @rdname shared_array-order
#' @export
xtfrm.shared_array <- function(x) {
  if (dtype_code(x) == "i8") return(int64_key(.Call(ffi_index_get_all, x, TRUE, TRUE)))
  value <- shared_values(x)
  if (is.character(value) && radix_asked(sys.nframe())) match(value, sort(unique(value), method = "radix")) else xtfrm(value)
}

# Is the method in frame k asked by an order(method = "radix"), which sorts text as the C locale has it?
radix_asked <- function(k) base::identical(caller_frame(k, base::order, 3L)$method, "radix")

# What match() and `%in%` compare: of dates and times R has text before 4.6 and numbers since.
#' @rawNamespace S3method(mtfrm, shared_array)
#' @noRd
mtfrm.shared_array <- function(x) {
  value <- plain(x)
  if (!is.object(value)) value
  else if (inherits(value, "Date") && !is.null(texts <- texts_beside(sys.nframe()))) date_texts(value, texts)
  else base::mtfrm(value)
}

# Texts that the function which asks the method in frame k compares with: match() or what its compiled code is a part of. NULL if none are.
texts_beside <- function(k) {
  f <- caller_among(list(base::match, base::`%in%`, base::is.element), k)
  if (is.null(f)) return(NULL)
  sides <- lapply(mget(names(formals(f))[1:2], sys.frame(sys.parents()[k])), plain)
  Filter(is.character, sides)[1L][[1L]]
}

# The current R takes text beside dates for dates; to the one before, each is what mtfrm() makes of it. As text, a date is what the other
# side writes it as.
date_texts <- function(dates, texts) {
  if (is.na(match("1970-01-02", .Date(1)))) return(base::mtfrm(dates))
  at <- match(as.numeric(dates), as.numeric(as.Date(texts, "%Y-%m-%d")))
  ifelse(is.na(at) | is.na(dates) & anyNA(texts), as.character(dates), texts[at])
}

# bit64 makes generics of these and hands other classes to base R's.
#' @exportS3Method bit64::order
order.shared_array <- function(..., na.last = TRUE, decreasing = FALSE) base::order(..., na.last = na.last, decreasing = decreasing)

#' @exportS3Method bit64::rank
rank.shared_array <- function(x, ...) rank_values(plain(x), ...)

#' @exportS3Method bit64::match
match.shared_array <- function(x, table, ...) bit64::match(plain(x), plain(table), ...)

#' @rawNamespace S3method(bit64::`%in%`, shared_array, in_values)
#' @noRd
in_values <- function(x, table) bit64::`%in%`(plain(x), plain(table))

# The method of bit64 knows no further arguments, and gives NA the rank NA.
rank_values <- function(x, ...) {
  if (!inherits(x, "integer64")) base::rank(x, ...) else if (...length()) base::rank(int64_key(x), ...) else bit64::rank(x)
}

#' @rdname shared_array-order
#' @export
unique.shared_array <- function(x, incomparables = FALSE, ...) unique(plain(x), incomparables = incomparables, ...)

#' @rdname shared_array-order
#' @export
duplicated.shared_array <- function(x, incomparables = FALSE, ...) duplicated(plain(x), incomparables = incomparables, ...)

#' @rdname shared_array-order
#' @export
anyDuplicated.shared_array <- function(x, incomparables = FALSE, ...) anyDuplicated(plain(x), incomparables = incomparables, ...)

#' @rdname shared_array-order
#' @export
t.shared_array <- function(x) t(plain(x))

#' @rdname shared_array-order
#' @export
aperm.shared_array <- function(a, perm = NULL, ...) aperm(plain(a), perm = perm, ...)

#' @rdname shared_array-order
#' @export
scale.shared_array <- function(x, center = TRUE, scale = TRUE) scale(plain(x), center = plain(center), scale = plain(scale))

#' @rdname shared_array-order
#' @method all.equal shared_array
#' @export
all.equal.shared_array <- function(target, current, ...) all.equal(plain(target), plain(current), ...)

#' @rdname shared_array-order
#' @param n integer: how many, as in [head()].
#' @importFrom utils head tail
#' @export
head.shared_array <- function(x, n = 6L, ...) {
  if (is.null(dim(x))) NextMethod() else utils::head.matrix(x, n = n, ...)
}

#' @rdname shared_array-order
#' @export
tail.shared_array <- function(x, n = 6L, ...) {
  if (is.null(dim(x))) NextMethod() else utils::tail.matrix(x, n = n, ...)
}
