#' Shared memory arrays and fork map-reduce
#'
#' @keywords internal
#' @useDynLib sharedmem, .registration = TRUE
"_PACKAGE"
