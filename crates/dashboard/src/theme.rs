//! Another accent: a style sheet of a few lines, made from a colour, so that no page needs a style of its own. The colour
//! is moved towards black or white until it can be read, in light and in dark.

use axum::{extract::Path, response::IntoResponse};
use http::{StatusCode, header};

/// Contrast with the page that text has to have.
const CONTRAST: f64 = 4.6;
/// The page, in light and in dark; the darkest and lightest of its surfaces.
const LIGHT: Colour = Colour([0xf3, 0xef, 0xe4]);
const DARK: Colour = Colour([0x2b, 0x29, 0x24]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Colour([u8; 3]);

impl Colour {
    fn read(text: &str) -> Option<Self> {
        let is_hex = text.len() == 6 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let part = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        if is_hex { Some(Self([part(0)?, part(2)?, part(4)?])) } else { None }
    }
    fn luminance(self) -> f64 {
        let [r, g, b] = self.0.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
    fn towards(self, end: u8) -> Self {
        Self(self.0.map(|c| (f64::from(c) + (f64::from(end) - f64::from(c)) * 0.08).round() as u8))
    }
    /// The nearest that can be read there.
    fn readable_on(self, page: Self) -> Self {
        let end = if page.luminance() > 0.5 { 0 } else { 255 };
        let mut colour = self;
        for _ in 0..60 {
            if colour.contrast(page) >= CONTRAST {
                return colour;
            }
            colour = colour.towards(end);
        }
        Self([end; 3])
    }
    /// Black or white, whichever can be read on it.
    fn ink(self) -> &'static str {
        if self.contrast(Self([255; 3])) >= CONTRAST { "#ffffff" } else { "#14120e" }
    }
    fn css(self) -> String {
        let [r, g, b] = self.0;
        format!("#{r:02x}{g:02x}{b:02x}")
    }
}

/// Six hexadecimal digits, with or without `#` before them; three are taken twice.
pub(crate) fn read_colour(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('#').to_ascii_lowercase();
    let long = if text.len() == 3 { text.chars().flat_map(|c| [c, c]).collect() } else { text };
    Colour::read(&long).map(|_| long)
}

/// The name of a font, as far as it can stand in a style sheet.
pub(crate) fn read_font(text: &str) -> Option<String> {
    let text = text.trim();
    let fits =
        !text.is_empty() && text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || " -".contains(c));
    fits.then(|| text.to_owned())
}

/// Where the style sheet of an accent and a font is; nowhere if neither is asked for.
pub(crate) fn sheet(accent: Option<&str>, font: Option<&str>) -> String {
    match (accent, font) {
        (None, None) => String::new(),
        (accent, font) => {
            let font = font.map(|f| f.replace(' ', "_")).unwrap_or_default();
            format!("/assets/theme/{}~{font}", accent.unwrap_or_default())
        }
    }
}

/// Such a style sheet.
pub(crate) async fn serve(Path(name): Path<String>) -> impl IntoResponse {
    let (accent, font) = name.split_once('~').unwrap_or((&name, ""));
    let mut css = String::new();
    if let Some(colour) = Colour::read(accent) {
        let (light, dark) = (colour.readable_on(LIGHT), colour.readable_on(DARK));
        css = format!(
            ":root {{ --accent: light-dark({}, {}); --on-accent: light-dark({}, {}); }}\n",
            light.css(),
            dark.css(),
            light.ink(),
            dark.ink()
        );
    }
    if let Some(font) = read_font(&font.replace('_', " ")) {
        css.push_str(&format!("html {{ font-family: \"{font}\", system-ui, sans-serif; }}\n"));
    }
    if css.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, css).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_colour_it_can_be_read_in_light_and_dark() {
        for text in ["ffffff", "000000", "ffff00", "5d4fff", "777777", "ff0000"] {
            let colour = Colour::read(text).unwrap();
            for page in [LIGHT, DARK] {
                let shown = colour.readable_on(page);
                assert!(shown.contrast(page) >= CONTRAST, "{text} on {page:?}: {shown:?}");
                let ink = Colour::read(&shown.ink()[1..]).unwrap();
                assert!(shown.contrast(ink) >= 4.5, "{text}: {ink:?} on {shown:?}");
            }
        }
        let kept = Colour::read("5d1a9f").unwrap();
        assert_eq!(kept.readable_on(LIGHT), kept, "what can be read stays as it is");
    }

    #[test]
    fn nothing_but_colours_and_names_of_fonts_gets_into_a_style_sheet() {
        assert_eq!(read_colour("#5D4FFF"), Some("5d4fff".into()));
        assert_eq!(read_colour("abc"), Some("aabbcc".into()));
        for bad in ["", "red", "12345", "é12345", "000000}body{x:url(//a)"] {
            assert_eq!(read_colour(bad), None, "{bad}");
        }
        assert_eq!(read_font("Open Sans"), Some("Open Sans".into()));
        assert_eq!(read_font("x\"; } body {"), None);
        assert_eq!(sheet(Some("aabbcc"), Some("Open Sans")), "/assets/theme/aabbcc~Open_Sans");
        assert_eq!(sheet(None, None), "");
    }
}
