# Pictures of pages of the site by Chromium, at 400 and 1400 pixels, light and dark.
#
#   Rscript tools/site-shots.R SITE FOLDER [PAGE...]

args <- commandArgs(TRUE)
site <- normalizePath(args[1L])
dir.create(args[2L], showWarnings = FALSE, recursive = TRUE)
out <- normalizePath(args[2L])
pages <- if (length(args) > 2L) args[-(1:2)] else c("index.html", "reference/index.html", "reference/map.html",
                                                   "reference/sharedmem_error.html",
                                                   "articles/sharedmem.html", "articles/from-python.html", "articles/benchmarks.html")
browser <- Sys.which(c("chromium", "chromium-browser", "google-chrome"))
browser <- browser[nzchar(browser)][1L]
if (is.na(browser)) { cat("there is no Chromium here\n"); quit(status = 1L) }
for (page in pages) for (theme in c("light", "dark")) for (width in c(400, 1400)) {
  # the theme is set as the site's own switch sets it; a copy beside the page, so that its links hold
  html <- paste(readLines(file.path(site, page), warn = FALSE), collapse = "\n")
  copy <- file.path(site, dirname(page), paste0(".shot-", basename(page)))
  writeLines(sub("<head>", sprintf("<head><script>localStorage.setItem('theme', '%s')</script>", theme), html, fixed = TRUE), copy)
  file <- file.path(out, sprintf("%s-%s-%d.png", gsub("/", "-", sub("\\.html$", "", page)), theme, width))
  profile <- tempfile("profile")
  # Chromium's window is never narrower than 500 pixels: a frame is
  frame <- file.path(site, ".shot-frame.html")
  writeLines(sprintf("<body style='margin:0'><iframe src='%s' style='border:0;width:%dpx;height:1600px'></iframe>",
                     file.path(dirname(page), basename(copy)), width), frame)
  system2(browser, c("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", paste0("--user-data-dir=", profile),
                     "--virtual-time-budget=4000", sprintf("--window-size=%d,1600", max(width, 500)), paste0("--screenshot=", file),
                     paste0("file://", frame)), stdout = FALSE, stderr = FALSE, timeout = 60)
  unlink(c(copy, frame, profile), recursive = TRUE)
}
cat(sprintf("%d pictures in %s\n", length(list.files(out, "png$")), out))
