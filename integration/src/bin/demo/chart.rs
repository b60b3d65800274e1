//! Bars of characters.

use crate::tally::{FATES, Fate, Second};

/// Rows of a chart.
pub(crate) const ROWS: usize = 8;

/// A fate's cell: another character for each, so that the colours are not needed.
pub(crate) const fn cell(fate: Fate) -> &'static str {
    match fate {
        Fate::Ok => "\x1b[38;5;71m█\x1b[0m",
        Fate::Moved => "\x1b[38;5;75m▓\x1b[0m",
        Fate::Refused => "\x1b[38;5;179m▒\x1b[0m",
        Fate::Error => "\x1b[38;5;203m×\x1b[0m",
        Fate::Waited => "\x1b[38;5;176m░\x1b[0m",
    }
}

/// The chart's rows, top first; one column per second.
pub(crate) fn rows(seconds: &[Second]) -> Vec<String> {
    let columns: Vec<Vec<Fate>> = seconds.iter().map(column).collect();
    let row = |row: usize| columns.iter().map(|column| column.get(row).map_or(" ", |fate| cell(*fate))).collect();
    (0..ROWS).rev().map(row).collect()
}

/// The cells of one second from the bottom up. A fate that befell 3 % or more has at least one, at the cost of the commonest.
fn column(second: &Second) -> Vec<Fate> {
    let total: u32 = second.iter().sum();
    if total == 0 {
        return Vec::new();
    }
    let rows = u32::try_from(ROWS).unwrap_or(8);
    let mut cells = second.map(|n| if n * 100 < total * 3 { 0 } else { ((n * rows + total / 2) / total).max(1) });
    while cells.iter().sum::<u32>() != rows {
        let short = cells.iter().sum::<u32>() < rows;
        let Some(most) = cells.iter_mut().max() else { break };
        if short { *most += 1 } else { *most -= 1 }
    }
    FATES.into_iter().zip(cells).flat_map(|(fate, n)| (0..n).map(move |_| fate)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_full_and_hides_nobody() {
        assert_eq!(column(&[100, 0, 0, 0, 0]), [Fate::Ok; ROWS]);
        let mixed = column(&[50, 40, 5, 5, 0]);
        assert_eq!(mixed.len(), ROWS);
        assert!(mixed.contains(&Fate::Refused) && mixed.contains(&Fate::Error) && !mixed.contains(&Fate::Waited));
        assert!(column(&[0; 5]).is_empty());
    }
}
