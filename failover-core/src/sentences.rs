//! Enums whose every variant is a sentence: the log line, the event's text and the documentation in one place.

/// Declares such an enum. No variant can be without its sentence.
macro_rules! sentences {
    ($(#[$about:meta])* pub enum $enum:ident { $($name:ident => $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $enum {
            $(#[doc = $text] $name,)*
        }

        impl $enum {
            /// The reason as a sentence.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.text())
            }
        }
    };
}
pub(crate) use sentences;
