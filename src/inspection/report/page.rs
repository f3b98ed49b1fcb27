//! `index.html`: one file with the styles and scripts of `page/`. It contains no data of the store.

/// Identifies a page of relabel.
pub(super) const GENERATOR: &str = r#"<meta name="generator" content="relabel report">"#;

const PAGE: &str = include_str!("page/page.html");

const STYLES: [&str; 4] = [
    include_str!("page/page.css"),
    include_str!("page/charts.css"),
    include_str!("page/figures.css"),
    include_str!("page/view.css"),
];

/// In the order of their dependencies.
const SCRIPTS: [&str; 14] = [
    include_str!("page/base.js"),
    include_str!("page/pool.js"),
    include_str!("page/mix.js"),
    include_str!("page/table.js"),
    include_str!("page/blocks.js"),
    include_str!("page/picture.js"),
    include_str!("page/filter.js"),
    include_str!("page/grid.js"),
    include_str!("page/charts.js"),
    include_str!("page/figures.js"),
    include_str!("page/crop.js"),
    include_str!("page/tiles.js"),
    include_str!("page/view.js"),
    include_str!("page/start.js"),
];

/// Returns the page. All scripts except the last come before `data/rows.js`, which calls them.
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
    fn the_page_is_complete_and_requests_only_its_rows() {
        let page = index_html();
        assert!(page.contains(GENERATOR) && !page.contains("{{"), "a placeholder is left");
        let outside: Vec<_> = page.match_indices("src=").map(|(at, _)| &page[at..at + 20]).collect();
        assert_eq!(outside, ["src=\"data/rows.js\"></"[..20].to_owned()]);
        for word in
            ["@import", "url(", "fetch(", "XMLHttpRequest", "type=\"module\"", "innerHTML", "insertAdjacentHTML"]
        {
            assert!(!page.contains(word), "{word}");
        }
        // The only URL is the SVG namespace.
        assert!(page.match_indices("http").all(
            |(at, _)| page[at..].starts_with("http://www.w3.org/2000/svg") || page[at..].starts_with("http-equiv")
        ));
        for script in SCRIPTS {
            assert!(!script.contains("</script"), "it would end the script element");
        }
    }
}
