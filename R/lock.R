# critical and ordered sections of a pool. `state` is the pool's: state$map is the map that runs.

new_critical <- function(state) {
  f <- function(expr) {
    .Call(ffi_critical_enter, state$map)
    on.exit(.Call(ffi_critical_leave, state$map))
    expr
  }
  class(f) <- "sharedmem_section"
  f
}

new_ordered <- function(state) {
  f <- function(expr) {
    .Call(ffi_ordered_enter, state$map, state$item)
    on.exit(.Call(ffi_ordered_leave, state$map))
    expr
  }
  class(f) <- "sharedmem_section"
  f
}

#' @export
with.sharedmem_section <- function(data, expr, ...) {
  section <- data # a call of `data()` would look like that of utils
  section(expr)
}

#' @export
print.sharedmem_section <- function(x, ...) {
  cat("<section of a pool: use as section({ ... }) or with(section, { ... }) inside `func`>\n")
  invisible(x)
}
