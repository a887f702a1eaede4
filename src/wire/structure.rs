//! Structures that are parsed field by field.

/// Declares a structure and its parser: each field in file order, with its type and the method of
/// [`Fields`](super::Fields) that takes it.
macro_rules! structure {
    ($(#[$attribute:meta])* $vis:vis struct $name:ident {
        $($(#[$field_attribute:meta])* $field_vis:vis $field:ident: $type:ty = $take:ident,)+
    }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$field_attribute])* $field_vis $field: $type,)+
        }

        impl $name {
            pub(crate) fn parse(fields: &mut $crate::wire::Fields<'_>) -> $crate::error::Result<Self> {
                Ok($name { $($field: fields.$take(stringify!($field))?,)+ })
            }
        }
    };
}
pub(crate) use structure;
