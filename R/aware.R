# Who writes: `x[i] <- v` changes the memory in code that knows of shared arrays, and works on a copy in all other code.

# S3 dispatch defines it in the frame of a method: the frame of the call. This one is found where a method is called by its name.
.GenericCallEnv <- NULL

#' Write into a shared array, whoever asks
#'
#' `set_shared()` writes into the memory of a shared array, also in code whose assignments would work on a copy.
#'
#' @details
#' `x[i] <- value` writes into the memory itself in the user's own code, and in packages that know of shared arrays: those that
#' import or depend on sharedmem, those whose namespace has a variable `.sharedmem_aware` that is `TRUE`, and those named in
#' `options(sharedmem.aware = )`. In any other package's function, base R's included (`pmax()`, `replace()`, `ave()`), the assignment
#' works on an ordinary copy and what comes out is an ordinary vector; a message of class `sharedmem_copy_message` says so once a
#' package in each process, so once in each worker of a map.
#' The first namespace from the frame of the assignment outwards decides; a frame that meets none before the global
#' or the base environment is the user's. A replacement function of base R (`is.na<-`, `diag<-`, `[<-.data.frame`) counts as its
#' caller. Functions of the user that live in a package's namespace count as that package's.
#'
#' | shares the memory | copies |
#' | --- | --- |
#' | `y <- x`, arguments, closures | `x[]`, `x[i]`, `unshare(x)`, `copy(x)` |
#' | columns of lists and data frames | arithmetic, summaries, conversions |
#' | `dim(x) <- d`, `names(x) <- n`, attributes, class | results of functions that do not know of shared arrays |
#' | `shared_view(x)` (read-only) | `saveRDS(x)`, `save(x)` |
#'
#' @param x a shared array.
#' @param i,... indices, as in `x[i, ...]`; leave `i` empty for all elements.
#' @param value values to write, recycled as R does.
#' @return `x`, invisibly. Errors are those of [`[<-`][shared_array-index].
#' @seealso [unshare()]
#' @examples
#' x <- empty(3)
#' set_shared(x, 2, value = 5)
#' set_shared(x, value = 1)
#' x[]
#' y <- replace(x, 1, 9)   # base R's: works on a copy
#' x[1]
#' @export
set_shared <- function(x, i, ..., value) {
  if (!is_shared(x)) abort_argument("x", describe_value(x), "a shared array")
  if (...length() == 0L) .Call(ffi_index_set, x, if (missing(i)) all_of else i, value, NULL)
  else if (is.null(...names())) index_set(x, i, ..., value = value)
  else index_set_named(x, sys.call(), nargs() - 2L > ...length(), i, ..., value = value)
  invisible(x)
}

# Called from C for the first namespace that the frame of an assignment has met. 2: always; 1: in this frame; 0: not.
package_writes <- function(ns, frame) {
  caller <- if (base::identical(ns, .BaseNamespaceEnv)) replacement_caller(frame)
  if (!is.null(caller)) return(as.integer(.Call(ffi_index_writes, caller)))
  name <- unname(getNamespaceName(ns))
  if (is.null(the$cache$aware[[name]])) the$cache$aware[[name]] <- knows_us(ns, name)
  if (the$cache$aware[[name]]) return(2L)
  if (name %in% getOption("sharedmem.aware")) return(1L)
  # pmax() and pmin() put the attributes of their first argument, which they keep there, on the result
  if (name == "base" && is.list(elts <- get0("elts", frame, inherits = FALSE)))
    assign("elts", lapply(elts, function(e) if (is_shared(e)) shared_values(e) else e), frame)
  tell_copied(name)
  0L
}

knows_us <- function(ns, name) {
  if (name == "sharedmem" || isTRUE(get0(".sharedmem_aware", ns, inherits = FALSE))) return(TRUE)
  if (name == "base") return(FALSE)
  if ("sharedmem" %in% names(getNamespaceImports(ns))) return(TRUE)
  fields <- suppressWarnings(tryCatch(utils::packageDescription(name, dirname(getNamespaceInfo(ns, "path")), c("Depends", "Imports")),
                                      error = function(e) NULL))
  any(grepl("(^|[, \n])sharedmem($|[, \n(])", unlist(fields)))
}

# The frame that called a replacement function of base R whose frame this is; else NULL.
replacement_caller <- function(frame) {
  for (k in rev(seq_len(sys.nframe() - 1L))) if (base::identical(sys.frame(k), frame)) {
    name <- sys.call(k)[[1L]]
    if (!is.symbol(name) || !grepl("<-", name, fixed = TRUE)) return(NULL)
    parent <- sys.parents()[k]
    return(if (parent == 0L) globalenv() else sys.frame(parent))
  }
  NULL
}

tell_copied <- function(name) {
  if (isTRUE(the$session$copied[[name]])) return()
  the$session$copied[[name]] <- TRUE
  text <- sprintf(paste0("package '%s' does not know of shared arrays: its assignments work on a copy, its results are ordinary vectors ",
                         "(see ?set_shared)\n"), name)
  message(structure(class = c("sharedmem_copy_message", "sharedmem_message", "message", "condition"),
                    list(message = text, call = NULL, package = name)))
}

# An ordinary vector: the values of a shared array, or what has got the class alone (attributes(y) <- attributes(x)) without it.
ordinary <- function(x) {
  if (is_shared(x)) return(shared_values(x))
  oldClass(x) <- setdiff(oldClass(x), "shared_array")
  x
}

# x[subs] <- value or x[[subs]] <- value on a copy. all_of stands for empty subscripts.
assign_copy <- function(x, subs, value, element = FALSE) {
  subs <- lapply(subs, function(i) if (is.symbol(i)) formals(function(all) NULL)$all else if (is_shared(i)) shared_values(i) else i)
  value <- if (is_shared(value)) shared_values(value) else value
  do.call(if (element) "[[<-" else "[<-", c(list(ordinary(x)), unname(subs), list(value = value)), quote = TRUE)
}

assign_copy_one <- function(x, i, value) assign_copy(x, list(i), value)

ordinary_get <- function(x, i) if (is.symbol(i)) ordinary(x) else ordinary(x)[i]

ordinary_meta <- function(x) attributes(ordinary(x))
