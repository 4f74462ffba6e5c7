/// The names of services as they stand before lines: equally wide, each with a colour of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    width: usize,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    padded: String,
    colour: &'static str,
}

/// The colours, in the order and the tones that foreman's users know.
const COLOURS: [&str; 12] =
    ["36", "33", "32", "35", "31", "34", "1;36", "1;33", "1;32", "1;35", "1;31", "1;34"];

impl Palette {
    /// A palette in which the longest of these names has room.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { width: names.into_iter().map(str::len).max().unwrap_or(0) }
    }

    /// The label of the service with this name and place among the others.
    pub(crate) fn label(self, name: &str, index: usize) -> Label {
        let width = self.width;
        Label { padded: format!("{name:<width$}"), colour: COLOURS[index % COLOURS.len()] }
    }
}

impl Label {
    /// What stands before a line. The colour ends with it, and with it any that the line before has left on.
    pub(crate) fn before(&self, bar: char, is_coloured: bool) -> Vec<u8> {
        let (name, colour) = (&self.padded, self.colour);
        if is_coloured {
            format!("\x1b[0;{colour}m{name} {bar}\x1b[0m ").into_bytes()
        } else {
            format!("{name} {bar} ").into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_equally_wide_and_differ_in_colour() {
        let palette = Palette::new(["api", "dashboard"]);
        let [api, dashboard] = [palette.label("api", 0), palette.label("dashboard", 1)]
            .map(|label| String::from_utf8(label.before('|', true)).unwrap());
        assert_eq!(api, "\x1b[0;36mapi       |\x1b[0m ");
        assert_eq!(dashboard, "\x1b[0;33mdashboard |\x1b[0m ");
        // There are more services than colours.
        palette.label("api", 1000);
    }
}
