//! The little that our pictures have in common: no script, no font of their own, readable on light and on dark pages.

use std::fmt::Write as _;

/// Page, words and lines.
const STYLE: &str = "
  .page{fill:#fff;stroke:#d0d7de} text{fill:#1f2328;font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}
  .big{font-size:15px;font-weight:600} .bold{font-weight:600} .dim{fill:#59636e} .small{font-size:11.5px}
  .line{stroke:#818b98;stroke-dasharray:3 3} .base{stroke:#818b98}
  @media (prefers-color-scheme:dark){.page{fill:#0d1117;stroke:#3d444d} text{fill:#e6edf3} .dim{fill:#9198a1}}";

/// Begins a picture on a page of its own: what it is called to those who don't see it, and the style of its own classes.
pub fn open(wide: f64, tall: f64, label: &str, style: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {tall}\" width=\"{wide}\" height=\"{tall}\" role=\"img\" \
         aria-label=\"{label}\">\n<style>{STYLE}{style}</style>\n"
    );
    rectangle(&mut svg, "page", [0.5, 0.5, wide - 1.0, tall - 1.0]);
    svg
}

/// A rectangle: left, top, width, height.
pub fn rectangle(svg: &mut String, class: &str, [x, y, wide, tall]: [f64; 4]) {
    let _ =
        writeln!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"/>");
}

/// Words that begin at `x`, on the line `y`.
pub fn text(svg: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}
