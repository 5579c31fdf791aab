# Classed errors. Every error of the package has class "sharedmem_error"; C raises through these too.

abort_class <- function(class, message, ..., call = NULL) {
  stop(structure(class = c(class, "sharedmem_error", "error", "condition"),
                 list(message = message, call = call, ...)))
}

# Names the argument, what came and what was expected.
abort_argument <- function(arg, got, expected, call = NULL) {
  abort_class("sharedmem_argument_error",
              sprintf("`%s` must be %s, not %s", arg, expected, got),
              arg = arg, got = got, expected = expected, call = call)
}

# A short description of a value that came where another was expected.
describe_value <- function(x) {
  if (is.null(x)) return("NULL")
  if (is.function(x)) return("a function")
  if (is.atomic(x) && length(x) == 1L && is.null(attributes(x)))
    return(if (is.character(x)) encodeString(substr(x, 1L, 60L), quote = "\"", na.encode = FALSE)
           else format(x, digits = 15))
  if (is.atomic(x)) return(sprintf("%s of length %.0f", class(x)[1L], length(x)))
  sprintf("an object of class <%s>", paste(class(x), collapse = "/"))
}
