//! Which functions and classes a pickle names, without running it.
//!
//! Opcodes and the lengths of their arguments: CPython's `Lib/pickletools.py`.

/// Modules with what a checkpoint may take from them; `*` is everything. Tensors, their number
/// formats, ordered dictionaries, the numbers of numpy that training programs keep beside them, and
/// the classes under which PyTorch Lightning files its own state.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "torch",
        &[
            "FloatStorage",
            "DoubleStorage",
            "HalfStorage",
            "BFloat16Storage",
            "LongStorage",
            "IntStorage",
            "ShortStorage",
            "CharStorage",
            "ByteStorage",
            "BoolStorage",
            "Size",
            "device",
            "float64",
            "float32",
            "float16",
            "bfloat16",
            "int64",
            "int32",
            "int16",
            "int8",
            "uint8",
            "bool",
        ],
    ),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
    (
        "torch._utils",
        &[
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_parameter",
        ],
    ),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch.nn.parameter", &["Parameter"]),
    ("collections", &["OrderedDict", "defaultdict", "Counter"]),
    (
        "builtins",
        &[
            "set",
            "frozenset",
            "list",
            "dict",
            "tuple",
            "int",
            "float",
            "str",
            "bool",
        ],
    ),
    (
        "__builtin__",
        &[
            "set",
            "frozenset",
            "list",
            "dict",
            "tuple",
            "int",
            "long",
            "float",
            "str",
            "bool",
        ],
    ),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy", &["dtype", "ndarray"]),
    ("_codecs", &["encode"]),
    ("pytorch_lightning.callbacks.model_checkpoint", &["*"]),
    ("pytorch_lightning.utilities.parsing", &["AttributeDict"]),
    ("lightning.pytorch.callbacks.model_checkpoint", &["*"]),
];

/// # Errors
/// A sentence that names the first function or class that no checkpoint needs, or what is no pickle
/// of protocols 0 to 3.
pub(super) fn check(pickle: &[u8]) -> Result<(), String> {
    let mut reader = Reader { pickle };
    loop {
        match reader.byte()? {
            b'.' => return Ok(()), // STOP
            // GLOBAL and INST: a module and a name, each up to the end of its line.
            b'c' | b'i' => {
                let (module, name) = (reader.line()?, reader.line()?);
                let known = ALLOWED.iter().any(|(known, names)| {
                    *known == module && names.iter().any(|known| *known == name || *known == "*")
                });
                if !known {
                    return Err(format!(
                        "it would have Python run {module}.{name}, which no checkpoint needs; nothing was run, and the file is \
                         not to be trusted"
                    ));
                }
            }
            // STACK_GLOBAL, EXT1, EXT2, EXT4: names that are computed.
            0x93 | 0x82..=0x84 => {
                return Err("its pickle is not of protocol 2, which torch.save writes; save it again with that".into());
            }
            b'I' | b'L' | b'F' | b'S' | b'V' | b'g' | b'p' | b'P' => {
                reader.line()?;
            }
            b'K' | b'h' | b'q' | 0x80 => reader.skip(1)?,
            b'M' => reader.skip(2)?,
            b'J' | b'j' | b'r' => reader.skip(4)?,
            b'G' | 0x95 => reader.skip(8)?,
            // Strings, bytes and long numbers with their length before them, in 1, 4 or 8 bytes.
            b'U' | b'C' | 0x8a | 0x8c => reader.skip_counted(1)?,
            b'T' | b'X' | b'B' | 0x8b => reader.skip_counted(4)?,
            0x8d | 0x8e | 0x96 => reader.skip_counted(8)?,
            // Without an argument.
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'R'
            | b'b'
            | b'd'
            | b'l'
            | b't'
            | b's'
            | b'a'
            | b')'
            | b']'
            | b'}'
            | b'e'
            | b'u'
            | b'Q'
            | b'o'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x92
            | 0x94
            | 0x97
            | 0x98 => {}
            other => {
                return Err(format!(
                    "its pickle has the unknown opcode {other:#04x}; the file is damaged"
                ));
            }
        }
    }
}

struct Reader<'a> {
    pickle: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let parts = self.pickle.split_at_checked(count);
        let (taken, rest) = parts.ok_or("its pickle ends too early; the file is damaged")?;
        self.pickle = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.take(count).map(|_| ())
    }

    /// Skips what follows a little-endian length of `width` bytes.
    fn skip_counted(&mut self, width: usize) -> Result<(), String> {
        let mut length = [0; 8];
        length[..width].copy_from_slice(self.take(width)?);
        self.skip(usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.pickle.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.map_or(usize::MAX, |end| end + 1))?;
        Ok(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_a_checkpoint_needs_is_allowed() {
        // pickletools' reading of `torch.save({"a": OrderedDict()})`, protocol 2.
        check(b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01ccollections\nOrderedDict\nq\x02)Rq\x03s.")
            .unwrap();
        check(b"\x80\x02cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n.")
            .unwrap();
    }

    #[test]
    fn calls_are_found_wherever_they_are() {
        for pickle in [
            // os.system("x"), as a value, then thrown away again, then hidden behind an INST.
            &b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00x\x85R."[..],
            b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00x\x85R0}.",
            b"(S'x'\niposix\nsystem\n0}.",
            b"c__builtin__\neval\n.",
            b"ctorch\nload\n.",
        ] {
            let why = check(pickle).unwrap_err();
            assert!(why.contains("nothing was run"), "{why}");
        }
        // A name that is computed, and one in the registry of extensions.
        for pickle in [
            &b"\x80\x04\x8c\x05posix\x8c\x06system\x93."[..],
            b"\x82\x01.",
        ] {
            assert!(check(pickle).unwrap_err().contains("protocol 2"));
        }
        for pickle in [
            &b""[..],
            b"\x80",
            b"cposix",
            b"X\xff\xff\xff\xff",
            b"\xff.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(check(pickle).unwrap_err().contains("damaged"));
        }
    }
}
