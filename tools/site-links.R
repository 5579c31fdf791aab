# Each link, picture and anchor of the site leads somewhere in the site; links to the web are listed, not followed.
#
#   Rscript tools/site-links.R FOLDER

top <- normalizePath(commandArgs(TRUE)[1L])
pages <- list.files(top, "\\.html$", recursive = TRUE)
read <- function(page) paste(readLines(file.path(top, page), warn = FALSE), collapse = "\n")
text <- lapply(structure(pages, names = pages), read)
found <- function(pattern, x) regmatches(x, gregexpr(pattern, x, perl = TRUE))[[1L]]
ids <- lapply(text, function(x) c(sub(".*=\"", "", found("\\b(?:id|name)=\"[^\"]+", x))))
bad <- web <- character()
for (page in pages) {
  links <- unique(sub("^[a-z]+=\"", "", found("\\b(?:href|src)=\"[^\"]*", text[[page]])))
  for (link in links) {
    if (grepl("^(mailto:|data:|javascript:)", link) || link %in% c("", "#")) next
    if (grepl("^(https?:)?//", link)) { web <- c(web, link); next }
    path <- utils::URLdecode(sub("[#?].*$", "", link))
    anchor <- if (grepl("#", link, fixed = TRUE)) utils::URLdecode(sub("^[^#]*#", "", link)) else ""
    target <- if (!nzchar(path)) page else sub("^/", "", file.path(dirname(page), path))
    whole <- normalizePath(file.path(top, target), mustWork = FALSE)
    if (dir.exists(whole)) whole <- file.path(whole, "index.html")
    inside <- substring(whole, nchar(top) + 2L)
    if (!file.exists(whole)) bad <- c(bad, sprintf("%s: %s", page, link))
    else if (nzchar(anchor) && inside %in% pages && !anchor %in% ids[[inside]]) bad <- c(bad, sprintf("%s: no anchor %s", page, link))
  }
}
cat(sprintf("%d pages, %d links to the web\n", length(pages), length(unique(web))))
if (length(bad)) cat("broken:", bad, sep = "\n  ")
quit(status = as.integer(length(bad) > 0L))
