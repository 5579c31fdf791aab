# R classes whose values lie in shared memory as codes or numbers: factor, Date, POSIXct, difftime, integer64.
# Their attributes travel with the handle (see r_array.h), and are put on what is read.

is_shared_array <- function(x) inherits(x, "shared_array")

# All values with all attributes, as x[].
shared_values <- function(x) .Call(ffi_index_get_all, x, FALSE, FALSE)

# All values without attributes.
bare_values <- function(x) .Call(ffi_index_get_all, x, TRUE, FALSE)

dtype_code <- function(x) .Call(ffi_array_about, x)$dtype

array_meta <- function(x) .Call(ffi_array_meta, x)

# Attributes that are kept with a class.
class_attributes <- function(meta) meta[setdiff(names(meta), c("names", "dimnames", "dim"))]

restore_class <- function(value, meta) {
  keep <- class_attributes(meta)
  for (name in setdiff(names(keep), "class")) attr(value, name) <- keep[[name]]
  oldClass(value) <- keep$class
  value
}

# The value of an assignment in terms of what lies in memory.
prepare_value <- function(meta, value) {
  cls <- meta$class
  if ("factor" %in% cls) return(prepare_factor(meta$levels, value))
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
