//! `index.html`: one file with style and scripts in it, from the small ones in `page/`. It holds nothing of the store.

/// What tells a page of ours from others.
pub(super) const GENERATOR: &str = r#"<meta name="generator" content="relabel report">"#;

const PAGE: &str = include_str!("page/page.html");

const STYLES: [&str; 3] =
    [include_str!("page/page.css"), include_str!("page/charts.css"), include_str!("page/view.css")];

/// In the order in which they build on each other.
const SCRIPTS: [&str; 11] = [
    include_str!("page/base.js"),
    include_str!("page/pool.js"),
    include_str!("page/table.js"),
    include_str!("page/blocks.js"),
    include_str!("page/picture.js"),
    include_str!("page/filter.js"),
    include_str!("page/grid.js"),
    include_str!("page/charts.js"),
    include_str!("page/crop.js"),
    include_str!("page/view.js"),
    include_str!("page/start.js"),
];

/// The page. The scripts but the last stand before `data/rows.js`, which calls them.
pub(super) fn index_html() -> String {
    let (start, before) = SCRIPTS.split_last().unwrap_or((&"", &[]));
    PAGE.replace("{{generator}}", GENERATOR)
        .replace("{{style}}", &STYLES.concat())
        .replace("{{scripts}}", &before.concat())
        .replace("{{start}}", start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_for_nothing_but_its_rows() {
        let page = index_html();
        assert!(page.contains(GENERATOR) && !page.contains("{{"), "a place is left open");
        let outside: Vec<_> = page.match_indices("src=").map(|(at, _)| &page[at..at + 20]).collect();
        assert_eq!(outside, ["src=\"data/rows.js\"></"[..20].to_owned()]);
        for word in
            ["@import", "url(", "fetch(", "XMLHttpRequest", "type=\"module\"", "innerHTML", "insertAdjacentHTML"]
        {
            assert!(!page.contains(word), "{word}");
        }
        // An address is only a name here: that of SVG's namespace.
        assert!(page.match_indices("http").all(
            |(at, _)| page[at..].starts_with("http://www.w3.org/2000/svg") || page[at..].starts_with("http-equiv")
        ));
        for script in SCRIPTS {
            assert!(!script.contains("</script"), "it would end the page's script");
        }
    }
}
