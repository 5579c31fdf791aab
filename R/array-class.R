# R classes whose values lie in shared memory as codes or numbers: factor, Date, POSIXct, difftime, integer64.
# Their attributes travel with the handle (see r_array.h), and are put on what is read.

#' Shared arrays
#'
#' A shared array is a vector, matrix or array whose elements lie in memory that the session, its workers and all processes forked later
#' see. [empty()], [full()], [copy()], [memmap()], [fromfile()] and [read_npy()] make one.
#'
#' `x[i]` reads and `x[i] <- v` writes the memory itself, so a function that is given `x` can fill it for its caller, and a worker can fill
#' it for the session. Class, names and other attributes have R's value semantics: what a function does to those of its argument leaves
#' the caller's as they were.
#'
#' @section What shares and what copies:
#' | shares the memory | copies the values |
#' | --- | --- |
#' | `y <- x`, arguments of functions, variables that a closure sees | `x[]`, `x[i]`, `unshare(x)`, `copy(x)` |
#' | columns of a list or data frame | arithmetic, summaries, `as.vector(x)` and its like |
#' | `dim(x) <- d`, `names(x) <- n`, other attributes | results of functions that do not know of shared arrays |
#' | `shared_view(x)`, which is read-only | `saveRDS(x)`, `save(x)` |
#' | a handle that a worker returns, or `serialize()` | `serialize()` with `options(sharedmem.serialize = "values")` |
#'
#' @section What works on one:
#' Indexing of every kind, arithmetic, comparison, `sum()`, `mean()`, `range()`, `sort()`, `order()`, `apply()`, `lapply()`, `summary()`,
#' `print()`, `cbind()`, formulas, and many more: see [shared_array-index], [shared_array-arithmetic], [shared_array-summary],
#' [shared_array-order], [shared_array-generics], [shared_array-convert]. What they give is an ordinary R object.
#'
#' R does not let a class take over everything. An ordinary vector takes values: `m[, 1] <- x[]`; with `x` itself R says "incompatible
#' types (from raw to double)". `for (i in x)`, `if (x)` and C code of other packages raise `sharedmem_elements_error`;
#' `which()`, `rowSums()`, `lm.fit()` and their like want an ordinary vector. Give them `x[]`, which copies, or `shared_view(x)`, which
#' does not. `isTRUE(x)` and `is.vector(x)` are `FALSE` whatever the values. What looks at the type of each column itself takes shared ones
#' for raw vectors, or for text: give `unshare(df)` to packages that write a data frame (`RSQLite`, `readr`, `openxlsx`, `jsonlite`).
#' Without its class (`unclass(x)`, `.Date(x)`, `attributes(x) <- NULL`) a handle is a raw vector to R: `is.na()` finds nothing in it.
#'
#' @section Who writes:
#' `x[i] <- v` writes into the memory in your own code and in packages that know of shared arrays. In a function of any other package, base
#' R's `replace(x, 1, 0)` or `pmax(x, 0)` among them, it works on a copy, and `x` stays as it was. [set_shared()] has the rule.
#'
#' `attributes(x)` shows the class of the handle alone, and what is set there beside names, dims and the attributes of a class (`levels`,
#' `units`, `tzone`) stays with the handle: what the values have is `attributes(x[])`, `names(x)`, `dim(x)`, `dimnames(x)`, `levels(x)`.
#' R keeps attributes of a vector where no class can answer for them.
#'
#' @section Its life:
#' The memory returns to the system when the last handle in the last process is gone. Its name is in no directory, so nothing
#' stays behind after `kill -9`. A handle that is sent to another process of the machine attaches there while the array is alive;
#' `saveRDS()` and `save()` keep the values. A handle whose memory is gone raises `sharedmem_unattached_error` wherever it is used.
#'
#' @source The arrays of the Python package `sharedmem`, which are NumPy's.
#' @seealso [is_shared()], [dtype()], [unshare()]; `vignette("reference-semantics", "sharedmem")`
#' @examples
#' x <- empty(c(2, 3))
#' fill <- function(a) a[2, ] <- 1:3    # nothing is returned
#' fill(x)
#' x
#' x[]
#' y <- x                               # the same memory
#' y[1, 1] <- 10
#' x[1, 1]
#' @name shared_array
NULL

# All values with all attributes, as x[].
shared_values <- function(x) .Call(ffi_index_get_all, x, FALSE, FALSE)

# What `z[] <- value` leaves in complex numbers.
complex_assigned <- function(value) {
  z <- complex(length(value))
  z[] <- value
  z
}

# table() makes its factors with warnings as errors, and an error there would leave the session's option so.
warn_lossy <- function(unused) {
  if (list(base::table) %in% lapply(seq_len(sys.nframe()), sys.function)) return(invisible())
  warn_class("sharedmem_value_warning", "i8 values past 2^53 lose digits as double; as.integer64() keeps them")
}

# All values without attributes.
bare_values <- function(x) .Call(ffi_index_get_all, x, TRUE, FALSE)

dtype_code <- function(x) if (is_shared(x)) .Call(ffi_array_dtype, x) else dtype(ordinary(x))

array_meta <- function(x) .Call(ffi_array_meta, x)

# Attributes that are kept with a class.
class_attributes <- function(meta) meta[setdiff(names(meta), c("names", "dimnames", "dim"))]

restore_class <- function(value, meta) {
  keep <- class_attributes(meta)
  # rank() is no generic: it has taken the codes of a factor by is.factor(), and ranks what it subsets by its bits
  if (any(c("factor", "integer64") %in% keep$class) && called_by(base::rank, sys.nframe() - 1L))
    return(if ("factor" %in% keep$class) value else int64_key(value))
  load_bit64(keep$class)
  for (name in setdiff(names(keep), "class")) attr(value, name) <- keep[[name]]
  oldClass(value) <- keep$class
  value
}

# Was the call in frame k made by function f?
called_by <- function(f, k) k > 0L && (at <- sys.parents()[k]) > 0L && identical(sys.function(at), f)

# That one of these functions which made it; NULL if none did.
caller_among <- function(functions, k) {
  at <- sys.parents()[k]
  if (at == 0L) return(NULL)
  caller <- sys.function(at)
  for (f in functions) if (identical(caller, f)) return(f)
}

# The methods of integer64 are bit64's: without it R takes the bits for doubles.
load_bit64 <- function(classes) {
  if ("integer64" %in% classes && !isNamespaceLoaded("bit64")) requireNamespace("bit64", quietly = TRUE)
  NULL
}

# Doubles in the order of the 64-bit integers whose bits `value` holds; NA for NA. Whole numbers below 2^53 as they are.
int64_key <- function(value) {
  if (!length(value)) return(numeric())
  half <- readBin(writeBin(as.vector(unclass(value)), raw(), endian = "little"), "integer", 2L * length(value), endian = "little")
  low <- half[c(TRUE, FALSE)]
  high <- as.double(half[c(FALSE, TRUE)])
  missing <- is.na(high) & !is.na(low) & low == 0L
  low <- ifelse(is.na(low), 2^31, low + 2^32 * (low < 0))
  high[is.na(high)] <- -2^31
  high[missing] <- NA
  key <- high * 2^32 + low
  if (all(abs(high) < 2^20, na.rm = TRUE)) return(key)
  o <- order(high, low)
  step <- c(TRUE, diff(high[o]) != 0 | diff(low[o]) != 0)
  step[is.na(step)] <- FALSE
  key[o] <- cumsum(step)
  key[missing] <- NA
  key
}

# The value of an assignment in terms of what lies in memory.
prepare_value <- function(meta, value) {
  cls <- meta$class
  if (!is.atomic(value) && !inherits(value, "POSIXlt")) return(value) # refused by its type
  if ("integer64" %in% cls && is.character(value) && requireNamespace("bit64", quietly = TRUE)) return(bit64::as.integer64(value))
  if ("factor" %in% cls) return(prepare_factor(meta$levels, value))
  if (any(c("Date", "POSIXct") %in% cls) && is.numeric(value) && !is.object(value)) return(value) # as R has it from 4.3 on
  if ("Date" %in% cls) return(unclass(as.Date(value)))
  if ("POSIXct" %in% cls) return(as.vector(unclass(as.POSIXct(value))))
  if ("difftime" %in% cls) {
    if (inherits(value, "difftime")) units(value) <- meta$units
    return(as.vector(unclass(value)))
  }
  value
}

prepare_factor <- function(levels, value) {
  at <- match(as.character(value), levels)
  if (any(is.na(at) & !is.na(value)))
    warning("invalid factor level, NA generated", call. = FALSE)
  at
}

# Called from C: the attributes of the values, with names and dimnames that R has set on the handle itself. FALSE: as they were.
adopted_meta <- function(meta, names, dimnames) {
  meta <- set_meta(meta, "names", names)
  if (isFALSE(dimnames)) meta else set_meta(meta, "dimnames", dimnames)
}

# The same with one attribute of a class, unless it cannot be one.
adopted_attribute <- function(meta, name, value) {
  fits <- is.character(value) &&
    if (name == "levels") length(value) >= length(meta$levels) && !anyDuplicated(value) else length(value) == 1L
  if (fits && (name %in% names(meta) || name == "tzone" && "POSIXct" %in% meta$class)) set_meta(meta, name, as.vector(value)) else meta
}

# Called where C code, of R or of a package, asks for the elements of a handle as of a raw vector.
abort_elements <- function() {
  n <- sys.nframe() - 1L
  abort_bytes(asking_function(n), sys.call(n))
}

# The same for all of its bytes. Gives the frame that compares by identical() (compared: whether C says so, NA if it cannot), and NULL
# where R deparses a call that holds a handle, as do.call() makes them: for a message, or for deferred warnings, which R prints at an
# evaluation depth of 0 (3 with this call).
elements_asked <- function(compared) {
  n <- sys.nframe() - 1L
  if (isTRUE(compared)) return(sys.frame(n))
  f <- asking_function(n)
  depth <- Cstack_info()[["eval_depth"]]
  deparsing <- if (n == 0L) depth <= 3L
               else list(f) %in% list(base::stop, base::warning) || prints_language(f, n) || makes_label(f, n)
  if (base::identical(f, base::identical) || is.na(compared) && compares(f)) sys.frame(n) else if (!deparsing) abort_bytes(f, sys.call(n))
}

prints_language <- function(f, n) base::identical(f, base::print.default) && !is.atomic(sys.frame(n)$x)

# Does f, whose frame is n, make a label? deparse() does: of a call, of what substitute() gives, or for a package. Else the user wants the
# values as text.
makes_label <- function(f, n) {
  if (!base::identical(f, base::deparse)) return(FALSE)
  if (is.language(sys.frame(n)$expr)) return(TRUE)
  at <- sys.parents()[n]
  while (at > 0L && base::identical(sys.function(at), base::deparse1)) at <- sys.parents()[n <- at]
  "substitute" %in% all.names(sys.call(n)) || at > 0L && nzchar(package_of(sys.frame(at)))
}

# Where C cannot say it: the compiler inlines identical(), so that its caller asks; functions that may ask otherwise as well are refused.
compares <- function(f) {
  if (is.null(f)) return(FALSE)
  called <- all.names(body(f))
  "identical" %in% called && !any(c("for", "c", "unlist") %in% called)
}

evaluating <- c("eval", "evalq", "local", "try", "tryCatch", "withCallingHandlers", "suppressWarnings", "suppressMessages", "withVisible",
                "source", "sys.source", "invisible", "identity", "force", "system.time", "capture.output", "print", "with", "within")

is_export <- function(f, name) {
  package <- package_of(environment(f))
  nzchar(package) && !name %in% evaluating && name %in% getNamespaceExports(package) && base::identical(f, getExportedValue(package, name))
}

asking_function <- function(n) if (n > 0L) sys.function(n)

# A function of a package is named. In the user's own, and where one of R's evaluates an expression of his, it is `for`, `if` or the like
# that asks.
abort_bytes <- function(f, call) {
  by <- if (is.function(f) && is.name(call[[1L]]) && is_export(f, as.character(call[[1L]]))) sprintf(", to %s()", as.character(call[[1L]]))
  abort_class("sharedmem_elements_error",
              if (list(f) %in% list(base::serialize, base::saveRDS, base::save))
                "a shared array goes through streams of version 3 only: leave out `version`, or hand over unshare(x)"
              else
                paste0("a shared array is no ordinary vector: hand over x[] (its values) or shared_view(x) (the same without a copy)", by))
}
