# print(), str() and format(): what a handle is, and its first values. Only what is shown is read.

#' Print a shared array
#'
#' Shows dtype, shape, bytes and the first values. Only what is shown is read, so it is quick for any length.
#'
#' @param x,object a shared array.
#' @param n number: how many values of a vector are shown at most; of a matrix, how many rows.
#' @param ... further arguments of [print()] or [format()] for the values.
#' @return `print()`: `x`, invisibly. `format()`: a character vector or array of all values. `str()`: `NULL`, invisibly.
#' @examples
#' x <- empty(c(1000, 50))
#' x
#' str(x)
#' @name shared_array-print
NULL

shape_text <- function(x) {
  d <- dim(x)
  if (!is.null(d)) paste(format_whole(d), collapse = " x ")
  else if (identical(.Call(ffi_array_about, x)$ndim, 0L)) "scalar"
  else format_whole(length(x))
}

format_whole <- function(n) sprintf("%.0f", n)

# Long strings are cut: an S<n> may be wider than any terminal.
shorten <- function(v) {
  if (is.character(v) && any(nchar(v, "bytes") > 60L, na.rm = TRUE)) {
    long <- !is.na(v) & nchar(v, "bytes") > 60L
    v[long] <- paste0(cut_text(v[long], 57L), "...")
  }
  v
}

#' @rdname shared_array-print
#' @export
print.shared_array <- function(x, n = if (length(dim(x)) == 2L) 10L else 20L, ...) {
  if (!is_shared(x)) return(print(ordinary(x), ...))
  about <- .Call(ffi_array_about, x)
  cls <- array_meta(x)$class
  cat(sprintf("<shared_array %s [%s], %s%s%s>\n", about$dtype, shape_text(x), format_bytes(about$nbytes),
              if (length(cls)) paste0(", ", cls[1L]) else "", if (about$readonly) ", read-only" else ""))
  d <- dim(x)
  if (length(x) == 0L) return(invisible(x))
  if (length(d) == 2L) print_corner(x, d, n, ...)
  else print_first(x, n, ...)
  invisible(x)
}

print_corner <- function(x, d, n, ...) {
  rows <- min(d[1L], max(1L, n))
  cols <- min(d[2L], 8L)
  print(shorten(x[seq_len(rows), seq_len(cols), drop = FALSE]), ...)
  more <- c(if (rows < d[1L]) sprintf("%s more rows", format_whole(d[1L] - rows)),
            if (cols < d[2L]) sprintf("%s more columns", format_whole(d[2L] - cols)))
  if (length(more)) cat("# ", paste(more, collapse = ", "), "\n", sep = "")
}

print_first <- function(x, n, ...) {
  shown <- min(length(x), max(1L, n))
  if (shown == length(x)) {
    print(shorten(x[]), ...)
  } else {
    value <- x[seq_len(shown)]
    dim(value) <- NULL
    print(shorten(value), ...)
    cat(sprintf("# %s more values\n", format_whole(length(x) - shown)))
  }
}

#' @rdname shared_array-print
#' @export
format.shared_array <- function(x, ...) format(shared_values(x), ...)

#' @rdname shared_array-print
#' @importFrom utils str
#' @export
str.shared_array <- function(object, ...) {
  if (!is_shared(object)) return(str(ordinary(object), ...))
  about <- .Call(ffi_array_about, object)
  shown <- min(length(object), 10)
  value <- if (shown) shorten(object[seq_len(shown)])
  dim(value) <- names(value) <- NULL
  text <- if (is.character(value)) encodeString(value, quote = "\"", na.encode = TRUE)
          else if (is.factor(value)) as.character(value) else vapply(as.list(value), format, "", digits = 3L)
  cat(sprintf(" 'shared_array' %s [%s] %s%s\n", about$dtype, shape_text(object), paste(text, collapse = " "),
              if (shown < length(object)) " ..." else ""))
  invisible(NULL)
}
