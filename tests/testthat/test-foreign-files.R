local_dir <- function(frame = parent.frame()) {
  dir <- tempfile("foreign")
  dir.create(dir)
  do.call(on.exit, list(substitute(unlink(d, recursive = TRUE), list(d = dir)), add = TRUE), envir = frame)
  dir
}

test_that("a bigmemory matrix is mapped by its descriptor file, its descriptor or itself, and reads back what we wrote", {
  skip_if_not_installed("bigmemory")
  dir <- local_dir()
  old <- options(bigmemory.typecast.warning = FALSE)
  on.exit(options(old), add = TRUE)
  types <- c(char = "i1", short = "i2", integer = "i4", float = "f4", double = "f8", raw = "raw")
  for (type in names(types)) {
    init <- if (type == "raw") as.raw(1) else 1
    b <- bigmemory::filebacked.big.matrix(4, 3, type = type, init = init, backingfile = paste0(type, ".bin"), backingpath = dir,
                                          descriptorfile = paste0(type, ".desc"), dimnames = list(NULL, c("a", "b", "c")))
    for (source in list(file.path(dir, paste0(type, ".desc")), bigmemory::describe(b), b)) {
      x <- memmap(source, mode = "r+")
      expect_identical(dtype(x), types[[type]])
      expect_equal(dim(x), c(4, 3))
      expect_identical(dimnames(x), list(NULL, c("a", "b", "c")))
      expect_equal(x[], b[, ])
      value <- if (type == "raw") as.raw(5) else 5
      x[2, "c"] <- value
      expect_equal(b[2, 3], value, ignore_attr = TRUE)
      b[4, 1] <- value
      expect_equal(x[4, "a"], value, ignore_attr = TRUE)
      x[2, 3] <- init
      b[4, 1] <- init
    }
  }
})

test_that("columns of a sub.big.matrix are mapped, rows and separated columns refused, memory of this machine found", {
  skip_if_not_installed("bigmemory")
  dir <- local_dir()
  b <- bigmemory::filebacked.big.matrix(4, 3, type = "double", backingfile = "b.bin", backingpath = dir, descriptorfile = "b.desc")
  b[, ] <- 1:12
  expect_identical(memmap(bigmemory::sub.big.matrix(b, firstCol = 2, lastCol = 3))[], matrix(5:12 + 0, 4))
  expect_error(memmap(bigmemory::sub.big.matrix(b, firstRow = 2)), class = "sharedmem_file_error")
  s <- bigmemory::big.matrix(2, 2, type = "integer", init = 3L, separated = TRUE)
  expect_error(memmap(s), class = "sharedmem_file_error")
  if (Sys.info()[["sysname"]] == "Linux") {
    m <- bigmemory::big.matrix(2, 2, type = "integer", init = 3L)
    x <- memmap(m, mode = "r+")
    x[2, 2] <- 4L
    expect_identical(m[2, 2], 4L)
  }
})

test_that("a descriptor file is read, not run, and may have moved with its file", {
  dir <- local_dir()
  desc <- file.path(dir, "x.desc")
  text <- function(...) {
    d <- list(sharedType = "FileBacked", filename = "x.bin", dirname = "/nowhere/", totalRows = 2L, totalCols = 2L, rowOffset = c(0, 2),
              colOffset = c(0, 2), nrow = 2, ncol = 2, rowNames = NULL, colNames = NULL, type = "double", separated = FALSE)
    d <- utils::modifyList(d, list(...))
    paste0("new(\"big.matrix.descriptor\", description = ", paste(deparse(d), collapse = "\n"), ")")
  }
  writeBin(c(1, 2, 3, 4), file.path(dir, "x.bin"))
  writeLines(text(), desc)
  expect_identical(memmap(desc)[], matrix(c(1, 2, 3, 4), 2))
  marker <- file.path(dir, "ran")
  bad <- c(sprintf("file.create(%s)", deparse(marker)), "", "list(", "new(\"other\", description = list())",
           sprintf("new(\"big.matrix.descriptor\", description = list(nrow = file.create(%s)))", deparse(marker)),
           "new(\"big.matrix.descriptor\", description = list())", "new(\"big.matrix.descriptor\", description = 1)",
           text(type = "quad"), text(nrow = -1), text(nrow = NA), text(nrow = 1e9, totalRows = 1e9), text(colOffset = c(1e15, 1)),
           text(filename = "../../etc/passwd"))
  for (b in bad) {
    writeLines(b, desc)
    expect_error(memmap(desc), class = "sharedmem_error")
  }
  expect_false(file.exists(marker))
  expect_error(memmap(file.path(dir, "none.desc")), class = "sharedmem_file_error")
})

test_that("a bigstatsr FBM is mapped with its type and extents, and reads back what we wrote", {
  skip_if_not_installed("bigstatsr")
  dir <- local_dir()
  types <- c(raw = "raw", "unsigned char" = "raw", "unsigned short" = "u2", integer = "i4", float = "f4", double = "f8")
  for (type in names(types)) {
    init <- if (types[[type]] == "raw") as.raw(1) else 1
    f <- bigstatsr::FBM(4, 3, type = type, init = init, backingfile = file.path(dir, make.names(type)))
    x <- memmap(f, mode = "r+")
    expect_identical(dtype(x), types[[type]])
    expect_equal(x[], f[])
    value <- if (types[[type]] == "raw") as.raw(5) else 5
    x[2, 3] <- value
    expect_equal(f[2, 3], value)
  }
  g <- bigstatsr::FBM.code256(2, 2, code = 0:255 + 0.5, init = as.raw(7), backingfile = file.path(dir, "code"))
  expect_equal(as.integer(memmap(g)[]), rep(7L, 4))
  rm(f, g, x)
})

test_that("a filematrix is mapped by its files or itself, with its names", {
  skip_if_not_installed("filematrix")
  dir <- local_dir()
  for (type in c("double", "integer", "raw")) for (size in if (type == "double") c(8, 4) else if (type == "integer") c(4, 2, 1) else 1) {
    base <- file.path(dir, paste0(type, size))
    m <- filematrix::fm.create(base, nrow = 3, ncol = 2, type = type, size = size)
    m[, 1] <- if (type == "raw") as.raw(1:3) else if (type == "integer") 1:3 else 1:3 + 0.5
    colnames(m) <- c("a", "b")
    for (source in list(m, paste0(base, ".bmat"), paste0(base, ".desc.txt"))) {
      x <- memmap(source, mode = "r+")
      expect_equal(unname(x[]), unname(m[, ]))
      expect_identical(dimnames(x), list(NULL, c("a", "b")))
    }
    x[3, "b"] <- if (type == "raw") as.raw(9) else 9
    flush(x)
    filematrix::close(m) # its connection has the old bytes in its buffer
    m <- filematrix::fm.open(base)
    expect_equal(as.numeric(m[3, 2]), 9)
    filematrix::close(m)
  }
})

test_that("files that cannot be read leave no connection open", {
  before <- getAllConnections()
  for (end in c(".desc.txt", ".desc", ".npy", ".npz", ".bin")) {
    path <- file.path(tempdir(), paste0("missing", end))
    expect_error(suppressWarnings(memmap(path)))
    expect_error(suppressWarnings(read_npy(path)))
    expect_error(suppressWarnings(fromfile(path)))
  }
  expect_identical(getAllConnections(), before)
})

test_that("objects of other packages cannot be emptied by mode \"w+\"", {
  skip_if_not_installed("bigstatsr")
  dir <- local_dir()
  f <- bigstatsr::FBM(2, 2, init = 1, backingfile = file.path(dir, "f"))
  expect_identical(expect_error(memmap(f, "f8", c(2, 2), "w+"), class = "sharedmem_argument_error")$arg, "path")
  expect_identical(sum(f[]), 4)
  rm(f)
})

# A handler of warnings that jumps out of file() or unz() loses the connection: R has 128, and no collection frees it.
test_that("archives that cannot be unpacked leave no connection open", {
  dir <- local_dir()
  open <- function() nrow(showConnections(all = TRUE))
  before <- open()
  for (k in 1:3) {
    expect_error(sharedmem:::read_deflated(file.path(dir, "gone.npz"), list(entry = "x", size = 10, packed = 10), 1),
                 class = "sharedmem_file_error")
    expect_error(sharedmem:::zip_bytes(file.path(dir, "gone.npz"), 0, 10), class = "sharedmem_file_error")
  }
  expect_identical(open(), before)
})

test_that("a file of a type for which there is no dtype is an error that names it", {
  dir <- local_dir()
  base <- file.path(dir, "m")
  writeBin(raw(8), paste0(base, ".bmat"))
  writeLines(c("# Information file for R filematrix object", "nrow=1", "ncol=1", "type=integer", "size=16"), paste0(base, ".desc.txt"))
  expect_error(memmap(paste0(base, ".bmat")), "type 'integer' of 16 bytes", class = "sharedmem_file_error")
  for (broken in c("nrow=\xb8", "type=\xb8")) { # bytes that are no text in any locale
    lines <- c("nrow=1", "ncol=1", "type=integer", "size=16")
    lines[startsWith(lines, substr(broken, 1L, 4L))] <- broken
    writeLines(lines, paste0(base, ".desc.txt"), useBytes = TRUE)
    expect_error(memmap(paste0(base, ".bmat")), "extents|type", class = "sharedmem_file_error")
  }
  fbm <- structure(list(backingfile = "x.bk", type = c(quad = 9L), nrow = 1, ncol = 1), class = "FBM")
  expect_error(memmap(structure(list2env(unclass(fbm)), class = "FBM")), "FBM of type 'quad'", class = "sharedmem_file_error")
})
