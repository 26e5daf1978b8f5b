-- How a block agrees with its published code on a device, as it was tested last.
CREATE TABLE agreement (
  block TEXT NOT NULL,
  device TEXT NOT NULL,
  device_detail TEXT NOT NULL,
  kernel_version TEXT NOT NULL,
  tested_at INTEGER NOT NULL,
  ok INTEGER NOT NULL CHECK (ok IN (0, 1)),
  cases INTEGER NOT NULL,
  tensors INTEGER NOT NULL,
  worst TEXT CHECK (json_valid(worst)),                  -- the tensor nearest to its tolerance; NULL if none was compared
  failures TEXT NOT NULL CHECK (json_valid(failures)),   -- a list of sentences
  PRIMARY KEY (block, device)
) STRICT, WITHOUT ROWID;
