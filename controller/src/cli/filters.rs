//! What lists are narrowed by: labels of machines, words.

use super::client::filtered;

/// See the module.
#[derive(Debug, Default, clap::Args)]
pub struct Filters {
    /// Only those whose machine's labels fit: pool=web, rack!=r1, !spare (may be given several times)
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Only those in which all these words stand: names, addresses, texts
    #[arg(long, value_name = "WORDS")]
    query: Option<String>,
}

impl Filters {
    /// `path` with these, and what else was asked for.
    pub(super) fn of<const N: usize>(
        &self,
        path: &str,
        asked: [(&str, Option<&str>); N],
    ) -> String {
        let labels = self.labels.join(",");
        let labels = Some(labels.as_str()).filter(|l| !l.is_empty());
        let mut all = vec![("label", labels), ("q", self.query.as_deref())];
        all.extend(asked);
        filtered(path, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_words_go_into_the_query() {
        let filters = Filters {
            labels: vec!["pool=web".to_owned(), "!spare".to_owned()],
            query: Some("r7 disk".to_owned()),
        };
        let path = filters.of("/machines", [("state", Some("seen"))]);
        assert_eq!(
            path,
            "/machines?label=pool%3Dweb%2C%21spare&q=r7%20disk&state=seen"
        );
        assert_eq!(
            Filters::default().of("/machines", [("state", None)]),
            "/machines"
        );
    }
}
