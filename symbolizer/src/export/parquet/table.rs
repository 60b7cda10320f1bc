// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A table in memory, and as a Parquet file. In: columns. Out: a file with one row group, dictionaries and
//! zstd. 64-bit integers, text and flags are all that there is: all engines agree on those. Never here: what the
//! columns mean, where the file goes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

/// Level of compression: more takes longer and gains little.
const ZSTD_LEVEL: i32 = 3;

/// Values of a column, one for each row.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Numbers(Vec<i64>),
    /// Where one may not be known.
    Known(Vec<Option<i64>>),
    Texts(Vec<ByteArray>),
    Flags(Vec<bool>),
}

/// Columns of equal length.
#[derive(Clone, Debug)]
pub struct Table {
    name: &'static str,
    rows: usize,
    columns: Vec<(&'static str, Values)>,
}

/// The largest number stands for all above it, which only a damaged trace has.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Table {
    /// No columns yet.
    pub fn new(name: &'static str, rows: usize) -> Table {
        Table { name, rows, columns: Vec::new() }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Adds a column of text. A text that comes again takes no memory of its own.
    pub fn texts<T: Into<String>>(self, name: &'static str, values: impl Iterator<Item = T>) -> Table {
        let mut known: HashMap<String, ByteArray> = HashMap::new();
        let shared = |text: T| {
            let text: String = text.into();
            let bytes = known.entry(text).or_insert_with_key(|text| ByteArray::from(text.as_bytes().to_vec()));
            bytes.clone()
        };
        self.push(name, Values::Texts(values.map(shared).collect()))
    }

    /// Adds a column of numbers.
    pub fn numbers(self, name: &'static str, values: impl Iterator<Item = u64>) -> Table {
        self.push(name, Values::Numbers(values.map(number).collect()))
    }

    /// Adds a column of numbers, `NULL` where one is not known.
    pub fn known(self, name: &'static str, values: impl Iterator<Item = Option<u64>>) -> Table {
        self.signed(name, values.map(|value| value.map(number)))
    }

    /// The same, of numbers that may be negative.
    pub fn signed(self, name: &'static str, values: impl Iterator<Item = Option<i64>>) -> Table {
        self.push(name, Values::Known(values.collect()))
    }

    /// Adds a column of flags.
    pub fn flags(self, name: &'static str, values: impl Iterator<Item = bool>) -> Table {
        self.push(name, Values::Flags(values.collect()))
    }

    fn push(mut self, name: &'static str, values: Values) -> Table {
        debug_assert_eq!(values.len(), self.rows, "{}.{name}", self.name);
        self.columns.push((name, values));
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: impl Write + Send) -> io::Result<()> {
        self.write_file(out).map_err(io_error)
    }

    fn write_file(&self, out: impl Write + Send) -> Result<(), ParquetError> {
        let fields = self.columns.iter().map(|(name, values)| values.field(name).map(Arc::new));
        let schema = Type::group_type_builder(self.name).with_fields(fields.collect::<Result<_, _>>()?).build()?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("symbolize ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .build();
        let mut file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        let mut rows = file.next_row_group()?;
        for (_, values) in &self.columns {
            let Some(mut column) = rows.next_column()? else { break };
            match values {
                Values::Numbers(values) => column.typed::<Int64Type>().write_batch(values, None, None)?,
                Values::Known(values) => {
                    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                    let known: Vec<i64> = values.iter().flatten().copied().collect();
                    column.typed::<Int64Type>().write_batch(&known, Some(&levels), None)?
                }
                Values::Texts(values) => column.typed::<ByteArrayType>().write_batch(values, None, None)?,
                Values::Flags(values) => column.typed::<BoolType>().write_batch(values, None, None)?,
            };
            column.close()?;
        }
        rows.close()?;
        file.close()?;
        Ok(())
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::Numbers(values) => values.len(),
            Values::Known(values) => values.len(),
            Values::Texts(values) => values.len(),
            Values::Flags(values) => values.len(),
        }
    }

    fn field(&self, name: &str) -> Result<Type, ParquetError> {
        let (physical, repetition, logical) = match self {
            Values::Numbers(_) => (Physical::INT64, Repetition::REQUIRED, None),
            Values::Known(_) => (Physical::INT64, Repetition::OPTIONAL, None),
            Values::Texts(_) => (Physical::BYTE_ARRAY, Repetition::REQUIRED, Some(LogicalType::String)),
            Values::Flags(_) => (Physical::BOOLEAN, Repetition::REQUIRED, None),
        };
        Type::primitive_type_builder(name, physical).with_repetition(repetition).with_logical_type(logical).build()
    }
}

/// What broke the file is the disk, as a rule; then its error is told as it is.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut file = tempfile::tempfile().unwrap();
        Table::new("things", 3)
            .texts("name", ["a", "", "\u{fffd}"].into_iter())
            .numbers("count", [0, 7, u64::MAX].into_iter())
            .known("time", [None, Some(1), Some(u64::MAX)].into_iter())
            .signed("returned", [Some(-19), None, Some(0)].into_iter())
            .flags("idle", [true, false, true].into_iter())
            .write(&mut file)
            .unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let rows: Vec<Vec<Field>> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect())
            .collect();
        let (text, long) = (|text: &str| Field::Str(text.to_owned()), Field::Long);
        let wanted = [
            [text("a"), long(0), Field::Null, long(-19), Field::Bool(true)],
            [text(""), long(7), long(1), Field::Null, Field::Bool(false)],
            [text("\u{fffd}"), long(i64::MAX), long(i64::MAX), long(0), Field::Bool(true)],
        ];
        assert_eq!(rows, wanted);
    }

    #[test]
    fn a_table_may_have_no_rows() {
        let mut file = tempfile::tempfile().unwrap();
        Table::new("things", 0).texts("name", std::iter::empty::<&str>()).write(&mut file).unwrap();
        assert_eq!(SerializedFileReader::new(file).unwrap().metadata().file_metadata().num_rows(), 0);
    }
}
