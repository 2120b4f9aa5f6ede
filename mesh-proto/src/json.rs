//! Reading JSON: an object is an object.
//!
//! serde's derived readers take an array of a type's fields in their order for the type, too. Nobody writes such a thing, no schema
//! of ours says that it is one, and the code for it was a third of all readers. Here a type with named fields is read from an object only.

use std::fmt;

use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess,
        Visitor,
    },
};

/// Bytes as a value; nothing but white space may follow it.
///
/// # Errors
/// When the bytes are no JSON, or not of this type: with what was expected, and the line and column.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Objects(&mut reader))?;
    reader.end()?;
    Ok(value)
}

/// A reader that asks for an object where a type with named fields is wanted, at every depth: so are the others here, each around its
/// namesake of serde's.
struct Objects<D>(D);
struct Visits<V>(V);
struct Seed<T>(T);
struct Items<A>(A);
struct Fields<A>(A);
struct Variants<A>(A);
struct Variant<A>(A);
/// What is wanted of a variant with named fields.
struct Named<V>(V);

/// Methods of a reader that hand on a visitor and nothing else.
macro_rules! plain {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Visits(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    plain! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_unit deserialize_seq deserialize_map deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Visits(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Visits(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Visits(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Visits(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Visits(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Visits(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// Methods of a visitor that hand on a value.
macro_rules! value {
    ($($method:ident: $value:ty,)*) => {
        $(fn $method<E: de::Error>(self, value: $value) -> Result<V::Value, E> {
            self.0.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Visits<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    value! {
        visit_bool: bool,
        visit_i64: i64,
        visit_i128: i128,
        visit_u64: u64,
        visit_u128: u128,
        visit_f64: f64,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Fields(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variants: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Variants(variants))
    }
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T::Value, D::Error> {
        self.0.deserialize(Objects(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Seed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(Seed(seed))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Seed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Variants<A> {
    type Error = A::Error;
    type Variant = Variant<A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self::Variant), A::Error> {
        let (name, variant) = self.0.variant_seed(Seed(seed))?;
        Ok((name, Variant(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Variant<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.newtype_variant_seed(Seed(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Visits(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(Named(visitor))
    }
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Named<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        inner.deserialize_map(Visits(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Disk {
        name: String,
        bytes: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Host {
        disks: Vec<Disk>,
        spare: Option<Disk>,
        by_bay: BTreeMap<u8, Disk>,
        pair: (Disk, Wrapped),
        state: State,
        states: Vec<State>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Disk);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum State {
        Idle,
        Near(f64, char),
        Boots(Disk),
        Fails { why: String, disk: Disk },
    }

    fn disk(name: &str) -> Disk {
        let (name, bytes) = (name.to_owned(), u64::MAX);
        Disk { name, bytes }
    }

    fn host() -> Host {
        let why = "no \u{1f4be}".to_owned();
        Host {
            disks: vec![disk("sda"), disk("sdb")],
            spare: Some(disk("sdc")),
            by_bay: BTreeMap::from([(7, disk("sdd"))]),
            pair: (disk("sde"), Wrapped(disk("sdf"))),
            state: State::Fails {
                why,
                disk: disk("sdg"),
            },
            states: vec![State::Idle, State::Near(-1.5, 'x'), State::Boots(disk("s"))],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = serde_json::to_vec(&host()).unwrap();
        assert_eq!(from_slice::<Host>(&text).unwrap(), host());
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        let good = serde_json::to_string(&host()).unwrap();
        let object = |name: &str| format!(r#"{{"name":"{name}","bytes":18446744073709551615}}"#);
        let array = |name: &str| format!(r#"["{name}",18446744073709551615]"#);
        for name in ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "s"] {
            assert!(good.contains(&object(name)), "{good}");
            let bad = good.replace(&object(name), &array(name));
            assert!(
                serde_json::from_str::<Host>(&bad).is_ok(),
                "serde alone takes it"
            );
            let told = from_slice::<Host>(bad.as_bytes()).unwrap_err().to_string();
            assert!(
                told.contains("invalid type: sequence, expected struct Disk"),
                "{told}"
            );
            assert!(told.contains("line 1 column"), "{told}");
        }
        let variant = br#"{"Fails":["no",{"name":"sda","bytes":1}]}"#;
        assert!(serde_json::from_slice::<State>(variant).is_ok());
        assert!(from_slice::<State>(variant).is_err());
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for bad in [
            r#"{"name":"sda","bytes":1} x"#,
            r#"{"name":"sda"}"#,
            r#"{"name":"sda","bytes":-1}"#,
            r#"{"name":"sda","name":"sdb","bytes":1}"#,
            r#"{"name":"sda","bytes":1"#,
            "null",
            "",
        ] {
            let alone = serde_json::from_str::<Disk>(bad).unwrap_err();
            let ours = from_slice::<Disk>(bad.as_bytes()).unwrap_err();
            assert_eq!(ours.to_string(), alone.to_string(), "{bad}");
        }
        let deep = [b'['; 200_000];
        assert!(from_slice::<serde_json::Value>(&deep).is_err());
    }
}
