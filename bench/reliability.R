# bench/RELIABILITY.md is a head and sections, each written by a command of its own.

# Put the lines as the section of this title, in place of the one that is there; the other sections stay.
reliability_section <- function(title, command, lines, path = "bench/RELIABILITY.md") {
  old <- if (file.exists(path)) readLines(path) else c("# Reliability", "")
  section <- cumsum(startsWith(old, "## "))
  mine <- section %in% section[old == paste("##", title)]
  head <- sprintf("Written by `%s`, %s, %s.", command, R.version.string, Sys.Date())
  new <- c(paste("##", title), "", head, "", lines)
  before <- if (any(mine)) old[seq_len(min(which(mine)) - 1L)] else c(old, "")
  after <- if (any(mine)) old[seq_along(old) > max(which(mine))] else character()
  writeLines(c(before, new, if (length(after)) c("", after)), path)
}
